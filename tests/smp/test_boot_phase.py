"""Memory taken while a machine boots: from bootmem, before there is a page allocator."""

import re

import pytest

from cpus.errors import ConfigError, MachineError, NullDereference
from smpmm import Machine
from smpmm.kernel import (
    GFP_KERNEL,
    alloc_bootmem,
    alloc_bootmem_low_pages,
    alloc_bootmem_pages,
    free_bootmem,
    free_page,
    kmalloc,
    nr_free_pages,
    peek,
    poke,
    printk,
    virt_to_phys,
)

MIB = 1 << 20


def grab() -> int:
    """Take more than any allocator gives, contiguous, as a driver linked into a kernel."""
    address = alloc_bootmem_low_pages(5 * MIB)
    poke(address + 5 * MIB - 5, b"last\n")
    printk(f"<6>grab: {virt_to_phys(address):#x}")
    return address


def small() -> list[int]:
    return [alloc_bootmem(100), alloc_bootmem(100), alloc_bootmem_pages(10)]


def test_what_boot_functions_take_is_theirs_for_good() -> None:
    with Machine(cpus=2, boot=[grab, small]) as machine:
        address, (first, second, page) = machine.boot_values
        assert address % 4096 == 0
        assert address < 0xC1000000, "low"
        assert machine.run(peek, address, 4) == bytes(4), "cleared"
        assert machine.run(peek, address + 5 * MIB - 5, 5, cpu=1) == b"last\n"
        assert second == first + 128
        assert first > 0xC1000000, "beyond what ISA devices reach"
        assert page % 4096 == 0
        log = machine.dmesg()
        assert f"grab: {address - 0xC0000000:#x}" in log
        assert re.search(r"bootmem: 00[0-9a-f]{6}-\w+ : alloc_bootmem_low_pages by grab", log)
        kept = machine.proc("meminfo")
        machine.check()
    with Machine(cpus=2) as machine:
        usual = machine.proc("meminfo")

    def total(text: str) -> int:
        found = re.search(r"MemTotal: +(\d+)", text)
        assert found
        return int(found[1])

    assert total(usual) - total(kept) == 5 * 1024 + 8, "5 MiB, and two pages of small ones"


def test_it_cannot_be_freed_by_the_page_allocator() -> None:
    with Machine(cpus=1, mem="16M", boot=[small]) as machine:
        address = machine.boot_values[0][2]
        with pytest.raises(Exception, match="reserved, never allocated"):
            machine.run(free_page, address)
        machine.check()


def test_free_bootmem_gives_pages_to_the_page_allocator() -> None:
    def borrow() -> int:
        address = alloc_bootmem_low_pages(MIB)
        free_bootmem(virt_to_phys(address), MIB)
        return address

    with Machine(cpus=1, mem="16M", boot=[borrow]) as machine:
        assert "reserved twice" not in machine.dmesg()
        with_it = machine.run(nr_free_pages)
    with Machine(cpus=1, mem="16M") as machine:
        assert with_it == machine.run(nr_free_pages)


def test_after_boot_bootmem_is_gone_on_every_cpu() -> None:
    with Machine(cpus=2, mem="16M") as machine:
        for cpu in (0, 1):
            with pytest.raises(NullDereference, match="address 00000000"):
                machine.run(alloc_bootmem, 64, cpu=cpu)
        assert "alloc_bootmem(64): bootmem is gone" in machine.dmesg()


def too_early() -> None:
    kmalloc(64, GFP_KERNEL)


def too_much() -> None:
    alloc_bootmem(60 * MIB)


def no_size() -> None:
    alloc_bootmem(0)


def broken() -> None:
    raise ValueError("no such board")


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (too_early, r"kmalloc\(\): too early"),
        (
            too_much,
            r"Kernel panic: Out of memory: alloc_bootmem by too_much \(test_boot_phase.py:.*\)"
            r": bootmem alloc of 62914560 bytes failed! .* low memory has \d+ bytes",
        ),
        (no_size, r"boot function no_size: kernel BUG at bootmem.c: .*: no bytes"),
        (broken, r"ValueError: no such board"),
    ],
)
def test_a_boot_that_fails_says_which_function_and_why(function, says: str) -> None:
    with pytest.raises(MachineError, match=f"(?s)did not boot: .*{says}"):
        Machine(cpus=1, boot=[function])


@pytest.mark.parametrize("boot", [grab, 7, [grab, "no function"]])
def test_boot_takes_a_list_of_functions(boot) -> None:
    with pytest.raises(ConfigError, match="boot"):
        Machine(cpus=1, boot=boot)


def test_mem_leaves_ram_above_it_alone() -> None:
    with Machine(cpus=1, ram="32M", cmdline="mem=24M") as machine:
        log = machine.dmesg()
        assert "mem=24576k: RAM from 01800000 to 01ffffff is left alone" in log
        assert "On node 0 totalpages: 6144" in log
        assert machine.proc("iomem").splitlines()[5] == "00100000-017fffff : System RAM"
        with pytest.raises(Exception, match="paging request at virtual address c1800000"):
            machine.run(peek, 0xC1800000, 4)
        machine.check()


def test_ram_alone_is_all_of_it_and_less_than_mem_is_refused() -> None:
    with Machine(cpus=1, ram="24M") as machine:
        assert "On node 0 totalpages: 6144" in machine.dmesg()
    with pytest.raises(ConfigError, match="ram=16777216: less than the 25165824 bytes of mem"):
        Machine(cpus=1, ram="16M", mem="24M")
