"""Handles: Python objects that stand for something at an address of the machine."""

from cpus.atomic cimport u64

cdef class Handle:
    cdef readonly u64 address     # kernel address

# The address that an argument means: an int is one, a Handle has one, None is 0, any other object
# has an attribute `address`. TypeError for anything else; outside of a kernel call only.
cpdef u64 address_of(object o) except? <u64>-1
