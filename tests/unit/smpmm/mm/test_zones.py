"""The buddy allocator: pictures after split and merge, watermarks, what check() sees."""

import ctypes
import os
import signal

import pytest

from cpus import event_cy, kill_cy, percpu_cy, segment_cy, spinlock_cy
from cpus.errors import BadFree, CorruptionError, KernelBug
from smpmm.mm import page_alloc_cy, page_calls_cy, page_check_cy, page_cy, zone_cy
from smpmm.mm.page_calls_cy import (
    __free_pages,
    __get_free_page,
    __get_free_pages,
    alloc_pages,
    free_page,
    free_pages,
    get_page,
    page_count,
)
from smpmm.profile import GFP_2_4_0, MIB
from tests.support import in_child, small_machine

PAGE_OFFSET = 0xC0000000
GFP_ATOMIC, GFP_DMA, GFP_HIGHUSER = (
    GFP_2_4_0[name] for name in ("GFP_ATOMIC", "GFP_DMA", "GFP_HIGHUSER")
)
DMA, NORMAL, HIGHMEM = 0, 1, 2
FREE, ALLOC, RESERVED = 1, 2, 4


@pytest.fixture
def machine():
    """A machine of 32 MiB: DMA 16, Normal 8, HighMem 8."""
    zones = {"DMA": 16 * MIB, "Normal": 8 * MIB, "HighMem": 8 * MIB}
    config = small_machine(spinlock_cy, page_alloc_cy, ram_bytes=32 * MIB, zones=zones)
    yield config
    page_check_cy.check_pages()


def pfn_of(address: int) -> int:
    return (address - PAGE_OFFSET) >> 12


def blocks(zone: int) -> dict[int, list[int]]:
    """The free blocks of a zone by order, newest first."""
    found = {order: zone_cy.free_list(zone, order) for order in range(10)}
    return {order: pfns for order, pfns in found.items() if pfns}


def test_boot_frees_all_but_the_reserved_frames_in_aligned_blocks(machine) -> None:
    page_check_cy.check_pages()
    dma = zone_cy.zone_info(DMA)
    assert dma["spanned_pages"] == 4096
    assert dma["present_pages"] == dma["free_pages"] == 4096 - 5 - (0x285 - 0x9F) - 1
    assert page_cy.page_info(0)["kind"] == RESERVED
    assert page_cy.page_info(0xA0)["kind"] == RESERVED
    assert blocks(HIGHMEM) == {9: [0x1E00, 0x1C00, 0x1A00, 0x1800]}


def test_watermarks_are_those_of_the_version(machine) -> None:
    marks = [
        tuple(zone_cy.zone_info(z)[f"pages_{name}"] for name in ("min", "low", "high"))
        for z in (DMA, NORMAL, HIGHMEM)
    ]
    assert marks == [(128, 256, 384), (16, 32, 48), (16, 32, 48)]


def test_split_keeps_the_upper_half_and_lists_the_lower_ones(machine) -> None:
    page = alloc_pages(GFP_HIGHUSER, 6)
    assert page.pfn == 0x1FC0
    assert blocks(HIGHMEM) == {
        6: [0x1F80],
        7: [0x1F00],
        8: [0x1E00],
        9: [0x1C00, 0x1A00, 0x1800],
    }
    __free_pages(page, 6)
    assert blocks(HIGHMEM) == {9: [0x1E00, 0x1C00, 0x1A00, 0x1800]}


def test_free_merges_buddies_up_to_max_order(machine) -> None:
    pages = [alloc_pages(GFP_HIGHUSER, 0) for _ in range(512)]
    assert sorted(p.pfn for p in pages) == list(range(0x1E00, 0x2000))
    for page in pages[::2] + pages[1::2]:
        __free_pages(page, 0)
        page_check_cy.check_pages()
    assert blocks(HIGHMEM)[9] == [0x1E00, 0x1C00, 0x1A00, 0x1800]


def test_blocks_are_naturally_aligned_and_lists_are_last_in_first_out(machine) -> None:
    for order in range(10):
        address = __get_free_pages(GFP_DMA, order)
        assert pfn_of(address) % (1 << order) == 0
        free_pages(address, order)
        assert __get_free_pages(GFP_DMA, order) == address
        free_pages(address, order)


def test_an_order_beyond_the_limit_fails_silently(machine) -> None:
    lines = len(event_cy.read_log())
    assert __get_free_pages(GFP_ATOMIC, 10) == 0
    assert alloc_pages(GFP_ATOMIC, 4711) is None
    assert len(event_cy.read_log()) == lines


@pytest.mark.parametrize(
    ("mask", "falls_back_to"),
    [
        (GFP_DMA, [DMA]),
        (GFP_ATOMIC, [NORMAL, DMA]),
        (GFP_HIGHUSER & ~1, [HIGHMEM, NORMAL, DMA]),
    ],
)
def test_the_mask_decides_which_zones_a_request_falls_back_to(
    machine, mask: int, falls_back_to: list[int]
) -> None:
    seen = []
    taken = []
    while (page := alloc_pages(mask, 0)) is not None:
        taken.append(page)
        zone = next(
            z for z in (HIGHMEM, NORMAL, DMA) if page.pfn >= zone_cy.zone_info(z)["start_pfn"]
        )
        if zone not in seen:
            seen.append(zone)
    assert seen == falls_back_to
    for page in taken:
        __free_pages(page, 0)


def test_an_atomic_request_leaves_a_quarter_of_min_and_then_fails_with_a_message(
    machine,
) -> None:
    taken = []
    while address := __get_free_page(GFP_ATOMIC):
        taken.append(address)
    # Looked at before the page is taken: the last one comes from exactly a quarter.
    assert zone_cy.zone_info(NORMAL)["free_pages"] == 16 // 4 - 1
    assert zone_cy.zone_info(DMA)["free_pages"] == 128 // 4 - 1
    assert zone_cy.zone_info(HIGHMEM)["free_pages"] == 2048
    assert "__alloc_pages: 0-order allocation failed." in str(event_cy.read_log()[-1])
    for address in taken:
        free_page(address)


def test_what_is_traced_of_a_page_is_its_allocation_and_its_free(machine) -> None:
    event_cy.set_trace_allocations(True)
    free_pages(__get_free_pages(GFP_ATOMIC, 2), 2)
    event_cy.set_trace_allocations(False)
    free_pages(__get_free_pages(GFP_ATOMIC, 2), 2)
    records = [str(each) for each in event_cy.read_events(0)]
    assert [sum(name in r for r in records) for name in ("mm_page_alloc", "mm_page_free")] == [
        1,
        1,
    ]


def test_a_page_call_leaves_no_lock_and_no_mark_of_a_call(machine) -> None:
    before = percpu_cy.cpu_info(0)
    taken = zone_cy.zone_info(NORMAL)["nr_allocs"]
    free_page(__get_free_page(GFP_ATOMIC))
    with pytest.raises(BadFree):
        free_page(PAGE_OFFSET + (pfn_of(__get_free_page(GFP_ATOMIC)) ^ 1 << 12))
    assert zone_cy.zone_info(NORMAL)["nr_allocs"] == taken + 2
    assert percpu_cy.cpu_info(0) == before
    slot = percpu_cy.slot_info(0)
    assert (slot["inside"], slot["held"]) == (0, [])


def test_the_truth_names_the_owner_and_the_call_site(machine) -> None:
    address = __get_free_pages(GFP_ATOMIC, 2)
    info = page_cy.page_info(pfn_of(address))
    assert (info["kind"], info["order"], info["slot"]) == (ALLOC, 2, 0)
    assert info["site"] != 0
    assert page_cy.pages_of_slot(0) == [(pfn_of(address), 2, info["site"], 0)]
    free_pages(address, 2)
    assert page_cy.pages_of_slot(0) == []


@pytest.mark.parametrize(
    ("order", "free", "says"),
    [
        (0, lambda a: (free_page(a), free_page(a)), "already free"),
        (2, lambda a: free_pages(a, 1), "wrong order; allocated, order 2, by cpu0"),
        (2, lambda a: free_pages(a + 0x1000, 0), "not its first page"),
        (0, lambda a: free_page(PAGE_OFFSET + 0x100000), "reserved, never allocated"),
        (0, lambda a: free_page(PAGE_OFFSET + 0x800000), "already free"),
        (0, lambda a: free_page(0xD0000000), "not direct-mapped"),
    ],
)
def test_a_bad_free_is_reported_with_the_truth_and_harms_nothing(
    machine, order: int, free, says: str
) -> None:
    address = __get_free_pages(GFP_ATOMIC, order)
    with pytest.raises(BadFree, match=says):
        free(address)
    page_check_cy.check_pages()


def test_on_bug_continue_reports_a_double_free_and_goes_on(machine) -> None:
    segment_cy.set_header(1, 0)
    address = __get_free_page(GFP_ATOMIC)
    free_page(address)
    free_page(address)
    assert any("already free" in str(line) for line in event_cy.read_log())
    page_check_cy.check_pages()


def test_a_page_is_freed_with_its_last_reference(machine) -> None:
    page = alloc_pages(GFP_ATOMIC, 1)
    get_page(page)
    assert page_count(page) == 2
    __free_pages(page, 1)
    assert page_cy.page_info(page.pfn)["kind"] == ALLOC
    __free_pages(page, 1)
    assert page_count(page) == 0
    with pytest.raises(KernelBug, match="get_page"):
        get_page(page)


def test_high_memory_has_no_address_to_return(machine) -> None:
    with pytest.raises(KernelBug, match="no address"):
        __get_free_page(GFP_HIGHUSER & ~1)
    assert zone_cy.zone_info(HIGHMEM)["free_pages"] == 2048


def test_free_of_address_zero_is_ignored(machine) -> None:
    free_page(0)
    free_pages(None, 3)


def test_a_page_handle_is_its_struct_in_mem_map(machine) -> None:
    page = alloc_pages(GFP_ATOMIC, 0)
    assert page_calls_cy.page_address(page) == PAGE_OFFSET + (page.pfn << 12)
    assert page_calls_cy.virt_to_page(page_calls_cy.page_address(page) + 5) == page
    assert page_calls_cy.page_address(int(page)) == page_calls_cy.page_address(page)
    assert page_calls_cy.virt_to_phys(PAGE_OFFSET + 4096) == 4096
    assert page_calls_cy.phys_to_virt(4096) == PAGE_OFFSET + 4096
    __free_pages(page, 0)


def poke(address: int, value: int, size: int = 8) -> None:
    ctypes.memmove(address, value.to_bytes(size, "little"), size)


def poke_page(pfn: int, offset: int, value: int, size: int = 8) -> None:
    """Overwrite a field of struct page: lru_next 8, lru_prev 16, count 24 (4 bytes)."""
    poke(page_cy.native_address(pfn) + offset, value, size)


def poke_zone(zone: int, offset: int, value: int) -> None:
    """Overwrite a field of struct zone: free_pages 24, present_pages 72, free_area 80."""
    poke(zone_cy.zone_info(zone)["address"] + offset, value)


def lose_entry(pfn: int) -> None:
    """Take the only entry of an order off its list, counted, but leave its truth."""
    order = next(o for o in range(9, -1, -1) if len(zone_cy.free_list(DMA, o)) == 1)
    poke_zone(DMA, 80 + order * 16, 0)
    poke_zone(DMA, 80 + order * 16 + 8, 0)


# Each takes the odd pfn of an allocated page whose buddy is free.
DAMAGE = {
    "A truth word says one of the known kinds": lambda pfn: page_cy.poke_truth(pfn, 15),
    "Every page belongs to a block": lambda pfn: page_cy.poke_truth(pfn, 0),
    "starts at a pfn divisible by": lambda pfn: page_cy.poke_truth(pfn, ALLOC | 1 << 4),
    "below the version's limit": lambda pfn: page_cy.poke_truth(pfn, ALLOC | 10 << 4),
    "A block ends within its zone": lambda pfn: page_cy.poke_truth(0xF00, ALLOC | 8 << 4),
    "inside a bigger block are 0": lambda pfn: page_cy.poke_truth(0xA01, ALLOC),
    "never both free": lambda pfn: (
        page_cy.poke_truth(pfn, FREE),
        poke_page(pfn, 24, 0, 4),
    ),
    "A free block has no reference": lambda pfn: poke_page(pfn - 1, 24, 1, 4),
    "not free has a reference": lambda pfn: poke_page(pfn, 24, 0, 4),
    "An entry of an order's free list": lambda pfn: poke_zone(
        DMA, 80 + 16 * 9, page_cy.native_address(pfn)
    ),
    "predecessor of its successor": lambda pfn: poke_page(0xA00, 16, 0x1234),
    "nr_free of an order counts": lambda pfn: poke_zone(DMA, 80 + 8, 99),
    "is on the free list of its order": lose_entry,
    "free_pages of a zone counts": lambda pfn: poke_zone(DMA, 24, 1),
    "present_pages of a zone counts": lambda pfn: poke_zone(DMA, 72, 1),
}


@pytest.mark.parametrize("invariant", sorted(DAMAGE))
def test_check_names_the_one_invariant_that_is_damaged(invariant: str) -> None:
    small_machine(spinlock_cy, page_alloc_cy, ram_bytes=0xF80 << 12)
    while zone_cy.free_list(DMA, 0):
        alloc_pages(GFP_ATOMIC, 0)
    pfn = alloc_pages(GFP_ATOMIC, 0).pfn
    assert zone_cy.free_list(DMA, 0) == [pfn - 1]
    page_check_cy.check_pages()
    DAMAGE[invariant](pfn)
    with pytest.raises(CorruptionError, match=invariant):
        page_check_cy.check_pages()


def test_every_invariant_has_its_damage() -> None:
    for sentence in page_check_cy.INVARIANTS.values():
        assert sum(part in sentence for part in DAMAGE) == 1, sentence


def test_rebuild_restores_lists_and_counters_from_the_truth(machine) -> None:
    kept = [__get_free_pages(GFP_ATOMIC, order) for order in (0, 3, 1, 0)]
    before = {zone: {o: sorted(b) for o, b in blocks(zone).items()} for zone in (DMA, NORMAL)}
    for order in range(10):
        poke_zone(NORMAL, 80 + 16 * order, 0)
    poke_zone(NORMAL, 24, 77)
    zone_cy.rebuild()
    page_check_cy.check_pages()
    after = {zone: {o: sorted(b) for o, b in blocks(zone).items()} for zone in (DMA, NORMAL)}
    assert after == before
    for address, order in zip(kept, (0, 3, 1, 0), strict=True):
        free_pages(address, order)


@pytest.mark.parametrize(
    "point", ["page_split", "page_allocated", "page_freed", "page_merged"]
)
def test_a_process_killed_at_a_named_point_leaves_a_zone_that_can_be_rebuilt(
    point: str,
) -> None:
    small_machine(spinlock_cy, page_alloc_cy, ram_bytes=32 * MIB, cpus=2)
    free = sum(zone_cy.zone_info(z)["free_pages"] for z in (DMA, NORMAL))
    split = next(order for order in range(9) if not zone_cy.free_list(NORMAL, order))

    def churn() -> None:
        percpu_cy.take_slot(1, 1, "cpu1", 1)
        percpu_cy.become(1, os.getpid())
        kill_cy.arm(point)
        free_pages(__get_free_pages(GFP_ATOMIC, split), split)

    in_child(churn, expect=signal.SIGKILL)
    percpu_cy.mark_dead(1)
    # Our next call takes the lock over and repairs what it protects.
    free_pages(__get_free_pages(GFP_ATOMIC, split), split)
    page_check_cy.check_pages()
    lost = page_cy.pages_of_slot(1)
    assert len(lost) == (1 if point == "page_allocated" else 0)
    for pfn, order, _site, _pid in lost:
        free_pages(PAGE_OFFSET + (pfn << 12), order)
    page_check_cy.check_pages()
    assert sum(zone_cy.zone_info(z)["free_pages"] for z in (DMA, NORMAL)) == free
