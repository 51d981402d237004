"""vmalloc and vfree in one process: places, pages, tables, failures, reports."""

import pytest

from cpus import callsite_cy
from cpus.errors import BadFree, KernelBug, Oops
from smpmm.mm import (
    access_cy,
    page_calls_cy,
    page_cy,
    pgtable_cy,
    slab_cy,
    vm_state_cy,
    vmalloc_cy,
)
from smpmm.mm.vm_check_cy import check_vmalloc
from tests.unit.smpmm.mm.vmalloc_support import MIB, PAGE, vmalloc_machine

GFP_KERNEL = 0x07


@pytest.fixture(autouse=True)
def machine():
    config = vmalloc_machine()
    yield config
    check_vmalloc()


def frames(address: int, nr: int) -> list[int]:
    return [pgtable_cy.walk(address + i * PAGE)["pfn"] for i in range(nr)]


def test_areas_lie_one_behind_the_other_with_a_guard_page() -> None:
    first = vmalloc_cy.vmalloc(16 * PAGE)
    second = vmalloc_cy.vmalloc(16 * PAGE)
    assert first == vmalloc_cy.vmalloc_start()
    assert second - first == 17 * PAGE == 0x11000


def test_a_size_is_rounded_up_to_pages() -> None:
    first = vmalloc_cy.vmalloc(1)
    second = vmalloc_cy.vmalloc(PAGE + 1)
    third = vmalloc_cy.vmalloc(PAGE)
    assert (second - first, third - second) == (2 * PAGE, 3 * PAGE)


def test_pages_are_single_high_ones_first() -> None:
    address = vmalloc_cy.vmalloc(4 * PAGE)
    for pfn in frames(address, 4):
        info = page_cy.page_info(pfn)
        assert (info["kind"], info["order"], info["count"]) == (6, 0, 1)
        assert pfn >= 6 * MIB // PAGE
    assert not pgtable_cy.walk(address + 4 * PAGE)["present"]


def test_contents_are_contiguous_over_scattered_pages() -> None:
    address = vmalloc_cy.vmalloc(8 * PAGE)
    data = bytes(i * 7 % 251 for i in range(8 * PAGE))
    access_cy.poke(address, data)
    assert access_cy.peek(address, len(data)) == data
    assert access_cy.peek(address + PAGE - 3, 6) == data[PAGE - 3 : PAGE + 3]
    access_cy.memmove(address + 100, address, 5 * PAGE)
    assert access_cy.peek(address + 100, 5 * PAGE) == data[: 5 * PAGE]
    assert access_cy.memcmp(address, address, 8 * PAGE) == 0


def test_a_freed_place_is_used_again_if_the_gap_is_wider() -> None:
    a, b, c = (vmalloc_cy.vmalloc(n * PAGE) for n in (4, 4, 4))
    vmalloc_cy.vfree(b)
    assert vmalloc_cy.vmalloc(4 * PAGE) > c  # 2.4.5: a gap of just the size is not taken
    assert vmalloc_cy.vmalloc(3 * PAGE) == b
    vmalloc_cy.vfree(a)
    assert vmalloc_cy.vmalloc(PAGE) == a


def test_everything_comes_back_but_the_page_tables() -> None:
    before = page_calls_cy.nr_free_pages()
    addresses = [vmalloc_cy.vmalloc(3 * PAGE) for _ in range(20)]
    for address in addresses[::2] + addresses[1::2]:
        vmalloc_cy.vfree(address)
    slabs = before - page_calls_cy.nr_free_pages() - pgtable_cy.nr_tables()
    assert 0 <= slabs <= 1  # of vm_structs
    assert vm_state_cy.vm_counts()["areas"] == 0
    assert pgtable_cy.nr_tables() == 1


def test_an_area_over_a_tables_end() -> None:
    # 4 MiB of addresses for each table; the areas are a page and a guard page.
    nr = 4 * MIB // (2 * PAGE)
    addresses = [vmalloc_cy.vmalloc(PAGE) for _ in range(nr - 1)]
    wide = vmalloc_cy.vmalloc(8 * PAGE)
    assert pgtable_cy.nr_tables() == 2
    access_cy.poke(wide, b"x" * 8 * PAGE)
    assert access_cy.peek(wide, 8 * PAGE) == b"x" * 8 * PAGE
    for address in [*addresses, wide]:
        vmalloc_cy.vfree(address)
    assert pgtable_cy.nr_tables() == 2


@pytest.mark.parametrize("size", [0, 8 * MIB + 1, -1])
def test_a_bad_size_is_a_bug_in_2_4_5(size) -> None:
    with pytest.raises(KernelBug, match="vmalloc.c"):
        vmalloc_cy.vmalloc(size)


def test_without_pages_it_returns_0_and_undoes_what_it_had() -> None:
    before = page_calls_cy.nr_free_pages()
    assert vmalloc_cy.vmalloc(8 * MIB) == 0
    assert before - page_calls_cy.nr_free_pages() <= 1 + pgtable_cy.nr_tables()
    assert vm_state_cy.vm_counts()["areas"] == 0


def test_vfree_of_nothing_is_ignored() -> None:
    vmalloc_cy.vfree(0)
    vmalloc_cy.vfree(None)


def test_a_bad_vfree_says_what_linux_says_and_changes_nothing() -> None:
    address = vmalloc_cy.vmalloc(2 * PAGE)
    with pytest.raises(BadFree, match=rf"bad address \({address + 4:08x}\)"):
        vmalloc_cy.vfree(address + 4)
    with pytest.raises(BadFree, match=rf"nonexistent vm area \({address + PAGE:08x}\)"):
        vmalloc_cy.vfree(address + PAGE)
    access_cy.peek(address, 2 * PAGE)
    vmalloc_cy.vfree(address)
    with pytest.raises(BadFree, match="nonexistent") as caught:
        vmalloc_cy.vfree(address)
    assert "0 bytes into a vmalloc area that was freed" in caught.value.report


def oops(address: int, nr: int = 1) -> str:
    with pytest.raises(Oops) as caught:
        access_cy.peek(address, nr)
    return caught.value.report


def test_the_guard_page_and_a_freed_area_are_named() -> None:
    address = vmalloc_cy.vmalloc(2 * PAGE)
    text = oops(address, 2 * PAGE + 5)
    assert f"virtual address {address + 2 * PAGE:08x}" in text
    assert "0 bytes after the end of vmalloc area" in text
    assert "test_the_guard_page_and_a_freed_area_are_named" in text
    vmalloc_cy.vfree(address)
    text = oops(address + 5)
    assert "5 bytes into a vmalloc area that was freed" in text
    assert "freed by pid" in text


def test_what_stands_before_the_guard_page_is_written() -> None:
    address = vmalloc_cy.vmalloc(PAGE)
    with pytest.raises(Oops):
        access_cy.memset(address + PAGE - 4, 0x5A, 8)
    assert access_cy.peek(address + PAGE - 4, 4) == b"\x5a" * 4


def test_other_frees_of_a_vmalloc_address_say_that_it_is_one() -> None:
    address = vmalloc_cy.vmalloc(PAGE)
    with pytest.raises(BadFree, match="not direct-mapped memory") as caught:
        page_calls_cy.free_pages(address, 0)
    assert "0 bytes into vmalloc area" in caught.value.report
    with pytest.raises(BadFree) as caught:
        slab_cy.kfree(address)
    assert "0 bytes into vmalloc area" in caught.value.report


def test_a_page_of_an_area_cannot_be_freed_by_itself() -> None:
    address = vmalloc_cy.vmalloc(PAGE)
    pfn = frames(address, 1)[0]
    page = page_calls_cy.Page.handle_at(page_cy.sizeof_page() * pfn + first_page())
    with pytest.raises(BadFree, match="vmalloc area number"):
        getattr(page_calls_cy, "__free_page")(page)


def first_page() -> int:
    zero = page_calls_cy.virt_to_page(0xC0000000)
    return zero.address


def test_who_holds_a_page_keeps_it_after_vfree() -> None:
    address = vmalloc_cy.vmalloc(PAGE)
    pfn = frames(address, 1)[0]
    page = page_calls_cy.Page.handle_at(page_cy.sizeof_page() * pfn + first_page())
    page_calls_cy.get_page(page)
    vmalloc_cy.vfree(address)
    assert page_cy.page_info(pfn)["kind"] == 2
    page_calls_cy.put_page(page)
    assert page_cy.page_info(pfn)["kind"] in (0, 1)


def test_virt_to_phys_is_arithmetic() -> None:
    address = vmalloc_cy.vmalloc(PAGE)
    assert page_calls_cy.virt_to_phys(address) == address - 0xC0000000
    assert page_calls_cy.virt_to_page(address) is None


def test_the_caller_is_kept() -> None:
    vmalloc_cy.vmalloc(PAGE)
    (area,) = vm_state_cy.all_areas()
    assert "test_the_caller_is_kept" in callsite_cy.site_text(area["caller"])
    assert area["size"] == 2 * PAGE
