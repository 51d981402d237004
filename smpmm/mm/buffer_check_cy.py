"""check() of the buffer cache: what its pages say against hash, LRU lists and counters.

Walked under the cache's lock; a fault becomes an exception when that has been given back.
"""

import cython
from cython.cimports.cpus.percpu_cy import enter, leave
from cython.cimports.cpus.spinlock_cy import raw_spin_lock_irqsave, raw_spin_unlock_irqrestore
from cython.cimports.smpmm.mm.buffer_cy import (
    BH_DIRTY,
    LIST_INACTIVE_CLEAN,
    LIST_NONE,
    NR_LISTS,
    buffer_heads,
    cache,
    lookup,
)
from cython.cimports.smpmm.mm.page_alloc_cy import vm
from cython.cimports.smpmm.mm.page_cy import (
    PAGE_BUFFER,
    max_low_pfn,
    page_to_pfn,
    pfn_to_page,
    truth_kind,
)
from cython.cimports.smpmm.mm.zone_cy import NR_ZONES, zone_at

from cpus.errors import CorruptionError

INVARIANTS = {
    BAD_ENTRY: "What is on an LRU list is, by its truth, a page of the buffer cache.",
    BAD_LIST: "A buffer's `list` says which LRU list its page is on.",
    BAD_LINK: "Each entry of an LRU list is the predecessor of its successor.",
    BAD_LENGTH: "The length of an LRU list counts its entries.",
    BAD_LISTED: "Every page of the buffer cache is on an LRU list.",
    BAD_HASH: "A buffer is found by its device and block.",
    BAD_DIRTY: "nr_dirty counts the dirty buffers.",
    BAD_CLEAN: "inactive_clean_pages of the zones count the inactive clean list.",
    BAD_TOTAL: "The number of buffers is that of the pages that are buffers by their truth.",
}


def check_buffers() -> None:
    """Walk every invariant of the buffer cache; CorruptionError names one that is broken."""
    enter()
    flags: cython.ulonglong = raw_spin_lock_irqsave(cython.address(cache.lock), 0)
    code: cython.int = check_cache()
    raw_spin_unlock_irqrestore(cython.address(cache.lock), flags)
    leave()
    if code != SOUND:
        raise CorruptionError(
            f"{INVARIANTS[code]} Page {found_pfn:#x}: found {found_has:#x}, "
            f"should be {found_should:#x}"
        )


def fault(code, pfn, has, should):
    global found_pfn, found_has, found_should
    found_pfn = pfn
    found_has = has
    found_should = should
    return code


def check_cache():
    which: u32
    code: cython.int
    clean: u64 = 0
    listed: u64 = 0
    i: cython.int
    for which in range(LIST_NONE + 1, NR_LISTS):
        code = check_lru(which)
        if code != SOUND:
            return code
        listed += cache.lru[which].nr
    for i in range(NR_ZONES):
        clean += zone_at(i).inactive_clean_pages
    if clean != cache.lru[LIST_INACTIVE_CLEAN].nr:
        return fault(BAD_CLEAN, 0, clean, cache.lru[LIST_INACTIVE_CLEAN].nr)
    if vm.nr_buffer_pages != listed:
        return fault(BAD_TOTAL, 0, vm.nr_buffer_pages, listed)
    return check_truth()


def check_lru(which):
    n: u64 = 0
    before: cython.pointer[page] = cython.NULL
    p: cython.pointer[page] = cache.lru[which].first
    while p != cython.NULL:
        if p < pfn_to_page(0) or p >= pfn_to_page(max_low_pfn):
            return fault(BAD_ENTRY, 0, cython.cast(u64, p), 0)
        if truth_kind(p.truth) != PAGE_BUFFER:
            return fault(BAD_ENTRY, page_to_pfn(p), p.truth, PAGE_BUFFER)
        if buffer_heads[page_to_pfn(p)].list != which:
            return fault(BAD_LIST, page_to_pfn(p), buffer_heads[page_to_pfn(p)].list, which)
        if p.lru_prev != before:
            has: u64 = cython.cast(u64, p.lru_prev)
            return fault(BAD_LINK, page_to_pfn(p), has, cython.cast(u64, before))
        before = p
        p = p.lru_next
        n += 1
    if n != cache.lru[which].nr or cache.lru[which].last != before:
        return fault(BAD_LENGTH, 0, cache.lru[which].nr, n)
    return SOUND


def check_truth():
    """Compare all pages that are buffers by their truth with hash and counters."""
    pfn: u64
    nr: u64 = 0
    dirty: u64 = 0
    # A buffer is one page, and words inside other blocks are 0: each word can be looked at.
    for pfn in range(max_low_pfn):
        if truth_kind(pfn_to_page(pfn).truth) != PAGE_BUFFER:
            continue
        nr += 1
        if buffer_heads[pfn].state & BH_DIRTY:
            dirty += 1
        if buffer_heads[pfn].list == LIST_NONE:
            return fault(BAD_LISTED, pfn, LIST_NONE, 1)
        if lookup(buffer_heads[pfn].key) != pfn:
            return fault(BAD_HASH, pfn, lookup(buffer_heads[pfn].key), pfn)
    if nr != vm.nr_buffer_pages:
        return fault(BAD_TOTAL, 0, vm.nr_buffer_pages, nr)
    if dirty != cache.nr_dirty:
        return fault(BAD_DIRTY, 0, cache.nr_dirty, dirty)
    return SOUND
