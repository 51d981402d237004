"""Memory of the user's process in which pages of a machine's RAM are seen."""

from cpus.atomic cimport u8

cdef class HostView:
    cdef u8 *base
    cdef readonly Py_ssize_t size    # bytes
    cdef readonly bint writable
    cdef int nr_exports
