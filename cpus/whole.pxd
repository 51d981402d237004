"""Whole numbers that Python code hands to a kernel call: exact, and refused by name."""

cdef extern from "whole.h":
    # An argument of the call `call` by the name `name`. TypeError for what is none, also for a
    # float that is; OverflowError beyond 64 bits.
    long long whole(object o, const char *call, const char *name) except? -1
    long long whole_count(object o, const char *call, const char *name) except? -1
    int whole_int(object o, const char *call, const char *name) except? -1
