"""Doubly linked lists in RAM: links are pairs of kernel addresses, next and prev."""

from cpus.atomic cimport u32, u64

# Inside a call: 0, or -1 with the address at which nothing is mapped in `fault`.
cdef int load_link(u64 address, u64 *link, u64 *fault) noexcept
cdef int store_link(u64 address, u64 link, u64 *fault) noexcept
cdef int link_between(u64 new, u64 before, u64 after, u64 *fault) noexcept
cdef int link_neighbours(u64 link, u64 *fault) noexcept
cdef int make_empty(u64 link, u64 *fault) noexcept
cdef int splice(u64 list, u64 head, u64 *fault) noexcept
cdef u64 add_link(object new, object head, bint tail, const char *call) except? -1

cdef class ListWalk:
    cdef u64 head
    cdef u64 link              # where the walk is; 0 = before the first
    cdef u64 following         # the link behind it, for the safe walk
    cdef bint safe
    cdef object type           # of the entries, None = the links themselves
    cdef u64 offset            # of the link in an entry
