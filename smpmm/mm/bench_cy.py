"""What the slab allocator's speed is measured against, in the same process.

Calls of the same signatures that do nothing, and compiled loops of the same pairs with glibc's
malloc and free. Each loop returns the ns that a pair took.
"""

import cython
from cython.cimports.cpus.atomic import clock_ns, compiler_barrier
from cython.cimports.cpus.callsite_cy import call_site
from cython.cimports.cpus.percpu_cy import enter, leave
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.smpmm.mm.slab_cy import kmalloc_inside, kmem_cache_free_inside


def noop_alloc(size: cython.longlong, flags: cython.ulonglong) -> int:
    """Do nothing, with kmalloc's signature; the result is an int as large as an address."""
    return AN_ADDRESS + size


def noop_free(address: object) -> None:
    """Do nothing, with kfree's signature."""
    return


def kmalloc_pairs(
    n: cython.longlong, size: cython.ulonglong, flags: cython.ulonglong
) -> float:
    """Allocate and free `n` times, each call entered and left; the loop is one call site."""
    _i: cython.longlong
    address: u64
    site: u32 = call_site()
    since: u64 = clock_ns()
    for _i in range(n):
        enter()
        address = kmalloc_inside(size, flags, site)
        leave()
        enter()
        kmem_cache_free_inside(cython.NULL, address, site)
        leave()
    return cython.cast(cython.double, clock_ns() - since) / n


def malloc_pairs(n: cython.longlong, size: cython.ulonglong) -> float:
    """Allocate and free `n` times with the C library."""
    _i: cython.longlong
    p: cython.p_void
    since: u64 = clock_ns()
    for _i in range(n):
        p = malloc(size)
        compiler_barrier()
        touch(p)
        free(p)
    return cython.cast(cython.double, clock_ns() - since) / n


def touch(p):
    # Keeps gcc from leaving the pair out.
    global touched
    touched = p


def gate_pairs(n: cython.longlong) -> float:
    """Enter and leave a kernel call `2 n` times: the floor of a pair of calls."""
    _i: cython.longlong
    since: u64 = clock_ns()
    for _i in range(n):
        enter()
        leave()
        enter()
        leave()
    return cython.cast(cython.double, clock_ns() - since) / n
