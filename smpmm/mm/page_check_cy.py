"""check() of the page allocator: the truth of every page against free lists and counters.

Each zone is walked under its lock. A fault is noted as numbers and turned into an exception
when the lock has been given back.
"""

import cython
from cython.cimports.cpus.percpu_cy import enter, leave
from cython.cimports.cpus.spinlock_cy import raw_spin_lock_irqsave, raw_spin_unlock_irqrestore
from cython.cimports.smpmm.mm.page_cy import (
    PAGE_FREE,
    PAGE_INSIDE,
    PAGE_KINDS,
    PAGE_RESERVED,
    TRUTH_HEAD,
    TRUTH_ORDER_SHIFT,
    mem_map,
    nr_pages,
    page_to_pfn,
    pfn_to_page,
    truth_kind,
    truth_order,
)
from cython.cimports.smpmm.mm.zone_cy import NR_ORDERS_MAX, NR_ZONES, nr_orders, zone_at

from cpus.errors import CorruptionError

INVARIANTS = {
    BAD_KIND: "A truth word says one of the known kinds of page.",
    BAD_START: "A block of order n starts at a pfn divisible by 2**n.",
    BAD_ORDER: "The order of a block is below the version's limit.",
    BAD_END: "A block ends within its zone.",
    BAD_INSIDE: "The truth words inside a bigger block are 0.",
    BAD_WHERE: "Every page belongs to a block: the first page after one has a truth word.",
    BAD_BUDDIES: "Two buddies are never both free: they are merged.",
    BAD_FREE_COUNT: "A free block has no reference.",
    BAD_ALLOC_COUNT: "A block that is not free has a reference.",
    BAD_LIST_ENTRY: "An entry of an order's free list is a free block of that order.",
    BAD_LINK: "Each entry of a free list is the predecessor of its successor.",
    BAD_NR_FREE: "nr_free of an order counts the entries of its free list.",
    BAD_LIST_LENGTH: "Every block that is free by its truth is on the free list of its order.",
    BAD_FREE_PAGES: "free_pages of a zone counts the pages of its free blocks.",
    BAD_PRESENT: "present_pages of a zone counts its pages that are not reserved.",
}


def check_pages() -> None:
    """Walk every invariant of pages and zones; CorruptionError names one that is broken."""
    z: cython.pointer[zone]
    code: cython.int
    index: cython.int
    for index in range(NR_ZONES):
        z = zone_at(index)
        enter()
        flags: u64 = raw_spin_lock_irqsave(cython.address(z.lock), 0)
        code = check_zone(z)
        raw_spin_unlock_irqrestore(cython.address(z.lock), flags)
        leave()
        if code != SOUND:
            raise CorruptionError(
                f"{INVARIANTS[code]} Zone {z.name.decode()}, pfn {found_pfn:#x}: "
                f"found {found_has:#x}, should be {found_should:#x}"
            )


def fault(code, pfn, has, should):
    """Note a broken invariant and return its code."""
    global found_pfn, found_has, found_should
    found_pfn = pfn
    found_has = has
    found_should = should
    return code


def check_zone(z):
    heads: u64[11]
    order: u64
    code: cython.int
    p: cython.pointer[page]
    pfn: u64 = z.zone_start_pfn
    end: u64 = pfn + z.spanned_pages
    free: u64 = 0
    reserved: u64 = 0
    for order in range(NR_ORDERS_MAX):
        heads[order] = 0
    while pfn < end:
        code = check_block(z, pfn)
        if code != SOUND:
            return code
        p = pfn_to_page(pfn)
        order = truth_order(p.truth)
        if truth_kind(p.truth) == PAGE_FREE:
            heads[order] += 1
            free += cython.cast(u64, 1) << order
        elif truth_kind(p.truth) == PAGE_RESERVED:
            reserved += 1
        pfn += cython.cast(u64, 1) << order
    for order in range(nr_orders):
        code = check_list(z, order, heads[order])
        if code != SOUND:
            return code
    if z.free_pages != free:
        return fault(BAD_FREE_PAGES, z.zone_start_pfn, z.free_pages, free)
    if z.present_pages != z.spanned_pages - reserved:
        return fault(
            BAD_PRESENT, z.zone_start_pfn, z.present_pages, z.spanned_pages - reserved
        )
    return SOUND


def check_block(z, pfn):
    """Check the block that starts at `pfn` by itself, and that its buddy is not free too."""
    p: cython.pointer[page] = pfn_to_page(pfn)
    kind: u32 = truth_kind(p.truth)
    order: u64 = truth_order(p.truth)
    end: u64 = z.zone_start_pfn + z.spanned_pages
    pages: u64
    buddy: u64
    i: u64
    if kind == PAGE_INSIDE:
        return fault(BAD_WHERE, pfn, p.truth, PAGE_FREE)
    if kind >= PAGE_KINDS:
        return fault(BAD_KIND, pfn, p.truth, PAGE_FREE)
    if order >= nr_orders:
        return fault(BAD_ORDER, pfn, order, nr_orders - 1)
    pages = cython.cast(u64, 1) << order
    if pfn & (pages - 1):
        return fault(BAD_START, pfn, order, 0)
    if pfn + pages > end:
        return fault(BAD_END, pfn, pfn + pages, end)
    for i in range(1, pages):
        if pfn_to_page(pfn + i).truth != PAGE_INSIDE:
            return fault(BAD_INSIDE, pfn + i, pfn_to_page(pfn + i).truth, 0)
    if kind != PAGE_FREE:
        if p.count == 0:
            return fault(BAD_ALLOC_COUNT, pfn, 0, 1)
        return SOUND
    if p.count != 0:
        return fault(BAD_FREE_COUNT, pfn, p.count, 0)
    buddy = pfn ^ pages
    if order < nr_orders - 1 and z.zone_start_pfn <= buddy and buddy + pages <= end:
        if (pfn_to_page(buddy).truth & TRUTH_HEAD) == (p.truth & TRUTH_HEAD):
            return fault(BAD_BUDDIES, pfn, order, order + 1)
    return SOUND


def check_list(z, order, heads):
    """Compare a free list with what the truth says: `heads` free blocks of this order."""
    n: u64 = 0
    before: cython.pointer[page] = cython.NULL
    p: cython.pointer[page] = z.free_area[order].first
    head: u64 = PAGE_FREE | order << TRUTH_ORDER_SHIFT
    while p != cython.NULL:
        if p < mem_map or p >= mem_map + nr_pages:
            return fault(BAD_LIST_ENTRY, 0, cython.cast(u64, p), head)
        if p < pfn_to_page(z.zone_start_pfn) or page_to_pfn(p) >= (
            z.zone_start_pfn + z.spanned_pages
        ):
            return fault(BAD_LIST_ENTRY, page_to_pfn(p), p.truth, head)
        if (p.truth & TRUTH_HEAD) != head:
            return fault(BAD_LIST_ENTRY, page_to_pfn(p), p.truth, head)
        # The links back are right up to here, so no entry can come twice and the walk ends.
        if p.lru_prev != before:
            return fault(
                BAD_LINK,
                page_to_pfn(p),
                cython.cast(u64, p.lru_prev),
                cython.cast(u64, before),
            )
        before = p
        p = p.lru_next
        n += 1
    if z.free_area[order].nr_free != n:
        return fault(BAD_NR_FREE, z.zone_start_pfn, z.free_area[order].nr_free, n)
    if n != heads:
        return fault(BAD_LIST_LENGTH, z.zone_start_pfn, n, heads)
    return SOUND
