"""check() of the vmalloc space names each way in which memory is damaged."""

import ctypes

import pytest

from cpus.errors import CorruptionError
from smpmm.mm import page_cy, pgtable_cy, slab_state_cy, vm_check_cy, vm_state_cy, vmalloc_cy
from tests.unit.smpmm.mm.vmalloc_support import PAGE, vmalloc_machine

OBJECT_KERNEL = 4
NR_TRUTHS = 2048 * 128  # of 8 MiB of RAM


@pytest.fixture
def areas() -> list[dict]:
    """Three areas of four pages, and a freed place between the first two."""
    vmalloc_machine()
    addresses = [vmalloc_cy.vmalloc(4 * PAGE) for _ in range(4)]
    vmalloc_cy.vfree(addresses[1])
    vm_check_cy.check_vmalloc()
    return vm_state_cy.all_areas()


def word(address: int, bits: int) -> ctypes._SimpleCData:
    return (ctypes.c_uint64 if bits == 64 else ctypes.c_uint32).from_address(address)


def damaged(address: int, value: int, bits: int = 64) -> str:
    """Store a value, check, put the old one back; returns what check() said."""
    at = word(address, bits)
    before = at.value
    at.value = value
    try:
        vm_check_cy.check_vmalloc()
    except CorruptionError as error:
        return str(error)
    finally:
        at.value = before
        vm_check_cy.check_vmalloc()
    return ""


def info(number: int, field: str) -> int:
    return vm_state_cy.native("info", number) + vm_state_cy.offset(f"info.{field}")


def struct(number: int, field: str) -> int:
    return vm_state_cy.native("vm", number) + vm_state_cy.offset(f"vm.{field}")


def table(field: str) -> int:
    return vm_state_cy.native("table") + vm_state_cy.offset(f"table.{field}")


def truth(pfn: int) -> int:
    return page_cy.native_address(pfn)


def test_the_list(areas) -> None:
    first, second, third = (area["number"] for area in areas)
    assert "says of itself" in damaged(struct(first, "addr"), areas[0]["addr"] + PAGE)
    assert "says of itself" in damaged(struct(second, "size"), 2 * PAGE)
    assert "says of itself" in damaged(struct(second, "info"), third, 32)
    assert "is on vmlist" in damaged(struct(first, "next"), vm_state_cy.native("vm", third))
    assert "sorted by address" in damaged(
        struct(second, "next"), vm_state_cy.native("vm", first)
    )
    assert "is on vmlist" in damaged(table("vmlist"), 0)


@pytest.mark.parametrize("addr", [0x1000, 0xFDFFE000, 0xC3800FFF])
def test_an_area_outside_of_the_space_or_in_no_page(areas, addr) -> None:
    number = areas[0]["number"]
    word(struct(number, "addr"), 64).value = addr
    at = word(info(number, "addr"), 64)
    at.value = addr
    with pytest.raises(CorruptionError, match="sorted by address|whole pages"):
        vm_check_cy.check_vmalloc()


def test_the_table_and_its_tree(areas) -> None:
    first, second, _ = (area["number"] for area in areas)
    live = word(info(first, "truth"), 64).value
    assert "is on vmlist" in damaged(info(first, "truth"), 0)
    assert "is on vmlist" in damaged(info(first, "truth"), live & ~0xF | 3)
    assert "knows its subtree" in damaged(info(second, "gap"), 12345)
    assert "nr_areas" in damaged(table("nr_areas"), 7)
    assert "list of free ones" in damaged(table("free_infos"), 0, 32)
    assert "list of free ones" in damaged(table("free_infos"), first, 32)


def test_a_struct_that_is_no_object(areas) -> None:
    number = areas[0]["number"]
    own = vmalloc_cy.own_site()
    first = slab_state_cy.native("truth", 0)
    truths = (ctypes.c_uint64 * NR_TRUTHS).from_address(first)
    (index,) = (
        index
        for index, value in enumerate(truths)
        if (value >> 32, value >> 16 & 0xFFFF, value & 0xF) == (number, own, OBJECT_KERNEL)
    )
    at = first + 8 * index
    assert "vm_struct of an area" in damaged(at, 0)
    other = word(at, 64).value & 0xFFFFFFFF | 9999 << 32
    assert "is an area's" in damaged(at, other)


def test_entries_of_the_tables(areas) -> None:
    address = areas[0]["addr"]
    entry = pgtable_cy.walk(address)
    other = pgtable_cy.walk(address + PAGE)
    guard = pgtable_cy.walk(address + 4 * PAGE)
    beyond = pgtable_cy.walk(areas[2]["addr"] + 100 * PAGE)
    assert "is mapped" in damaged(entry["at"], 0, 32)
    assert "is mapped" in damaged(entry["at"], entry["entry"] & ~1, 32)
    assert "a page of the area" in damaged(entry["at"], 0x00100163, 32)
    assert "a page of the area" in damaged(entry["at"], 0xF0000163, 32)
    assert "mapped in it, once" in damaged(entry["at"], other["entry"], 32)
    assert "guard page" in damaged(guard["at"], 0x80000000, 32)
    assert "a page of the area" in damaged(guard["at"], 0x00100163, 32)
    assert "outside of areas" in damaged(beyond["at"], 0x00100163, 32)


def test_the_truth_of_pages(areas) -> None:
    pfn = pgtable_cy.walk(areas[0]["addr"])["pfn"]
    said = word(truth(pfn), 64).value
    number = areas[1]["number"]
    assert "a page of the area" in damaged(truth(pfn), said & ~0xF | 2)
    assert "a page of the area" in damaged(truth(pfn), said & 0xFFFFFFFF | number << 32)
    other = next(p for p in range(300, 2000) if page_cy.truth_at(p) & 0xF == 4)
    reserved = word(truth(other), 64).value
    assert "mapped in it, once" in damaged(truth(other), said)
    assert "that has a place" in damaged(truth(other), said & 0xFFFFFFFF | 9999 << 32)
    assert reserved & 0xF == 4


def test_the_tables_themselves(areas) -> None:
    at = pgtable_cy.root_at() + (areas[0]["addr"] >> 22) * 4
    entry = word(at, 32).value
    assert "leads to a page table" in damaged(at, 0x00100063, 32)
    other = next(p for p in range(300, 2000) if page_cy.truth_at(p) & 0xF == 4)
    assert "found by one entry" in damaged(truth(other), 7)
    table_pfn = entry >> 12
    assert "leads to a page table" in damaged(truth(table_pfn), 0x12)
