"""Fields of structs in RAM: descriptors whose reading and writing is one compiled call."""

from cpus.atomic cimport u32, u64
from cpus.handle_cy cimport Handle
from smpmm.scalar_cy cimport Scalar

# The address of a handle, for its parts: a promise is kept in a machine only.
cdef u64 place_of(Handle handle) except? <u64>-1

# A handle of class `cls`, a subclass of Placed, still without an address.
cdef object new_handle(object cls)

# What has a layout in RAM: KStruct, locks, queues, list heads.
cdef class Placed(Handle):
    pass

# A struct of our own inside a driver's; `lock_name` is the field that it is, for lock classes.
cdef class Native(Placed):
    cdef public object lock_name

cdef class ScalarField:
    cdef readonly str name
    cdef readonly Scalar scalar
    cdef readonly u64 offset

cdef class EmbeddedField:
    cdef readonly str name
    cdef readonly object type
    cdef readonly u64 offset
    cdef bint is_native

cdef class ArrayField:
    cdef readonly str name
    cdef readonly object type
    cdef readonly u64 offset

cdef class ItemArray(Handle):
    cdef readonly object item      # a class with a layout, or an ArrayType
    cdef u64 nr_items
    cdef u64 stride
    cdef object lock_name

cdef class Lock(Native):
    pass

cdef class Guard:
    cdef object target
    cdef object acquire
    cdef object release
    cdef object flags
    cdef bint has_flags
