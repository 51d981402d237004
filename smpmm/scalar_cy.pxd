"""Scalar C types of drivers: u8 … u64, s8 … s64, ptr; pointers to them and arrays of them."""

from cpus.atomic cimport u8, u16, u32, u64
from cpus.handle_cy cimport Handle

cdef class Scalar:
    cdef readonly str name
    cdef readonly bint signed
    cdef readonly bint is_pointer
    cdef u32 fixed_bytes             # 0: as big as a pointer

# Bytes of a value of the type.
cdef u32 scalar_bytes(Scalar scalar) noexcept
# The word that a Python value means in a field of this type; `what` names the field in the
# error.
cdef u64 word_of(Scalar scalar, object value, object what) except? <u64>-1
# The value of a word of this type.
cdef object value_of(Scalar scalar, u64 word)

# One kernel call each: read and write the scalar at an address. An oops where nothing is
# mapped.
cdef object load(Scalar scalar, u64 address)
cdef int store(Scalar scalar, u64 address, u64 word) except -1

cdef int need_machine() except -1

cdef class Pointer(Handle):
    cdef readonly Scalar scalar

cdef class Array(Pointer):
    cdef u64 nr_items
