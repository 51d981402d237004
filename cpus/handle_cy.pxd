"""Handles: Python objects that stand for something at an address of the machine."""

from cpus.atomic cimport likely, u64
from cpython.long cimport PyLong_AsUnsignedLongLongMask, PyLong_CheckExact

# A handle made outside of a machine has no address yet, but the number of a promise: bits 63
# and 62 are 1 and 0, which no address of a modelled architecture and no negative number has.
cdef enum:
    PROMISE_SHIFT = 62
    PROMISE = 2

cdef class Handle:
    cdef readonly u64 address     # kernel address, or a promise: see handle_address

# The address of a handle; a promise is kept at its first use (RuntimeError outside a machine).
cdef u64 handle_address(Handle handle) except? <u64>-1
cdef int keep_promise(Handle handle) except -1

# The address that an argument means: an int is one, a Handle has one, None is 0, any other
# object has an attribute `address`, or TypeError. Outside of a kernel call only.
cpdef u64 address_of(object o) except? <u64>-1

# The same, quicker for an int.
cdef inline u64 int_or_address_of(object o) except? <u64>-1:
    if likely(PyLong_CheckExact(o)):
        return PyLong_AsUnsignedLongLongMask(o)
    return address_of(o)
