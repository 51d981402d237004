"""The slab allocator of Linux 2.4 (mm/slab.c): kmalloc, kfree, kmem_cache_alloc,
kmem_cache_free.

1. This CPU's array has an object: pop it; its truth word changes hands. No lock, no atomic
   operation: a call without a safe point is atomic on its CPU. A free claims the object by a
   compare-and-exchange of the word: of two CPUs that free it one is refused. That exchange is
   also what publishes the call; the object goes to the array once the preemption point is
   passed.
2. The array is empty: under the cache's lock, interrupts off, take `batchcount` objects from
   the first slab that is not full.
3. No slab has any: make a slab of 2**gfporder pages, sleeping if `gfp` allows, and try again.

A free pushes on the array; a full array first gives back its last `batchcount` objects. Slabs
that are free stay with the cache until it is shrunk, reaped or destroyed.

The truth word is stored first, list and array after it (`slab_list_cy`): whoever is killed
between the two leaves an index that recovery rebuilds. A free of what the truth does not call
allocated changes nothing and is reported with what the truth says.

Lock order: cache_chain_sem, a cache's lock, a zone's lock. No two cache locks are held at
once.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import compiler_barrier, likely, unlikely
from cython.cimports.cpus.callsite_cy import call_site
from cython.cimports.cpus.event_cy import (
    EVENT_KFREE,
    EVENT_KMALLOC,
    trace_allocations,
    trace_event,
)
from cython.cimports.cpus.handle_cy import int_or_address_of
from cython.cimports.cpus.kill_cy import (
    KILL_SLAB_CLAIMED,
    KILL_SLAB_FLUSH,
    KILL_SLAB_REFILL,
    kill_point,
)
from cython.cimports.cpus.percpu_cy import (
    enter,
    enter_sleeping,
    leave,
    slow_path,
    this_cpu,
)
from cython.cimports.cpus.spinlock_cy import raw_spin_lock_irqsave, raw_spin_unlock_irqrestore
from cython.cimports.cpus.whole import whole
from cython.cimports.libc.string import memcpy
from cython.cimports.smpmm.mm import page_cy, slab_list_cy
from cython.cimports.smpmm.mm.page_alloc_cy import gfp_dma, gfp_wait
from cython.cimports.smpmm.mm.slab_list_cy import (
    BUFCTL_END,
    OBJECT_CACHED,
    OBJECT_CPU_SHIFT,
    OBJECT_HOLDER,
    OBJECT_KERNEL,
    OBJECT_KIND,
    cache_at,
    caches,
    cpu_array,
    give_object,
    object_owner,
    place_address,
    slab_global,
    take_object,
    truth_slab,
    truths,
)

from smpmm.mm import slab_report


def kmalloc(size: object, flags: object) -> int:
    """Allocate `size` bytes, not cleared; returns the address, 0 on failure.

    Sleeps when `flags` have the WAIT bit, else any context. More than the largest general
    cache fails silently, as from 2.4.3 on.
    """
    c_size: cython.longlong = whole(size, b"kmalloc", b"size")
    c_flags: u64 = cython.cast(u64, whole(flags, b"kmalloc", b"flags"))
    return kmalloc_call(cython.cast(u64, c_size), c_flags, call_site())


def kfree(address: object) -> None:
    """Free what kmalloc or kmem_cache_alloc returned; 0 is ignored. Any context."""
    a: u64 = int_or_address_of(address)
    if a == 0:
        return
    refused: cython.int = kmem_cache_free_call(cython.NULL, a, call_site())
    if unlikely(refused != FREE_OK):
        slab_report.bad_free("kfree", a, refused, 0)


def kmem_cache_alloc(cachep: object, flags: object) -> int:
    """Allocate an object of a cache; returns its address, 0 on failure.

    Sleeps when `flags` have the WAIT bit, else any context.
    """
    c_flags: u64 = cython.cast(u64, whole(flags, b"kmem_cache_alloc", b"flags"))
    site: u32 = call_site()
    c: cython.pointer[kmem_cache] = cache_at(int_or_address_of(cachep))
    if unlikely(c == cython.NULL):
        c = checked_cache(int_or_address_of(cachep), "kmem_cache_alloc")
    if c_flags & gfp_wait:
        enter_sleeping(b"kmem_cache_alloc")
    else:
        enter()
    address: u64
    if likely(fast.failslab_on[0] == 0):
        address = plain_alloc(c, c_flags, site)
        if unlikely(trace_allocations):
            trace_event(EVENT_KMALLOC, address, c.objsize, c_flags, site)
    else:
        address = asked_alloc(c, c_flags, site)
    leave()
    return address


def kmem_cache_free(cachep: object, address: object) -> None:
    """Free an object of this cache. Any context."""
    site: u32 = call_site()
    a: u64 = int_or_address_of(address)
    c: cython.pointer[kmem_cache] = cache_at(int_or_address_of(cachep))
    if unlikely(c == cython.NULL):
        c = checked_cache(int_or_address_of(cachep), "kmem_cache_free")
    refused: cython.int = kmem_cache_free_call(c, a, site)
    if unlikely(refused != FREE_OK):
        slab_report.bad_free("kmem_cache_free", a, refused, c.index)


def ksize(address: object) -> int:
    """Return the usable bytes of an object, 0 for 0. Any context."""
    a: u64 = int_or_address_of(address)
    if a == 0:
        return 0
    s: cython.pointer[slab] = slab_of(cython.address(view), a)
    if s == cython.NULL:
        slab_report.bad_free("ksize", a, FREE_NOT_SLAB, 0)
        return 0
    return caches[s.cache].payload


def kmem_cache_size(cachep: object) -> int:
    """Return the bytes of a cache's objects. Any context."""
    c: cython.pointer[kmem_cache] = cache_at(int_or_address_of(cachep))
    if c == cython.NULL:
        c = checked_cache(int_or_address_of(cachep), "kmem_cache_size")
    return c.payload


def checked_cache(address, what):
    slab_report.bad_cache(what, address)
    raise ValueError(f"{what}: {address:#x} is no cache")


def attach() -> None:
    """Take copies of what every call looks at; in the monitor, before it forks."""
    view.low_start = segment_cy.direct_start
    view.low_end = segment_cy.direct_end
    view.pages = page_cy.mem_map
    view.truths = slab_list_cy.truths
    view.cpu = cython.NULL
    view.failslab_on = cython.address(never_fail)
    view.dma_bit = gfp_dma
    view.wait_bit = gfp_wait
    set_build(plain_alloc, plain_free)


def set_build(alloc, free):
    global build_alloc, build_free, always_ask
    build_alloc = alloc
    build_free = free
    memcpy(cython.address(fast), cython.address(view), cython.sizeof(slab_view))
    if alloc != plain_alloc:
        always_ask = 1
        fast.failslab_on = cython.address(always_ask)
        fast.low_end = fast.low_start


def set_failslab_hook(on, hook):
    global should_failslab
    should_failslab = hook
    view.failslab_on = on
    if build_alloc == plain_alloc:
        fast.failslab_on = on


def find_arrays(v):
    v.cpu = this_cpu
    v.arrays = cpu_array(slab_list_cy.caches, this_cpu.number)


def set_size_caches() -> None:
    """Work out which general cache serves each size; in the monitor, once they exist."""
    i: cython.int
    nr: cython.int = 0
    most: cython.int = slab_global.nr_sizes
    for i in range(SIZE_STEPS):
        while nr < most and slab_global.sizes[nr] < cython.cast(u32, i) * 32:
            nr += 1
        size_caches[i][0] = 1 + 2 * nr if nr < most else 0
        size_caches[i][1] = 2 + 2 * nr if nr < most else 0


def general_cache(size, dma):
    if unlikely(size > (SIZE_STEPS - 1) * 32):
        return cython.NULL
    index: u64 = size_caches[(size + 31) >> 5][dma]
    return caches + index if index != 0 else cython.NULL


def kmalloc_slowpath(size, gfp, site):
    """Do what kmalloc_call does between enter and leave, all of it."""
    c: cython.pointer[kmem_cache] = general_cache(size, gfp & gfp_dma != 0)
    if c == cython.NULL:
        return 0
    if view.failslab_on[0] != 0 and should_failslab(c, gfp, site) != 0:
        return 0
    address: u64 = build_alloc(c, gfp, site)
    if trace_allocations:
        trace_event(EVENT_KMALLOC, address, size, gfp, site)
    return address


def asked_alloc(c, gfp, site):
    """Do what kmem_cache_alloc does between enter and leave, all of it."""
    if view.failslab_on[0] != 0 and should_failslab(c, gfp, site) != 0:
        return 0
    address: u64 = build_alloc(c, gfp, site)
    if trace_allocations:
        trace_event(EVENT_KMALLOC, address, c.objsize, gfp, site)
    return address


def kmem_cache_alloc_inside(c, gfp, site):
    return build_alloc(c, gfp, site)


def plain_alloc(c, gfp, site):
    address: u64 = pop_object(cython.address(view), this_cpu, c.index, site)
    if likely(address != 0):
        return address
    return alloc_slowpath(c, gfp, site)


def kmem_cache_free_inside(c, address, site):
    s: cython.pointer[slab] = slab_of(cython.address(view), address)
    if unlikely(s == cython.NULL):
        return FREE_NOT_SLAB
    phys: u64 = address - view.low_start
    nr: u64 = object_at(s, phys)
    if unlikely(nr == NO_OBJECT):
        return FREE_INTERIOR
    truth: u64 = s.truth + nr
    was: u64 = truths[truth]
    if unlikely(was & OBJECT_KIND != OBJECT_ALLOC):
        return why_refused(s, was, nr)
    if unlikely(c != cython.NULL and c.index != s.cache):
        return FREE_WRONG_CACHE
    if unlikely(trace_allocations):
        trace_event(EVENT_KFREE, address, s.objsize, 0, site)
    return build_free(s, phys, truth, was, site)


def plain_free(s, phys, truth, was, site):
    return free_object(s, phys, truth, was, site)


def free_call_slowpath(c, address, site):
    if build_before_free != cython.NULL:
        build_before_free(address)
    enter()
    refused: cython.int = kmem_cache_free_inside(c, address, site)
    leave()
    return refused


def free_call_pending(truth, was):
    """Pass the preemption point with an object claimed; on an exception, give it back."""
    kill_point(KILL_SLAB_CLAIMED)
    try:
        slow_path()
    except BaseException:
        view.truths[truth] = was
        raise
    return 0


def why_refused(s, t, nr):
    """Say why an object may not be freed that the truth `t` does not call allocated."""
    if nr >= caches[s.cache].num:
        return FREE_INTERIOR
    return FREE_KERNELS if t & OBJECT_KIND == OBJECT_KERNEL else FREE_TWICE


def free_slowpath(s, truth, site):
    """Free an object that does not fit into this CPU's array."""
    c: cython.pointer[kmem_cache] = caches + s.cache
    from_: u32
    flags: u64 = raw_spin_lock_irqsave(cython.address(c.lock), site)
    ac: cython.pointer[array_cache] = my_array(cython.address(view), this_cpu, c.index)
    if ac.limit == 0:
        give_object(c, truth)
    else:
        ac.freemiss += 1
        from_ = ac.avail - ac.batchcount if ac.avail > ac.batchcount else 0
        flush_array(c, ac, from_, this_cpu.number)
        ac.entry[ac.avail] = truth
        compiler_barrier()
        ac.avail += 1
    raw_spin_unlock_irqrestore(cython.address(c.lock), flags)


def flush_array(c, ac, from_, cpu):
    n: u32 = ac.avail
    i: u32
    holder: u64 = OBJECT_CACHED | cpu << OBJECT_CPU_SHIFT
    for i in range(from_, n):
        if truths[ac.entry[i]] & OBJECT_HOLDER == holder:
            give_object(c, ac.entry[i])
            kill_point(KILL_SLAB_FLUSH)
        else:
            c.repaired += 1
    compiler_barrier()
    ac.avail = from_


def alloc_slowpath(c, gfp, site):
    """Take objects from the slabs, making one if need be."""
    address: u64
    flags: u64
    while True:
        flags = raw_spin_lock_irqsave(cython.address(c.lock), site)
        address = refill(c, site)
        raw_spin_unlock_irqrestore(cython.address(c.lock), flags)
        if address != 0:
            return address
        # Somebody may take the new slab's objects before us: then look again.
        if grow_hook(c, gfp, site) == 0:
            return 0


def refill(c, site):
    """Fill this CPU's array up to its batchcount and pop one object; 0: no slab has any."""
    ac: cython.pointer[array_cache] = my_array(cython.address(view), this_cpu, c.index)
    i: u32
    if not fill_array(c, ac):
        return take_one(c, site) if ac.limit == 0 else 0
    i = ac.entry[ac.avail - 1]
    address: u64 = place_address(truths[i])
    truths[i] = object_owner(site)
    compiler_barrier()
    ac.avail -= 1
    return address


def fill_array(c, ac):
    n: u32 = ac.batchcount
    i: u32
    here: u64 = cached_by(this_cpu)
    while ac.avail != 0 and truths[ac.entry[ac.avail - 1]] & OBJECT_HOLDER != here:
        ac.avail -= 1
        c.repaired += 1
    if ac.avail == 0 and ac.limit != 0:
        ac.allocmiss += 1
    while ac.limit != 0 and (ac.avail == 0 or n < ac.batchcount):
        if n == 0 or c.firstnotfull == cython.NULL:
            break
        i = take_object(c, here)
        kill_point(KILL_SLAB_REFILL)
        if i != BUFCTL_END:
            ac.entry[ac.avail] = i
            compiler_barrier()
            ac.avail += 1
            n -= 1
    return ac.avail != 0


def take_one(c, site):
    """Take an object of a cache without arrays; 0: no slab has any."""
    i: u32
    s: cython.pointer[slab]
    while c.firstnotfull != cython.NULL:
        s = c.firstnotfull
        i = take_object(c, object_owner(site))
        if i != BUFCTL_END:
            s = truth_slab(i)
            return view.low_start + s.s_mem + cython.cast(u64, i - s.truth) * c.objsize
    return 0
