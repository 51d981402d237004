"""The records of modules."""

from cpus.atomic cimport s64, u32, u64
from smpmm.registry_cy cimport module_record

cdef module_record *module_of(u64 serial) noexcept     # NULL = gone
cdef s64 nr_files_of(u64 serial) noexcept              # its open files
cdef s64 nr_uses(module_record *m) noexcept
cdef void add_uses(module_record *m, s64 change) noexcept
cdef bint may_open(u64 serial) noexcept
