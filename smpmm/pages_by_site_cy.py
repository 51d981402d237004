"""Which call sites have pages of the page allocator: a walk over the truth of every page."""

import cython
from cython.cimports.smpmm.mm.page_cy import (
    PAGE_ALLOC,
    TRUTH_SITE_SHIFT,
    mem_map,
    nr_pages,
    truth_kind,
    truth_order,
)


def allocated_blocks() -> dict:
    """Return {(call site, order): blocks} of what is allocated. Any process; a snapshot.

    Runtime complexity: O(blocks).
    """
    counts: dict = {}
    pfn: u64 = 0
    truth: u64
    while pfn < nr_pages:
        truth = mem_map[pfn].truth
        if truth_kind(truth) == PAGE_ALLOC:
            key = ((truth >> TRUTH_SITE_SHIFT) & 0xFFFF, truth_order(truth))
            counts[key] = counts.get(key, 0) + 1
        pfn += cython.cast(u64, 1) << truth_order(truth) if truth != 0 else 1
    return counts
