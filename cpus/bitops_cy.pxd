"""Bit operations of drivers on bitmaps in RAM: each one kernel call."""

from cpus.atomic cimport u32, u64

cdef enum:
    SET_BIT = 0
    CLEAR_BIT = 1
    CHANGE_BIT = 2
    TEST_BIT = 3

# One kernel call: do `operation` to bit `nr` behind `address`; returns the bit as it was.
cdef bint bit_operation(
    long long nr, object address, int operation, const char *call) except? -1
# One kernel call: the first bit at or behind `offset` that is `wanted`, or `size`.
cdef u64 find_bit(
    object address, u64 size, u64 offset, u32 wanted, const char *call) except? -1
