"""vmalloc and ioremap over versions and architectures: borders, gaps, limits, failures."""

from typing import Any, NamedTuple

import pytest

from cpus import ship
from cpus.errors import KernelBug, OomKilled
from smpmm import Machine
from smpmm.kernel import *

ship.register_by_value("tests")

FB = 0xF0000000
MIB = 1 << 20


class Facts(NamedTuple):
    """What the fact sheet says of a version; `start`: with 64 MiB of low memory."""

    kernel: str
    arch: str
    start: int
    exact: bool  # a gap of just the size is taken
    bad_size: str  # "BUG" or "NULL"
    last_page: int  # pages of an ioremap of a page and a byte


TABLE = (
    Facts("2.0", "i386", 0xC4800000, False, "NULL", 2),
    Facts("2.2", "i386", 0xC4800000, False, "NULL", 1),
    Facts("2.4.0", "i386", 0xC4800000, False, "BUG", 1),
    Facts("2.4.5", "i386", 0xC4800000, False, "BUG", 1),
    Facts("2.4.20", "i386", 0xC4800000, False, "BUG", 1),
    Facts("2.4.22", "i386", 0xC4800000, True, "NULL", 1),
    Facts("2.4.24", "i386", 0xC4800000, True, "NULL", 2),
    Facts("2.4.31", "i386", 0xC4800000, True, "NULL", 2),
    Facts("2.6.11", "i386", 0xC4800000, True, "NULL", 2),
    Facts("2.4.31", "x86_64", 0xFFFFFF0000000000, True, "NULL", 2),
    Facts("2.6.11", "x86_64", 0xFFFFC20000000000, True, "NULL", 2),
    Facts("4.19.0", "x86_64", 0xFFFFC90000000000, True, "NULL", 2),
)


def measure() -> dict[str, Any]:
    """Try what the table has; every area is given back."""
    found: dict[str, Any] = {"start": VMALLOC_START, "span": VMALLOC_END - VMALLOC_START}
    areas = [vmalloc(4 * PAGE_SIZE) for _ in range(3)]
    found["first"] = areas[0]
    found["apart"] = areas[1] - areas[0]
    found["rounded"] = odd = vmalloc(PAGE_SIZE + 1)
    behind = vmalloc(1)
    found["rounded"] = behind - odd
    vfree(areas[1])
    again = vmalloc(4 * PAGE_SIZE)
    found["exact"] = again == areas[1]
    if again != areas[1]:
        small = vmalloc(3 * PAGE_SIZE)
        found["smaller"] = small == areas[1]
        vfree(small)
    found["pfn"] = first_pfn(areas[0])
    poke(areas[2], b"\x5a" * 4 * PAGE_SIZE)
    found["contents"] = peek(areas[2], 4 * PAGE_SIZE) == b"\x5a" * 4 * PAGE_SIZE
    for area in (areas[0], areas[2], odd, behind, again):
        vfree(area)
    found["sizes"] = [outcome(size) for size in (0, 65 * MIB)]
    return found


def first_pfn(address: int) -> int:
    from smpmm.mm import pgtable_cy

    return pgtable_cy.walk(address)["pfn"]


def outcome(size: int) -> str:
    try:
        return "NULL" if vmalloc(size) == 0 else "memory"
    except KernelBug:
        return "BUG"


def io_pages(call: str) -> int:
    from smpmm import symbols
    from smpmm.mm import vm_state_cy

    address = symbols.resolve(call)(FB, PAGE_SIZE + 1)
    (area,) = vm_state_cy.all_areas()
    vfree(address & ~(PAGE_SIZE - 1))
    return area["size"] // PAGE_SIZE - 1


@pytest.mark.parametrize("facts", TABLE, ids=lambda facts: f"{facts.kernel}-{facts.arch}")
def test_the_table(facts: Facts) -> None:
    with Machine(cpus=1, kernel=facts.kernel, arch=facts.arch, mem="64M") as machine:
        found = machine.run(measure)
        call = "vremap" if facts.kernel == "2.0" else "ioremap"
        assert machine.run(io_pages, call) == facts.last_page
        machine.check()
    assert (found["start"], found["first"]) == (facts.start, facts.start)
    assert found["span"] >= 128 * MIB
    assert found["apart"] == 5 * 4096 and found["rounded"] == 3 * 4096
    assert found["exact"] is facts.exact
    assert facts.exact or found["smaller"]
    assert found["contents"]
    assert found["sizes"] == [facts.bad_size] * 2


def test_high_memory_comes_first_where_the_version_has_it() -> None:
    for kernel, high in (("2.4.5", True), ("2.6.11", True)):
        with Machine(cpus=1, kernel=kernel, mem="64M", highmem="16M") as machine:
            assert machine.run(measure)["start"] == 0xC3800000
            pfn = machine.run(measure)["pfn"]
            assert (pfn >= 48 * MIB // 4096) is high


def nr_areas() -> int:
    from smpmm.mm import vm_state_cy

    return vm_state_cy.vm_counts()["areas"]


def test_more_than_is_free_kills_the_task_or_fails_and_leaves_nothing() -> None:
    with Machine(cpus=2, mem="32M") as machine:
        free = machine.run(nr_free_pages)
        try:
            assert machine.run(vmalloc, 32 * MIB) == 0
        except OomKilled:
            pass
        assert machine.run(nr_areas) == 0
        # Tables, and slabs of the kernel's own, stay.
        assert machine.run(nr_free_pages) > free - 300
        machine.check()
