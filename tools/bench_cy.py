"""Compiled parts of `smpmm bench`.

The loops do what the compiled entries of `smpmm.mm.slab_cy` and `smpmm.mm.page_calls_cy` do,
the gate included, without the calls from Python; the call site that they keep is the loop's
caller, found once. `noop_alloc` and `noop_free` are calls from Python that do nothing. Times
are ns of one pair.
"""

import cython
from cython.cimports.cpus.atomic import clock_ns
from cython.cimports.cpus.callsite_cy import call_site
from cython.cimports.posix.mman import (
    MAP_FAILED,
    MAP_FIXED,
    MAP_SHARED,
    PROT_READ,
    PROT_WRITE,
    mmap,
    munmap,
)
from cython.cimports.smpmm.mm.page_alloc_cy import alloc_pages_call, free_pages_call
from cython.cimports.smpmm.mm.page_cy import page
from cython.cimports.smpmm.mm.slab_cy import kmalloc_call, kmem_cache_free_call
from cython.cimports.smpmm.mm.slab_list_cy import truths


def noop_alloc(size: cython.longlong, flags: cython.ulonglong) -> int:
    """Do nothing, with the signature of kmalloc and an address as its result."""
    address: u64 = 0xC1000000 + size
    return address


def noop_free(address: object) -> None:
    """Do nothing, with the signature of kfree."""


def kmalloc_loop(nr: cython.longlong, size: u64, flags: u64) -> float:
    """Allocate and free `nr` times; returns ns of a pair."""
    i: cython.longlong
    address: u64
    site: u32 = call_site()
    began: u64 = clock_ns()
    for i in range(nr):
        address = kmalloc_call(size, flags, site)
        if address == 0:
            raise MemoryError(f"kmalloc({size}) in pair {i}")
        kmem_cache_free_call(cython.NULL, address, site)
    return cython.cast(cython.double, clock_ns() - began) / nr


def malloc_loop(nr: cython.longlong, size: u64) -> float:
    """Call glibc's malloc and free `nr` times; returns ns of a pair."""
    _: cython.longlong
    began: u64 = clock_ns()
    for _ in range(nr):
        smpmm_free(smpmm_malloc(size))
    return cython.cast(cython.double, clock_ns() - began) / nr


def page_loop(nr: cython.longlong, order: u64, flags: u64) -> float:
    """Allocate and free a block of pages `nr` times; returns ns of a pair."""
    i: cython.longlong
    p: cython.pointer[page]
    site: u32 = call_site()
    began: u64 = clock_ns()
    for i in range(nr):
        p = alloc_pages_call(flags, order, site, b"alloc_pages")
        if p == cython.NULL:
            raise MemoryError(f"alloc_pages({order}) in pair {i}")
        free_pages_call(p, order, site)
    return cython.cast(cython.double, clock_ns() - began) / nr


def host_map_loop(nr: cython.longlong, fd: cython.int, pages: cython.int) -> float:
    """Map `pages` pages of a file, none beside the one before it, side by side; unmap them.

    What the host would have to do for a vmalloc area of scattered frames, in one process;
    nothing is touched. Returns ns of a time.
    """
    i: cython.longlong
    page_: cython.int
    length: cython.size_t = pages * 4096
    at: cython.p_char
    began: u64 = clock_ns()
    for i in range(nr):
        at = cython.cast(
            cython.p_char,
            mmap(cython.NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0),
        )
        for page_ in range(pages):
            if (
                mmap(
                    at + page_ * 4096,
                    4096,
                    PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_FIXED,
                    fd,
                    (pages - 1 - page_) * 4096,
                )
                == MAP_FAILED
            ):
                raise OSError(f"mmap of page {page_} in turn {i}")
        munmap(at, length)
    return cython.cast(cython.double, clock_ns() - began) / nr


def struct_page_bytes() -> int:
    """Return the size of struct page, its truth included."""
    return cython.sizeof(page)


def truth_bytes() -> int:
    """Return what is kept of each slab object beside the object itself."""
    return cython.sizeof(truths[0])
