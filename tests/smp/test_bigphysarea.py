"""bigphysarea: contiguous memory for drivers, taken at boot and divided by first fit."""

from collections.abc import Iterator

import pytest

from cpus.errors import MachineError
from smpmm import Machine
from smpmm.kernel import (
    GFP_KERNEL,
    PAGE_SIZE,
    bigphysarea_alloc,
    bigphysarea_alloc_pages,
    bigphysarea_free,
    bigphysarea_free_pages,
    peek,
    poke,
)

PAGES = 1024  # 4 MiB: twice the page allocator's largest block
LOW = 0xC0000000


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine(cpus=2, cmdline=f"bigphysarea={PAGES}", seed=1) as booted:
        yield booted
        booted.check()


def test_the_whole_area_is_one_block(machine: Machine) -> None:
    def take_all() -> int:
        return bigphysarea_alloc_pages(PAGES, 0, GFP_KERNEL)

    base = machine.run(take_all, cpu=0)
    assert base > LOW
    assert machine.run(take_all, cpu=1) == 0, "it is taken"
    machine.run(poke, base + PAGES * 4096 - 4, b"last", cpu=0)
    assert machine.run(peek, base + PAGES * 4096 - 4, 4, cpu=1) == b"last"
    machine.run(bigphysarea_free_pages, base, cpu=1)
    assert machine.run(take_all) == base
    assert f"bigphysarea: Allocated {PAGES} pages at 0x{base:08x}." in machine.dmesg()


def test_first_fit_alignment_and_merging(machine: Machine) -> None:
    def work() -> list[int]:
        first = bigphysarea_alloc(100)
        second = bigphysarea_alloc_pages(4, 16, GFP_KERNEL)
        third = bigphysarea_alloc(PAGE_SIZE + 1)
        bigphysarea_free(first, 100)
        fourth = bigphysarea_alloc_pages(1, 1, GFP_KERNEL)
        for base in (second, third, fourth):
            bigphysarea_free_pages(base)
        return [first, second, third, fourth, bigphysarea_alloc_pages(PAGES, 0, GFP_KERNEL)]

    first, second, third, fourth, everything = machine.run(work)
    assert virt_is_aligned(second, 16)
    assert first < third < second, "two pages fit before the block that was aligned"
    assert third == first + 4096
    assert fourth == first == everything, "all is one range again"


def virt_is_aligned(address: int, pages: int) -> bool:
    return (address - LOW) % (pages * 4096) == 0


def test_proc_shows_both_lists(machine: Machine) -> None:
    machine.run(bigphysarea_alloc, 300 << 10)
    assert machine.proc("bigphysarea") == (
        "Big physical area, size 4096 kB\n"
        "                       free list:             used list:\n"
        "number of blocks:             1                      1\n"
        "size of largest block:     3796 kB                 300 kB\n"
        "total:                     3796 kB                 300 kB\n"
    )


def test_what_was_not_allocated_is_logged(machine: Machine) -> None:
    def wrong() -> int:
        address = bigphysarea_alloc(4096)
        bigphysarea_free_pages(address + 4096)
        bigphysarea_free_pages(address)
        bigphysarea_free_pages(address)
        return address

    address = machine.run(wrong)
    log = machine.dmesg()
    for at in (address + 4096, address):
        assert log.count(f"bigphysarea_free_pages(0x{at:08x}), not allocated!") == 1


def test_without_the_option_there_is_none() -> None:
    with Machine(cpus=1, mem="16M") as machine:
        assert machine.run(bigphysarea_alloc, 4096) == 0
        assert machine.proc("bigphysarea") == "No big physical area allocated!\n"


def test_an_area_that_does_not_fit_is_a_panic_at_boot() -> None:
    with pytest.raises(MachineError, match=r"Out of memory: .*8388608 bytes failed!"):
        Machine(cpus=1, mem="8M", cmdline="bigphysarea=2048")


@pytest.mark.parametrize("times", [1, 2])
def test_bookkeeping_without_memory_leaves_the_area_as_it_was(
    machine: Machine, times: int
) -> None:
    """The second allocation is aligned: it needs two more ranges."""

    def take(pages: int, align: int) -> int:
        return bigphysarea_alloc_pages(pages, align, GFP_KERNEL)

    first = machine.run(take, 1, 1)
    space = {"probability": 100, "ignore_gfp_wait": 0, "interval": times, "times": 1}
    machine.fault_inject("failslab", **space)
    assert machine.run(take, 1, 64) == 0
    machine.fault_inject("failslab", probability=0)
    rest = machine.run(take, PAGES - 1, 1)
    assert rest == first + 4096, "one free range again"
