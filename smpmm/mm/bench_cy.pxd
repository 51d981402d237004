"""Loops and calls to measure the slab allocator against."""

from cpus.atomic cimport u32, u64

cdef void *touched
cdef void touch(void *p) noexcept

cdef enum:
    AN_ADDRESS = 0x40000000
