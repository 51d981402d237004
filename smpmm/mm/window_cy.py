"""The handle window: a part of the control area that has kernel addresses.

Kernel text, functions and handles that lie in no RAM get an address here, so that it can be
stored in a struct and looked up by any process. Addresses are never given twice: an address
that outlived its owner names it in the oops. The first word of the window counts the bytes
that are taken.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import atomic64_fetch_add, atomic64_load

from smpmm.mm import memmap

HEADER_BYTES = 64


def regions(config: object) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {"window": memmap.memory_profile(config).window_bytes}


def window_alloc_bytes(size):
    word: cython.pointer[u64] = cython.cast(cython.pointer[u64], segment_cy.window)
    limit: u64 = segment_cy.window_end - segment_cy.window_start - HEADER_BYTES
    size = (size + 15) & ~cython.cast(u64, 15)
    # Looked at first, so that failing calls do not push the count round.
    if size > limit or atomic64_load(word) > limit - size:
        return 0
    at: u64 = atomic64_fetch_add(word, size)
    if at > limit - size:
        return 0
    return segment_cy.window_start + HEADER_BYTES + at


def window_alloc(size: cython.ulonglong) -> int:
    """Return the kernel address of `size` zeroed bytes, never freed; MemoryError: full."""
    address: u64 = window_alloc_bytes(size)
    if address == 0:
        raise MemoryError(f"the handle window has no {size} bytes left")
    return address
