"""How caches give memory back: kmem_cache_shrink, _reap and _destroy of Linux 2.4 (mm/slab.c).

Lock order: cache_chain_sem, then a cache's lock.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import (
    atomic32_cmpxchg,
    atomic32_store,
    atomic64_fetch_add,
    atomic64_store,
    compiler_barrier,
)
from cython.cimports.cpus.handle_cy import address_of
from cython.cimports.cpus.kill_cy import (
    KILL_CACHE_DESTROY,
    KILL_CACHE_DESTROYED,
    kill_point,
)
from cython.cimports.cpus.percpu_cy import (
    enter,
    enter_sleeping,
    leave,
    this_cpu,
    this_owner,
)
from cython.cimports.cpus.spinlock_cy import raw_spin_lock_irqsave, raw_spin_unlock_irqrestore
from cython.cimports.cpus.whole import whole
from cython.cimports.smpmm.mm.page_alloc_cy import gfp_wait
from cython.cimports.smpmm.mm.slab_cy import (
    checked_cache,
    flush_array,
)
from cython.cimports.smpmm.mm.slab_grow_cy import (
    free_kernel_object,
    kmem_slab_destroy,
    own_kernel_object,
)
from cython.cimports.smpmm.mm.slab_list_cy import (
    CACHE_DYING,
    CACHE_FREE,
    CACHE_LIVE,
    DFLGS_GROWN,
    SLAB_DYING,
    cache_at,
    cache_growing,
    caches,
    cpu_array,
    list_del_slab,
    slab_global,
)

from cpus import context_cy, event_cy
from smpmm.mm import cpucache_cy, slab_corruption, slab_report
from smpmm.mm.slab_profile import SLAB_NO_REAP, slab_profile

KERN_ERR = 3
CHAIN_SEM_BYTES = 128

profile: object = None


def chain_down() -> None:
    """Take cache_chain_sem. Sleeps; a task only, at boot there is nobody else."""
    if slab_global.chain_sem != 0 and this_cpu.current != 0:
        from cpus import semaphore_cy

        semaphore_cy.down(slab_global.chain_sem)


def chain_trylock() -> bool:
    """Take cache_chain_sem if it is free; false when somebody has it."""
    if slab_global.chain_sem != 0 and this_cpu.current != 0:
        from cpus import semaphore_cy

        return semaphore_cy.down_trylock(slab_global.chain_sem) == 0
    return True


def chain_up() -> None:
    """Give cache_chain_sem back."""
    if slab_global.chain_sem != 0 and this_cpu.current != 0:
        from cpus import semaphore_cy

        semaphore_cy.up(slab_global.chain_sem)


def make_chain_sem() -> None:
    """Make cache_chain_sem in the handle window, in a machine that has tasks; boot."""
    if segment_cy.region_size(b"tasks") == 0:
        return
    from cpus import semaphore_cy
    from smpmm.mm import window_cy

    address: u64 = window_cy.window_alloc(CHAIN_SEM_BYTES)
    semaphore_cy.sema_init(address, 1)
    slab_global.chain_sem = address


def attach(config: object) -> None:
    """Take the version's figures. The monitor, before it forks."""
    global profile
    profile = slab_profile(config)


def kmem_cache_shrink(cachep: object) -> int:
    """Give the pages of free slabs back: 0 when no slab is left, else 1. May sleep.

    The CPUs' arrays are drained first (2.4.20 and later do not, and count pages).
    """
    c: cython.pointer[kmem_cache] = cache_at(address_of(cachep))
    if c == cython.NULL:
        refuse_none(cachep, "kmem_cache_shrink")
        c = checked_cache(address_of(cachep), "kmem_cache_shrink")
    enter_sleeping(b"kmem_cache_shrink")
    leave()
    if context_cy.in_interrupt():
        slab_report.kernel_bug("kmem_cache_shrink", "called in interrupt")
    return _shrink(c.index)


def _shrink(index: cython.int) -> int:
    chain_down()
    try:
        cpucache_cy.drain_cpu_caches(index)
    finally:
        chain_up()
    if profile.debug:
        slab_corruption.verify_cache(index)
    enter()
    left: cython.int = shrink_slabs(caches + index)
    leave()
    return left


def shrink_slabs(c):
    """Take the free slabs apart; 1 when others remain."""
    s: cython.pointer[slab]
    left: cython.int
    flags: u64
    while True:
        flags = raw_spin_lock_irqsave(cython.address(c.lock), slab_global.site_grow)
        s = take_free_slab(c) if not cache_growing(c) else cython.NULL
        left = c.first != cython.NULL
        raw_spin_unlock_irqrestore(cython.address(c.lock), flags)
        if s == cython.NULL:
            return left
        kmem_slab_destroy(c, s, False)


def take_free_slab(c):
    s: cython.pointer[slab] = c.last
    if s == cython.NULL or s.inuse != 0:
        return cython.NULL
    s.owner = this_owner
    compiler_barrier()
    s.state = SLAB_DYING
    compiler_barrier()
    list_del_slab(c, s)
    return s


def kmem_cache_reap(gfp_mask: object) -> None:
    """Free most of the free slabs of the cache that has the most, of the next ten in the
    chain.

    Sleeps for cache_chain_sem when `gfp_mask` has the WAIT bit; without it the call does
    nothing when somebody else has that. May sleep if the mask has __GFP_WAIT.
    """
    c_gfp_mask: u64 = cython.cast(u64, whole(gfp_mask, b"kmem_cache_reap", b"gfp_mask"))
    reap(c_gfp_mask)


def reap(gfp_mask: cython.ulonglong) -> int:
    """Do kmem_cache_reap and return how many pages it gave back. Outside of any kernel
    call."""
    if gfp_mask & gfp_wait:
        enter_sleeping(b"kmem_cache_reap")
        leave()
        chain_down()
    elif not chain_trylock():
        return 0
    try:
        index, nr_slabs = find_best()
        if nr_slabs == 0:
            return 0
        # Only 80 % of the free slabs go.
        return reap_slabs(index, (nr_slabs * 4 + 1) // 5)
    finally:
        chain_up()


def find_best() -> tuple:
    """Return the index of the cache to reap and how many free slabs it has; the clock goes
    on."""
    c: cython.pointer[kmem_cache] = clock_cache()
    start: cython.pointer[kmem_cache] = c
    best: cython.pointer[kmem_cache] = c
    best_slabs: u64 = 0
    best_pages: u64 = 0
    nr_free: u64
    pages: u64
    perfect: cython.bint
    scan: cython.int = slab_global.reap_scan
    while scan != 0:
        scan -= 1
        nr_free = 0
        if not c.flags & cython.cast(u32, SLAB_NO_REAP):
            enter()
            nr_free = reap_weight(c)
            leave()
        pages = nr_free << c.gfporder
        # Constructors and high orders are dear to make again.
        if c.ctor != 0:
            pages = (pages * 4 + 1) // 5
        if c.gfporder != 0:
            pages = (pages * 4 + 1) // 5
        perfect = False
        if pages > best_pages:
            best = c
            best_slabs = nr_free
            best_pages = pages
            perfect = nr_free >= slab_global.reap_perfect
        c = next_in_chain(c)
        if perfect or c == start:
            break
    atomic64_store(cython.address(slab_global.clock), c.born)
    return best.index, best_slabs


def clock_cache():
    """Return the cache at which reap goes on; where that one is gone, the one behind it."""
    best: cython.pointer[kmem_cache] = caches
    i: u64
    for i in range(1, slab_global.nr_caches):
        if caches[i].state == CACHE_LIVE and caches[i].born <= slab_global.clock:
            if best.index == 0 or caches[i].born > best.born:
                best = caches + i
    return best


def next_in_chain(c):
    """Return the live cache behind `c`: the next older one, kmem_cache behind the oldest."""
    best: cython.pointer[kmem_cache] = caches
    i: u64
    for i in range(1, slab_global.nr_caches):
        if caches[i].state == CACHE_LIVE and (c.index == 0 or caches[i].born < c.born):
            if best.index == 0 or caches[i].born > best.born:
                best = caches + i
    return best


def reap_weight(c):
    """Drain this CPU's array and count the cache's free slabs; 0 for one that grows or
    grew."""
    nr: u64 = 0
    flags: u64 = raw_spin_lock_irqsave(cython.address(c.lock), slab_global.site_grow)
    if cache_growing(c):
        nr = 0
    elif c.dflags & DFLGS_GROWN:
        c.dflags &= ~cython.cast(u32, DFLGS_GROWN)
    else:
        flush_array(c, cpu_array(c, this_cpu.number), 0, this_cpu.number)
        nr = count_free_slabs(c)
    raw_spin_unlock_irqrestore(cython.address(c.lock), flags)
    return nr


def count_free_slabs(c):
    nr: u64 = 0
    s: cython.pointer[slab] = c.last
    while s != cython.NULL and s.inuse == 0:
        nr += 1
        s = s.prev
    return nr


def reap_slabs(index: cython.int, nr_slabs: int) -> int:
    """Take up to `nr_slabs` free slabs apart; returns pages."""
    c: cython.pointer[kmem_cache] = caches + index
    most: cython.int = nr_slabs
    done: cython.int = 0
    s: cython.pointer[slab]
    flags: u64
    enter()
    while done < most:
        flags = raw_spin_lock_irqsave(cython.address(c.lock), slab_global.site_grow)
        s = take_free_slab(c) if not cache_growing(c) else cython.NULL
        if s != cython.NULL:
            c.reaped += 1
        raw_spin_unlock_irqrestore(cython.address(c.lock), flags)
        if s == cython.NULL:
            break
        kmem_slab_destroy(c, s, True)
        done += 1
    leave()
    return done << c.gfporder


def refuse_none(cachep: object, call: str) -> None:
    """BUG for no cache at all, as the version has it; any other address is looked at."""
    if address_of(cachep) == 0:
        slab_report.kernel_bug(call, "no cache")


def kmem_cache_destroy(cachep: object) -> int:
    """Destroy a cache: 0, or 1 while objects of it live, and then it stays as it was. May
    sleep."""
    c: cython.pointer[kmem_cache] = cache_at(address_of(cachep))
    if c == cython.NULL:
        refuse_none(cachep, "kmem_cache_destroy")
        c = checked_cache(address_of(cachep), "kmem_cache_destroy")
    enter_sleeping(b"kmem_cache_destroy")
    leave()
    if context_cy.in_interrupt() or cache_growing(c):
        slab_report.kernel_bug(
            "kmem_cache_destroy", f"{slab_report.cache_name(c.index)} in interrupt or growing"
        )
    chain_down()
    claimed = atomic32_cmpxchg(cython.address(c.creator), 0, this_owner) == 0
    if claimed:
        atomic32_store(cython.address(c.state), CACHE_DYING)
    chain_up()
    if not claimed:  # by somebody else, who destroys it too
        slab_report.kernel_bug("kmem_cache_destroy", "somebody destroys the cache already")
        return 1
    try:
        left = _shrink(c.index)
    except BaseException:
        _keep_cache(c.index)
        raise
    if left:
        _keep_cache(c.index)
        return 1
    _free_cache(c.index)
    return 0


def _keep_cache(index: cython.int) -> None:
    """Put a cache whose objects are not all free back into the chain, as its newest."""
    c: cython.pointer[kmem_cache] = caches + index
    event_cy.log(f"kmem_cache_destroy: Can't free all objects {c.address:08x}", KERN_ERR)
    chain_down()
    c.born = atomic64_fetch_add(cython.address(slab_global.born), 1)
    atomic32_store(cython.address(c.state), CACHE_LIVE)
    atomic32_store(cython.address(c.creator), 0)
    chain_up()


def _free_cache(index: cython.int) -> None:
    """Give back the arrays, the handle and the table entry of a cache without slabs."""
    c: cython.pointer[kmem_cache] = caches + index
    handle: u64 = c.address
    cpucache_cy.tune_cpucache(index, 0, 0, True)
    enter()
    own_kernel_object(handle)
    kill_point(KILL_CACHE_DESTROY)
    atomic64_store(cython.address(c.address), 0)
    kill_point(KILL_CACHE_DESTROYED)
    free_kernel_object(handle, index, slab_global.site_cache)
    leave()
    atomic32_store(cython.address(c.state), CACHE_FREE)
    atomic32_store(cython.address(c.creator), 0)
