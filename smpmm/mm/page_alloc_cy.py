"""The page allocator's policy: zonelists, the short way to a page, and the calls around it.

Follows __alloc_pages (mm/page_alloc.c). The short way is the same in all versions: the first
zone of the list has plenty. What else is looked at, who sleeps and who fails is the version's:
`slow_path`, one module for each order of actions (slowpath_*_cy).
"""

import importlib
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
    this_cpu,
)
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
from smpmm.mm import memmap, setup_arch, window_cy, zone_init_cy

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
        **page_module.regions(config),
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
    page_module.attach(memory, profile.page_offset)
    zone_module.attach(profile)
    vm = cython.cast(cython.pointer[vm_state], segment_cy.region_at(b"vm_state"))
    set_gfp(profile)
    name = profile.slow_path.replace(".", "_")
    importlib.import_module(f"smpmm.mm.slowpath_{name}_cy").attach(profile)


def boot_memory_map():
    """Return the memmap.MemoryMap of this machine."""
    return layout


def set_gfp(profile: object) -> None:
    """Take the version's flag bits and its reserve for atomic requests from the profile."""
    global gfp_wait, gfp_high, gfp_io, gfp_dma, gfp_highmem, gfp_dma32, gfp_zones
    global gfp_emergency, atomic_divisor, fast_orders
    core = profile.core
    gfp_wait, gfp_io = core["WAIT"], core["IO"]
    gfp_high, gfp_emergency = core["ATOMIC"], core["HIGH"]
    gfp_dma, gfp_highmem, gfp_dma32 = core["DMA"], core["HIGHMEM"], core["DMA32"]
    gfp_zones = gfp_dma | gfp_highmem | gfp_dma32
    atomic_divisor = profile.atomic_divisor
    fast_orders = profile.fast_orders


def init(config: object) -> None:
    """Format mem_map and the zones of a fresh segment; the monitor, acting as CPU 0."""
    global layout
    profile = memmap.memory_profile(config)
    layout = setup_arch.hand_over(layout)
    zone_init_cy.init(profile, layout)
    build_zonelists(profile.zone_names)
    event_cy.log(setup_arch.memory_line(profile, layout), 6)


def build_zonelists(names: tuple) -> None:
    """List the zones for each mask, best first; empty zones are left out.

    A mask that asks for a kind of zone that the architecture lacks gets the next lower one.
    """
    highest: cython.int = len(names) - 1
    normal: cython.int = highest - 1 if names[highest] == memmap.HIGHMEM else highest
    list_zones(ZONE_DMA, 0)
    list_zones(ZONE_NORMAL, normal)
    list_zones(ZONE_HIGHMEM, highest)
    list_zones(LIST_DMA32, names.index("DMA32") if "DMA32" in names else normal)


def list_zones(list_: cython.int, first: cython.int) -> None:
    """Fill a list with the zones from number `first` downwards."""
    index: cython.int
    n: cython.int = 0
    for index in range(first, -1, -1):
        if zone_at(index).present_pages != 0:
            zonelists[list_][n] = zone_at(index)
            n += 1
    zonelists[list_][n] = cython.NULL


def alloc_pages(gfp, order, site):
    z: cython.pointer[zone] = zonelist_for(gfp)[0]
    p: cython.pointer[page]
    owner: u64
    if order >= zone_cy.nr_orders:
        return cython.NULL
    if unlikely(fail_page_alloc_on[0] != 0):
        if should_fail_alloc_page(gfp, order, site):
            return cython.NULL
    owner = owner_bits(site)
    if (
        order < fast_orders
        and z != cython.NULL
        and atomic64_load_relaxed(cython.address(z.free_pages)) >= z.pages_fast
    ):
        p = rmqueue(z, order, owner, site)
        if p != cython.NULL:
            if unlikely(trace_allocations):
                trace_event(EVENT_PAGE_ALLOC, page_to_pfn(p), order, gfp, site)
            return p
    p = slow_path(gfp, order, owner, site)
    if unlikely(trace_allocations) and p != cython.NULL:
        trace_event(EVENT_PAGE_ALLOC, page_to_pfn(p), order, gfp, site)
    return p


def alloc_pages_call(gfp, order, site, name):
    z: cython.pointer[zone] = zonelist_for(gfp)[0]
    p: cython.pointer[page]
    if likely(
        order < fast_orders
        and z != cython.NULL
        and fail_page_alloc_on[0] == 0
        and not trace_allocations
        and atomic64_load_relaxed(cython.address(z.free_pages)) >= z.pages_fast
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


def allocation_failed(text, level):
    atomic64_fetch_add(cython.address(vm.nr_failed), 1)
    if text != cython.NULL:
        log_text(text, strlen(text), level)


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
