"""kmap gives high pages an address for as long as somebody uses it."""

import signal

import pytest

from cpus import kill_cy, percpu_cy, segment_cy, spinlock_cy
from cpus.errors import KernelBug, NullDereference, Oops
from smpmm.mm import access_cy, highmem_cy, page_alloc_cy, page_calls_cy
from smpmm.mm.highmem_cy import kmap, kmap_atomic, kunmap, kunmap_atomic
from smpmm.mm.page_calls_cy import alloc_page, page_address
from smpmm.profile import GFP_2_4_0, MIB
from tests.support import in_child, small_machine

PKMAP_BASE, KMAP_ATOMIC_BASE = 0xFE000000, 0xFFE00000
GFP_ATOMIC, GFP_HIGHUSER = GFP_2_4_0["GFP_ATOMIC"], GFP_2_4_0["GFP_HIGHUSER"]


@pytest.fixture
def machine():
    zones = {"DMA": 8 * MIB, "Normal": 0, "HighMem": 8 * MIB}
    return small_machine(
        spinlock_cy, page_alloc_cy, highmem_cy, cpus=2, ram_bytes=16 * MIB, zones=zones
    )


def test_a_high_page_has_an_address_while_it_is_kmapped(machine) -> None:
    page = alloc_page(GFP_HIGHUSER)
    assert page_address(page) == 0
    address = kmap(page)
    assert PKMAP_BASE <= address < PKMAP_BASE + (1024 << 12)
    assert kmap(page) == page_address(page) == address
    access_cy.poke(address + 4090, b"abcdef")
    assert access_cy.peek(address + 4090, 6) == b"abcdef"
    kunmap(page)
    assert access_cy.peek(address + 4090, 2) == b"ab"
    kunmap(page)
    assert page_address(page) == 0
    with pytest.raises(Oops):
        access_cy.peek(address, 1)


def test_a_low_page_keeps_its_direct_address(machine) -> None:
    page = alloc_page(GFP_ATOMIC)
    assert kmap(page) == kmap_atomic(page, 0) == page_address(page) >= 0xC0000000
    kunmap(page)
    kunmap_atomic(page_address(page), 0)


def test_neighbouring_entries_are_read_page_by_page(machine) -> None:
    first, second = (kmap(alloc_page(GFP_HIGHUSER)) for _ in range(2))
    assert second == first + 4096
    access_cy.poke(first + 4094, b"wxyz")
    assert access_cy.peek(second, 2) == b"yz"


def test_a_kunmap_too_many_is_a_bug(machine) -> None:
    page = alloc_page(GFP_HIGHUSER)
    with pytest.raises(KernelBug, match="not kmapped"):
        kunmap(page)


def test_atomic_slots_are_one_per_cpu_and_type(machine) -> None:
    one, two = alloc_page(GFP_HIGHUSER), alloc_page(GFP_HIGHUSER)
    address = kmap_atomic(one, 3)
    assert address == KMAP_ATOMIC_BASE + (3 << 12)
    access_cy.poke(address, b"slot")
    with pytest.raises(KernelBug, match="slot 3 of CPU 0 is in use"):
        kmap_atomic(two, 3)
    with pytest.raises(KernelBug, match="does not have this address"):
        kunmap_atomic(address, 2)
    kunmap_atomic(address, 3)
    with pytest.raises(Oops):
        access_cy.peek(address, 1)
    kunmap_atomic(kmap_atomic(two, 3), 3)


def test_entries_of_a_killed_process_are_put_right(machine) -> None:
    page = alloc_page(GFP_HIGHUSER)

    def die() -> None:
        percpu_cy.take_slot(1, 1, "cpu1", 1)
        percpu_cy.become(1, 4711)
        kill_cy.arm("kmap")
        kmap(page)

    in_child(die, expect=signal.SIGKILL)
    percpu_cy.mark_dead(1)
    # The next user takes the lock over: the entry of the dead is complete now.
    address = kmap(page)
    assert highmem_cy.kmap_info()["users"] == {page.pfn: 2}
    kunmap(page)
    kunmap(page)
    assert highmem_cy.kmap_info()["used"] == 0
    assert segment_cy.native_address(0xC0000000)
    assert address >= PKMAP_BASE


def test_null_is_no_page(machine) -> None:
    for call in (kmap, kunmap):
        with pytest.raises((Oops, NullDereference, KernelBug)):
            call(None)
    assert page_calls_cy.nr_free_pages() > 0
