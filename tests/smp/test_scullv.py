"""The book's session with scullv: a megabyte in sixteen quanta, each with its guard page."""

import re

from smpmm import Machine
from smpmm.kernel import *

MEGABYTE = 1 << 20


def test_the_books_session() -> None:
    with Machine(cpus=2) as machine:
        machine.insmod("scullv")
        with machine.open("/dev/scullv0", "wb") as device:
            device.write(bytes(MEGABYTE))
        lines = machine.proc("scullvmem").splitlines()[:5]
        assert lines[:2] == ["", "Device 0: qset 500, order 4, sz 1048576"]
        assert re.fullmatch(r"  item at c[0-9a-f]{7}, qset at c[0-9a-f]{7}", lines[2])
        quanta = [re.fullmatch(rf"    {n:>4}:([0-9a-f]{{8}})", lines[3 + n]) for n in (0, 1)]
        first, second = (int(found[1], 16) for found in quanta if found)
        assert second - first == 0x11000
        assert first == machine.run(vmalloc_start)
        with machine.open("/dev/scullv0", "rb") as device:
            assert device.read() == bytes(MEGABYTE)
        assert not machine.rmmod("scullv")
        machine.check()


def vmalloc_start() -> int:
    return VMALLOC_START


LEAKY = """
from smpmm.kernel import *

@module_init
def leaky_init():
    vmalloc(3 * PAGE_SIZE)
    return 0

@module_exit
def leaky_exit():
    pass
"""


def test_an_area_that_a_module_keeps_is_a_leak(tmp_path) -> None:
    path = tmp_path / "leaky.py"
    path.write_text(LEAKY)
    with Machine(cpus=1) as machine:
        machine.insmod(str(path))
        report = machine.rmmod("leaky")
        assert str(report).startswith("leaky: 1 area of vmalloc from leaky_init (leaky.py:6)")
        assert report.nr_bytes == 3 * 4096


def test_a_failing_page_is_enomem_and_leaves_nothing() -> None:
    with Machine(cpus=1) as machine:
        machine.insmod("scullv")
        machine.fault_inject(
            "fail_page_alloc", probability=100, interval=1, times=-1, space=0, min_order=0,
            ignore_gfp_wait=0, ignore_gfp_highmem=0,
        )  # fmt: skip
        try:
            with machine.open("/dev/scullv0", "wb", buffering=0) as device:
                try:
                    device.write(b"x")
                except OSError as error:
                    assert error.errno == 12
                else:
                    raise AssertionError("a write without memory")
        finally:
            machine.fault_inject("fail_page_alloc", probability=0)
        with machine.open("/dev/scullv0", "wb", buffering=0) as device:
            assert device.write(b"x") == 1
        assert not machine.rmmod("scullv")
        machine.check()
