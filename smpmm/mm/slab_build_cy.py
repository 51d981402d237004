"""How the kernel's slab allocator was built: plainly, with STATS, or with DEBUG (mm/slab.c).

The builds differ in what stands behind an allocation and a free; a machine chooses one when it
boots. The plain one is all in the fast paths of `slab_cy`. The statistics build counts whether
each call was served by the CPU's array. Linux counts that in words of the cache that all CPUs
write; here each array counts for itself, and /proc/slabinfo adds. What is counted under the
cache's lock, and the misses, are counted in every build: they cost nothing there.
"""

import cython
from cython.cimports.cpus.percpu_cy import this_cpu
from cython.cimports.smpmm.mm import slab_cy
from cython.cimports.smpmm.mm.slab_cy import (
    FREE_OK,
    alloc_slowpath,
    my_array,
    plain_free,
    pop_object,
    set_build,
    view,
)
from cython.cimports.smpmm.mm.slab_list_cy import array_cache, caches

from smpmm.mm import slab_debug_cy


def attach(profile: object) -> None:
    """Choose what allocations and frees do, by the version's figures. The monitor, before it
    forks."""
    slab_debug_cy.detach()
    if profile.debug:
        slab_debug_cy.attach()
    elif profile.statistics:
        set_build(counted_alloc, counted_free)


def counts() -> bool:
    """Return whether this machine's kernel was built with STATS; DEBUG brings it too."""
    return slab_cy.build_alloc != slab_cy.plain_alloc


def counted_alloc(c, gfp, site):
    address: u64 = pop_object(cython.address(view), this_cpu, c.index, site)
    if address == 0:
        return alloc_slowpath(c, gfp, site)
    my_array(cython.address(view), this_cpu, c.index).allochit += 1
    return address


def counted_free(s, phys, truth, was, site):
    ac: cython.pointer[array_cache] = my_array(
        cython.address(view), this_cpu, caches[s.cache].index
    )
    fits: cython.bint = ac.avail < ac.limit
    refused: cython.int = plain_free(s, phys, truth, was, site)
    if refused == FREE_OK and fits:
        ac.freehit += 1
    return refused
