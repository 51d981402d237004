"""When memory is short: the order of actions of 2.4.0 to 2.4.9 (mm/page_alloc.c).

1. Each zone of the list with free >= low.
2. Wake kswapd if a zone is below its mark; each zone with free + clean > high, then > low.
3. Wake kswapd; who may wait yields. Each zone with free + clean > min.
4. Who may wait: for a block, launder pages and move clean ones to the buddy lists; with IO,
   sleep until kswapd has gone round, else free some pages itself. A single page starts
   again at 2.
5. What cannot wait or got no block: any zone with free >= min/4, or any at all with
   PF_MEMALLOC.

"Clean" are the pages of clean buffers, which are given up without IO.
"""

import cython
from cython.cimports.cpus.atomic import atomic64_load_relaxed, unlikely
from cython.cimports.cpus.percpu_cy import may_sleep_here
from cython.cimports.libc.stdio import snprintf
from cython.cimports.smpmm.mm import page_alloc_cy, zone_cy
from cython.cimports.smpmm.mm.page_alloc_cy import (
    RECLAIM_DIRECT,
    RECLAIM_LAUNDER,
    RECLAIM_WAIT,
    RECLAIM_YIELD,
    allocation_failed,
    has_memalloc,
    host_has_no_memory,
    reclaim,
    reclaim_clean,
    wakeup_kswapd,
    zonelist_for,
)
from cython.cimports.smpmm.mm.zone_cy import rmqueue


def attach(profile: object) -> None:
    """Be what the page allocator does when memory is short."""
    page_alloc_cy.slow_path = alloc_pages_slowpath


def alloc_pages_slowpath(gfp, order, owner, site):
    """Find a block beyond the first zone: steps 1 to 5 of the module's text."""
    z: cython.pointer[cython.pointer[zone]] = zonelist_for(gfp)
    p: cython.pointer[page]
    text: cython.char[64]
    progress: cython.int = 1
    wait: cython.bint
    direct: cython.bint
    p = alloc_pages_plenty(z, order, owner, site)
    if p != cython.NULL:
        return p
    while True:
        if unlikely(zone_cy.backing_error != 0):
            host_has_no_memory()
        # Looked at anew in each round: a task that the OOM killer chose may use the reserve.
        wait = (gfp & page_alloc_cy.gfp_wait) != 0 and may_sleep_here() and not has_memalloc()
        direct = wait and order == 0
        p = alloc_pages_limit(z, order, LIMIT_HIGH, direct, owner, site)
        if p == cython.NULL:
            p = alloc_pages_limit(z, order, LIMIT_LOW, direct, owner, site)
        if p != cython.NULL:
            return p
        wakeup_kswapd()
        if wait:
            reclaim(RECLAIM_YIELD, gfp, order)
        p = alloc_pages_limit(z, order, LIMIT_MIN, direct, owner, site)
        if p != cython.NULL:
            return p
        if not wait or progress == 0:
            break
        if order != 0:
            reclaim(RECLAIM_LAUNDER, gfp, order)
        progress = reclaim(
            RECLAIM_WAIT if gfp & page_alloc_cy.gfp_io else RECLAIM_DIRECT, gfp, order
        )
        if order != 0:
            break
    p = alloc_pages_last(z, order, owner, site)
    if p == cython.NULL:
        snprintf(text, 64, b"__alloc_pages: %llu-order allocation failed.", order)
        allocation_failed(text, 3)
    return p


def alloc_pages_plenty(z, order, owner, site):
    """Take a block from the first zone that is not below its low mark."""
    p: cython.pointer[page]
    while z[0] != cython.NULL:
        if atomic64_load_relaxed(cython.address(z[0].free_pages)) >= z[0].pages_low:
            p = rmqueue(z[0], order, owner, site)
            if p != cython.NULL:
                return p
        z += 1
    return cython.NULL


def alloc_pages_limit(z, order, limit, direct, owner, site):
    """Take a block from the first zone whose free and clean pages are above a mark.

    `direct`: a clean page is given up first where few are free. NULL: there is no such zone.
    """
    p: cython.pointer[page]
    mark: u64
    free: u64
    clean: u64
    while z[0] != cython.NULL:
        mark = z[0].pages_min
        if limit == LIMIT_LOW:
            mark = z[0].pages_low
        elif limit == LIMIT_HIGH:
            mark = z[0].pages_high
        free = atomic64_load_relaxed(cython.address(z[0].free_pages))
        clean = atomic64_load_relaxed(cython.address(z[0].inactive_clean_pages))
        if free + clean > mark:
            if direct and clean != 0 and free < z[0].pages_min + 8:
                reclaim_clean(z[0], 1)
            p = rmqueue(z[0], order, owner, site)
            if p != cython.NULL:
                return p
        z += 1
    return cython.NULL


def alloc_pages_last(z, order, owner, site):
    """Take a block from the reserve: a quarter of min is kept, nothing from PF_MEMALLOC."""
    p: cython.pointer[page]
    memalloc: cython.bint = has_memalloc()
    while z[0] != cython.NULL:
        if (
            memalloc
            or atomic64_load_relaxed(cython.address(z[0].free_pages))
            >= z[0].pages_min // page_alloc_cy.atomic_divisor
        ):
            p = rmqueue(z[0], order, owner, site)
            if p != cython.NULL:
                return p
        z += 1
    return cython.NULL
