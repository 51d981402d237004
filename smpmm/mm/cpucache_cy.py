"""Per-CPU arrays of a cache: kmem_tune_cpucache of Linux 2.4 (mm/slab.c).

The array of another CPU is exchanged as that CPU, through its interrupt gate: what an
inter-processor interrupt (do_ccupdate_local) does in the kernel. The RAM of an array
(cpucache_t) is allocated from a general cache and costs what it costs there; its entries lie
in the control area.

An old array belongs to the process that frees it before it is let go: if that dies, recovery
finds it.

Lock order: cache_chain_sem, then a CPU's gate, then a cache's lock.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import compiler_barrier
from cython.cimports.cpus.gate_cy import gate_acquire, gate_release
from cython.cimports.cpus.kill_cy import KILL_SLAB_TUNE, kill_point
from cython.cimports.cpus.percpu_cy import cpu_areas, enter, leave, this_cpu
from cython.cimports.cpus.spinlock_cy import raw_spin_lock_irqsave, raw_spin_unlock_irqrestore
from cython.cimports.smpmm.mm.page_alloc_cy import gfp_high, gfp_io, gfp_wait
from cython.cimports.smpmm.mm.slab_cy import (
    flush_array,
    general_cache,
    kmem_cache_alloc_inside,
)
from cython.cimports.smpmm.mm.slab_grow_cy import (
    free_kernel_object,
    own_kernel_object,
    set_kernel_object,
)
from cython.cimports.smpmm.mm.slab_list_cy import (
    CACHE_ENTRIES,
    array_cache,
    caches,
    cpu_array,
    slab_global,
)

from cpus import event_cy
from smpmm.mm import slab_report
from smpmm.mm.slab_profile import slab_profile

KERN_ERR = 3
EINVAL = 22
ENOMEM = 12

profile: object = None


def attach(config: object) -> None:
    """Take the version's figures. The monitor, before it forks."""
    global profile
    profile = slab_profile(config)


def enable_cpucache(index: cython.int) -> None:
    """Give a new cache its per-CPU arrays, of the version's size. May sleep."""
    limit, batchcount = profile.array_limit(caches[index].objsize)
    if not limit:
        return
    error = tune_cpucache(index, limit, batchcount, True)
    if error:
        name = slab_report.cache_name(index)
        event_cy.log(f"enable_cpucache failed for {name}, error {-error}.", KERN_ERR)


def tune_cpucache(index: cython.int, limit: int, batchcount: int, fresh: bool = False) -> int:
    """Set the size of a cache's per-CPU arrays: 0, -EINVAL or -ENOMEM. May sleep.

    A limit of 0 takes the arrays away. cache_chain_sem is held, or the cache is `fresh`:
    nobody uses it yet, or any more.
    """
    c: cython.pointer[kmem_cache] = caches + index
    nr_cpus: cython.int = segment_cy.header.nr_cpus
    address: u64
    if limit < 0 or batchcount < 0 or batchcount > limit or (limit and not batchcount):
        return -EINVAL
    if limit > CACHE_ENTRIES:
        return -ENOMEM
    addresses = []
    size: u64 = profile.sizeof_cpucache + limit * profile.bytes_per_word
    for _cpu in range(nr_cpus if limit else 0):
        enter()
        address = alloc_cpucache(c, size)
        leave()
        if address == 0:
            for each in addresses:
                release_cpucache(index, each)
            return -ENOMEM
        addresses.append(address)
    c.batchcount = batchcount
    exchange_arrays(index, limit, batchcount, addresses, fresh)
    c.limit = limit
    return 0


def exchange_arrays(
    index: cython.int, limit: int, batchcount: int, addresses: list, fresh: bool
) -> None:
    """Give each CPU its new array and free the old one (do_ccupdate_local)."""
    c: cython.pointer[kmem_cache] = caches + index
    cpu: cython.int
    old: u64
    for cpu in range(cython.cast(cython.int, segment_cy.header.nr_cpus)):
        address = addresses[cpu] if limit else 0
        if fresh:
            old = set_array(c, cpu, limit, batchcount, address)
        else:
            old = resize_on(index, cpu, limit, batchcount, address)
        kill_point(KILL_SLAB_TUNE)
        if old != 0 and old != cython.cast(u64, address):
            release_cpucache(index, old)


def alloc_cpucache(c, bytes):
    address: u64 = kmem_cache_alloc_inside(
        general_cache(bytes, False), gfp_wait | gfp_high | gfp_io, slab_global.site_cpucache
    )
    if address != 0:
        set_kernel_object(address, c.index)
    return address


def release_cpucache(index: cython.int, address: cython.ulonglong) -> None:
    """Free the RAM of an array that is no more."""
    enter()
    free_kernel_object(address, index, slab_global.site_cpucache)
    leave()


def resize_on(
    index: cython.int, cpu: cython.ulonglong, limit: int, batchcount: int, cpucache: int
) -> int:
    """Empty a CPU's array into the slabs, as that CPU, and give it a new size and RAM.

    Returns the RAM that it had, this process's to free.
    """
    c: cython.pointer[kmem_cache] = caches + index
    new_limit: u32 = limit
    new_batchcount: u32 = batchcount
    new_cpucache: u64 = cpucache
    old: u64
    own: cython.bint = this_cpu == cython.address(cpu_areas[cpu])
    if not own and gate_acquire(cpu) != 0:
        # Not online: nobody is that CPU, and what a dead one had was taken from its truth.
        return set_array(c, cpu, new_limit, new_batchcount, new_cpucache)
    enter()
    flags: u64 = raw_spin_lock_irqsave(cython.address(c.lock), slab_global.site_cpucache)
    flush_array(c, cpu_array(c, cpu), 0, cpu)
    old = set_array(c, cpu, new_limit, new_batchcount, new_cpucache)
    raw_spin_unlock_irqrestore(cython.address(c.lock), flags)
    leave()
    if not own:
        gate_release()
    return old


def set_array(c, cpu, limit, batchcount, cpucache):
    ac: cython.pointer[array_cache] = cpu_array(c, cpu)
    old: u64 = ac.cpucache
    if old != 0 and old != cpucache:
        own_kernel_object(old)
    ac.limit = limit
    ac.batchcount = batchcount
    compiler_barrier()
    ac.cpucache = cpucache
    return old


def drain_cpu_caches(index: cython.int) -> None:
    """Give the free objects in all CPUs' arrays back to their slabs. May sleep."""
    cpu: cython.int
    for cpu in range(cython.cast(cython.int, segment_cy.header.nr_cpus)):
        drain_on(index, cpu)


def drain_on(index: cython.int, cpu: cython.ulonglong) -> None:
    """Empty a CPU's array of one cache into the slabs, as that CPU."""
    ac: cython.pointer[array_cache] = cpu_array(caches + index, cpu)
    resize_on(index, cpu, ac.limit, ac.batchcount, ac.cpucache)
