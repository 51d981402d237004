"""The table of promises: which address a struct made outside of the machine has in it."""

from cpus.atomic cimport u64

cdef enum:
    NR_PROMISES = 1024
    OFFSET_BITS = 20          # low bits of a promise: offset within the struct

cdef public struct promise_entry:
    u64 promise               # 0 = free; claimed by compare-and-exchange, never freed
    u64 address               # 0 = not yet; set by compare-and-exchange

cdef promise_entry *promises  # [NR_PROMISES]
cdef promise_entry *entry_of(u64 promise) noexcept      # NULL: the table is full
