"""mmap of a device: its pages in the user's memory, shared and without a copy."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import smpmm
from smpmm import BusError, Machine

PAGE = 4096


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine(cpus=2, mem="16M", seed=5) as booted:
        booted.insmod("scullp", scullp_qset=4)
        with booted.open("/dev/scullp0", "wb") as device:
            device.write(bytes(range(256)) * 100)
        yield booted
        booted.check()


def uses(machine: Machine) -> int:
    """Return the use count of scullp."""
    return int(machine.proc("modules").split()[2])


def poke_device(offset: int, data: bytes) -> None:
    with smpmm.open("/dev/scullp0", "r+b", 0) as device:
        device.seek(offset)
        device.write(data)


def test_what_either_side_writes_the_other_reads(machine: Machine) -> None:
    with machine.open("/dev/scullp0", "r+b") as device, device.mmap(25_600) as mapping:
        assert len(mapping) == 25_600
        assert mapping[:] == bytes(range(256)) * 100
        mapping[PAGE - 2 : PAGE + 2] = b"edge"
        device.seek(PAGE - 2)
        assert device.read(4) == b"edge"
        with mapping.view(3 * PAGE, 4) as view:
            machine.run(poke_device, 3 * PAGE, b"task")
            assert bytes(view) == b"task", "no copy"
            view[0] = ord("T")
        device.seek(3 * PAGE)
        assert device.read(4) == b"Task"
        assert mapping[-1] == 255
        mapping[-1] = 7
        assert mapping[25_599] == 7
        assert mapping[0:10:3] == bytes([0, 3, 6, 9])
    assert uses(machine) == 0


def test_an_offset_is_in_whole_pages(machine: Machine) -> None:
    with machine.open("/dev/scullp0", "rb") as device:
        with device.mmap(10, 4 * PAGE) as mapping:
            assert mapping[:] == (bytes(range(256)) * 100)[4 * PAGE :][:10]
        with pytest.raises(OSError, match="Invalid argument"):
            device.mmap(10, 100)
        with pytest.raises(OSError, match="Invalid argument"):
            device.mmap(0)
        with pytest.raises(IndexError, match="byte 10 of a mapping of 10"):
            device.mmap(10)[10]


def test_a_hole_and_the_end_are_a_bus_error(machine: Machine) -> None:
    with machine.open("/dev/scullp1", "r+b", 0) as device:
        device.write(b"x")
        device.seek(6 * PAGE)  # in the next item of four pages
        device.write(b"y")
        with device.mmap(20 * PAGE) as mapping:
            assert mapping[0] == ord("x")
            assert mapping[6 * PAGE] == ord("y")
            for page in (1, 5, 7, 19):
                with pytest.raises(BusError, match=f"scullp1 has no page at {page * PAGE:#x}"):
                    mapping[page * PAGE]
            with pytest.raises(BusError):
                mapping.view(0, 2 * PAGE)
            device.seek(PAGE)
            device.write(b"z")
            assert mapping[PAGE] == ord("z"), "it is there now"


def test_a_mapping_is_as_writable_as_its_file(machine: Machine) -> None:
    with machine.open("/dev/scullp0", "rb") as device, device.mmap(PAGE) as mapping:
        with pytest.raises(TypeError, match="not open for writing"):
            mapping[0] = 1
        with mapping.view() as view:
            assert view.readonly
    with machine.open("/dev/scullp2", "wb") as device:
        with pytest.raises(PermissionError):
            device.mmap(PAGE)


def test_a_mapped_device_is_not_trimmed(machine: Machine) -> None:
    device = machine.open("/dev/scullp0", "rb")
    mapping = device.mmap(PAGE)
    device.close()
    assert uses(machine) == 2, "the file stays open while it is mapped"
    with machine.open("/dev/scullp0", "wb"):
        pass
    assert mapping[255] == 255
    with pytest.raises(OSError, match="in use"):
        machine.rmmod("scullp")
    mapping.close()
    mapping.close()
    assert uses(machine) == 0
    with pytest.raises(ValueError, match="closed mapping"):
        mapping[0]
    with machine.open("/dev/scullp0", "wb"):
        pass
    with machine.open("/dev/scullp0", "rb") as device:
        assert device.read() == b"", "trimmed"


def test_a_view_keeps_its_mapping(machine: Machine) -> None:
    with machine.open("/dev/scullp0", "rb") as device:
        mapping = device.mmap(PAGE)
        view = mapping.view()
        with pytest.raises(BufferError, match="1 views"):
            mapping.close()
        assert view[1] == 1
        view.release()
        mapping.close()


@pytest.mark.parametrize("name", ["scullp", "scullc"])
def test_what_cannot_be_mapped_is_refused(name: str) -> None:
    with Machine(cpus=1, mem="16M") as machine:
        machine.insmod(name, **({"scullp_order": 1} if name == "scullp" else {}))
        with machine.open(f"/dev/{name}0", "r+b") as device:
            with pytest.raises(OSError, match="No such device"):
                device.mmap(PAGE)
        assert "0" in machine.proc("modules")
        assert not machine.rmmod(name), "nothing leaked"
        machine.check()


def test_a_task_maps_in_its_own_process(machine: Machine) -> None:
    def work() -> tuple[bytes, int]:
        with smpmm.open("/dev/scullp0", "r+b") as device, device.mmap(2 * PAGE) as mapping:
            mapping[PAGE - 1 : PAGE + 1] = b"ab"
            device.seek(PAGE - 1)
            return device.read(2), mapping[3]

    assert machine.run(work) == (b"ab", 3)

    def forget() -> None:
        smpmm.open("/dev/scullp0", "rb").mmap(PAGE)[0]

    machine.run(forget)
    assert uses(machine) == 0, "a task's end closes what it has open"


DRIVER = """
from smpmm.kernel import *

class Kept(KStruct):
    page: ptr

kept = Kept.static()

def nopage(vma, address, write):
    get_page(kept.page)
    return kept.page

ops = vm_operations_struct(nopage=nopage)

def mmap(filp, vma):
    vma.vm_ops = ops
    return 0

def ioctl(inode, filp, cmd, arg):
    __free_page(kept.page)
    return 0

@module_init
def keeper_init():
    kept.page = alloc_page(GFP_KERNEL)
    fops = file_operations(mmap=mmap, ioctl=ioctl)
    return min(0, register_chrdev(77, "keeper", fops))

@module_exit
def keeper_exit():
    unregister_chrdev(77, "keeper")
"""


def test_a_page_that_is_freed_while_it_is_mapped_stays(tmp_path: Path) -> None:
    driver = tmp_path / "keeper.py"
    driver.write_text(DRIVER)

    def take_some() -> None:
        from smpmm.kernel import GFP_ATOMIC, __get_free_page, free_page, memset

        pages = [__get_free_page(GFP_ATOMIC) for _ in range(200)]
        for page in pages:
            memset(page, 0xFF, 4096)
        for page in pages:
            free_page(page)

    with Machine(cpus=1, mem="8M") as machine:
        machine.insmod(str(driver))
        with machine.open("/dev/keeper", "r+b", 0) as device:
            mapping = device.mmap(PAGE)
            mapping[0:4] = b"mine"
            device.ioctl(1)
            machine.run(take_some)
            assert mapping[0:4] == b"mine"
            mapping.close()
        machine.check()
        assert not machine.rmmod("keeper")


CLIENT = """
    import sys
    from smpmm.machine import attach

    machine = attach(sys.argv[1])
    device = machine.open("/dev/scullp0", "r+b")
    mapping = device.mmap(8192)
    mapping[0:6] = b"killed"
    print("mapped", flush=True)
    sys.stdin.read()
"""


def test_a_killed_program_leaves_no_mapping(machine: Machine) -> None:
    directory = machine._connection.booted["directory"]
    client = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CLIENT), directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert client.stdout is not None and client.stdin is not None
    assert client.stdout.readline() == "mapped\n"
    assert uses(machine) == 2
    os.kill(client.pid, signal.SIGKILL)
    client.wait()
    client.stdin.close()
    client.stdout.close()
    while uses(machine):
        pass
    with machine.open("/dev/scullp0", "rb") as device:
        assert device.read(6) == b"killed"
    with machine.open("/dev/scullp0", "wb"):
        pass
    with machine.open("/dev/scullp0", "rb") as device:
        assert device.read() == b"", "it could be trimmed: nobody maps it"


def test_mappings_of_a_dead_cpu_end(machine: Machine) -> None:
    def hold() -> None:
        from smpmm.kernel import jiffies

        mapping = smpmm.open("/dev/scullp0", "rb").mmap(PAGE)
        mapping[0]
        while True:
            jiffies()

    task = machine.spawn(hold, cpu=1)
    while uses(machine) < 2:
        pass
    pid = machine.cpus[1].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(smpmm.CpuDied):
        task.result(30)
    while uses(machine):
        pass
    with machine.open("/dev/scullp0", "wb"):
        pass
    with machine.open("/dev/scullp0", "rb") as device:
        assert device.read() == b""
