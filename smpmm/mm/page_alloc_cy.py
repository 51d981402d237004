"""The page allocator's policy: zonelists, watermarks, and what happens when memory is short.

Models __alloc_pages of 2.4.5 (mm/page_alloc.c), a flat fast path and this order behind it:

1. Each zone of the list with free >= low.
2. Wake kswapd if a zone is below its mark; each zone with free + clean > high, then > low.
3. Wake kswapd; who may wait yields. Each zone with free + clean > min.
4. Who may wait: for a block, launder pages and move clean ones to the buddy lists; with IO,
   sleep until kswapd has gone round, else free some pages itself. A single page starts
   again at 1.
5. What cannot wait or got no block: any zone with free >= min/4, or any at all with
   PF_MEMALLOC.

"Clean" are the pages of clean buffers, which are given up without IO.
"""

import os

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import (
    atomic64_fetch_add,
    atomic64_load_relaxed,
    atomic64_xchg,
    likely,
    unlikely,
)
from cython.cimports.cpus.event_cy import (
    EVENT_PAGE_ALLOC,
    EVENT_PAGE_FREE,
    TASK_PID_WORD,
    log_text,
    trace_allocations,
    trace_event,
)
from cython.cimports.cpus.percpu_cy import (
    call_out,
    come_back,
    enter,
    enter_sleeping,
    leave,
    may_sleep_here,
    this_cpu,
)
from cython.cimports.libc.stdio import snprintf
from cython.cimports.libc.string import strlen
from cython.cimports.smpmm.mm import zone_cy
from cython.cimports.smpmm.mm.page_cy import (
    PAGE_ALLOC,
    page_to_pfn,
)
from cython.cimports.smpmm.mm.zone_cy import (
    FREE_NOT_NOW,
    NR_ZONES,
    free_block,
    free_block_call,
    owner_bits,
    rmqueue,
    rmqueue_call,
    zone_at,
)

import cpus.segment_cy as segment_module
import smpmm.mm.page_cy as page_module
import smpmm.mm.zone_cy as zone_module
from cpus import bug, event_cy
from smpmm.mm import memmap, setup_arch, window_cy

# Called outside of the kernel call when memory is short: (stage RECLAIM_*, gfp, order).
# Returns 1 when it made progress, 0 when there is nothing to be had.
reclaim_hook: object = None
layout: object = None


def register_reclaim(hook: object) -> None:
    """Register what frees memory when it is short; boot, before the forks."""
    global reclaim_hook
    reclaim_hook = hook


def regions(config: object) -> dict:
    """Return the regions of the segment that the page allocator needs, name → bytes."""
    return {
        **window_cy.regions(config),
        **zone_module.regions(config),
        "vm_state": cython.sizeof(vm_state),
    }


def attach(config: object) -> None:
    """Find mem_map and the zones, set the address windows; the monitor, before it forks."""
    global vm, layout, fail_page_alloc_on
    fail_page_alloc_on = cython.address(never_fail)
    profile = memmap.memory_profile(config)
    memory = memmap.memory_map_of(config)
    segment_module.set_windows(
        profile.page_offset,
        memory.max_low_pfn << profile.page_shift,
        profile.window_start,
        b"window",
    )
    layout = memory
    page_module.attach(memory)
    zone_module.attach(profile)
    vm = cython.cast(cython.pointer[vm_state], segment_cy.region_at(b"vm_state"))
    set_gfp(profile)


def boot_memory_map():
    """Return the memmap.MemoryMap of this machine."""
    return layout


def set_gfp(profile: object) -> None:
    """Take the version's flag bits and its reserve for atomic requests from the profile."""
    global gfp_wait, gfp_high, gfp_io, gfp_dma, gfp_highmem, atomic_divisor
    gfp_wait = profile.gfp.get("__GFP_WAIT", 0)
    gfp_high = profile.gfp.get("__GFP_HIGH", 0)
    gfp_io = profile.gfp.get("__GFP_IO", 0)
    gfp_dma = profile.gfp.get("__GFP_DMA", 0)
    gfp_highmem = profile.gfp.get("__GFP_HIGHMEM", 0)
    atomic_divisor = profile.atomic_divisor


def init(config: object) -> None:
    """Format mem_map and the zones of a fresh segment; the monitor, acting as CPU 0."""
    global layout
    layout = setup_arch.hand_over(layout)
    zone_module.init(memmap.memory_profile(config), layout)
    build_zonelists()
    event_cy.log(setup_arch.memory_line(memmap.memory_profile(config), layout), 6)


def build_zonelists() -> None:
    """List the zones for each mask, best first; empty zones are left out."""
    first: cython.int
    index: cython.int
    n: cython.int
    for first in range(NR_ZONES):
        n = 0
        for index in range(first, -1, -1):
            if zone_at(index).present_pages != 0:
                zonelists[first][n] = zone_at(index)
                n += 1
        zonelists[first][n] = cython.NULL


def alloc_pages(gfp, order, site):
    z: cython.pointer[cython.pointer[zone]]
    p: cython.pointer[page]
    owner: u64
    if order >= zone_cy.nr_orders:
        return cython.NULL
    if unlikely(fail_page_alloc_on[0] != 0):
        if should_fail_alloc_page(gfp, order, site):
            return cython.NULL
    owner = owner_bits(site)
    z = zonelist_for(gfp)
    while z[0] != cython.NULL:
        if atomic64_load_relaxed(cython.address(z[0].free_pages)) >= z[0].pages_low:
            p = rmqueue(z[0], order, owner, site)
            if p != cython.NULL:
                if unlikely(trace_allocations):
                    trace_event(EVENT_PAGE_ALLOC, page_to_pfn(p), order, gfp, site)
                return p
        z += 1
    return alloc_pages_slowpath(gfp, order, owner, site)


def alloc_pages_call(gfp, order, site, name):
    z: cython.pointer[zone] = zonelist_for(gfp)[0]
    p: cython.pointer[page]
    if likely(
        order < zone_cy.nr_orders
        and z != cython.NULL
        and fail_page_alloc_on[0] == 0
        and not trace_allocations
        and atomic64_load_relaxed(cython.address(z.free_pages)) >= z.pages_low
    ):
        p = rmqueue_call(z, order, gfp & gfp_wait != 0, site)
        if likely(p != cython.NULL):
            return p
    if gfp & gfp_wait:
        enter_sleeping(name)
    else:
        enter()
    p = alloc_pages(gfp, order, site)
    leave()
    return p


def alloc_pages_slowpath(gfp, order, owner, site):
    """Find a block in a machine that is short of memory: steps 2 to 5 of the module's text."""
    z: cython.pointer[cython.pointer[zone]] = zonelist_for(gfp)
    p: cython.pointer[page]
    progress: cython.int = 1
    wait: cython.bint
    direct: cython.bint
    while True:
        if unlikely(zone_cy.backing_error != 0):
            host_has_no_memory()
        # Looked at anew in each round: a task that the OOM killer chose may use the reserve.
        wait = (gfp & gfp_wait) != 0 and may_sleep_here() and not has_memalloc()
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
        progress = reclaim(RECLAIM_WAIT if gfp & gfp_io else RECLAIM_DIRECT, gfp, order)
        if order != 0:
            break
    p = alloc_pages_last(z, order, owner, site)
    if p == cython.NULL:
        allocation_failed(order)
    return p


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
            >= z[0].pages_min // atomic_divisor
        ):
            p = rmqueue(z[0], order, owner, site)
            if p != cython.NULL:
                return p
        z += 1
    return cython.NULL


def has_memalloc():
    """Whether the running task may use the whole reserve; 2.4: also in an interrupt."""
    if this_cpu.current == 0:
        return False
    # `flags` stands behind `pid` in task_struct; task_cy checks the place of both at import.
    flags: u64 = cython.cast(cython.pointer[u64], this_cpu.current)[TASK_PID_WORD + 1]
    return flags & PF_MEMALLOC != 0


def reclaim(stage, gfp, order):
    """Ask the reclaim for pages, outside of the call. An exception has left the call."""
    made: cython.int
    if reclaim_hook is None:
        return 0
    call_out()
    made = reclaim_hook(stage, gfp, order)
    come_back()
    return made


def host_has_no_memory():
    """End the machine: the host cannot back its RAM. Leaves the call by the exception."""
    call_out()
    bug.panic(f"the host has no memory for RAM: {os.strerror(zone_cy.backing_error)}")


def wakeup_kswapd():
    if atomic64_xchg(cython.address(vm.kswapd_wanted), 1) == 0:
        atomic64_fetch_add(cython.address(vm.nr_kswapd_wakeups), 1)
        if wake_kswapd_thread != cython.NULL:
            wake_kswapd_thread()


def allocation_failed(order):
    text: cython.char[64]
    atomic64_fetch_add(cython.address(vm.nr_failed), 1)
    snprintf(text, 64, b"__alloc_pages: %llu-order allocation failed.", order)
    log_text(text, strlen(text), 3)


def free_pages_call(p, order, site):
    freed: cython.int = FREE_NOT_NOW
    if likely(not trace_allocations):
        freed = free_block_call(p, order, PAGE_ALLOC, site)
    if unlikely(freed == FREE_NOT_NOW):
        enter()
        if unlikely(trace_allocations):
            trace_event(EVENT_PAGE_FREE, page_to_pfn(p), order, 0, site)
        freed = free_block(p, order, PAGE_ALLOC, site)
        leave()
    return freed


def nr_free_pages():
    """Return how many pages are free, without a lock."""
    n: u64 = 0
    i: cython.int
    for i in range(NR_ZONES):
        n += atomic64_load_relaxed(cython.address(zone_at(i).free_pages))
    return n


def vm_counters() -> dict:
    """Return the figures of memory shortage. Any process."""
    return vm[0]
