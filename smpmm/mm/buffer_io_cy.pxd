"""Buffers as tasks use them: find, read, change, write back, release."""

from cpus.atomic cimport u32, u64
from smpmm.mm.buffer_cy cimport buffer_head
from smpmm.mm.page_cy cimport page

cdef enum:
    IO_READ = 0
    IO_WRITE = 1

cdef u64 pfn_of_buffer(object handle) except? 0
cdef int lock_buffer(u64 pfn, u32 site) except -1      # 1: locked for reading, 0: up to date
cdef int transfer(u64 pfn, bint write) except -1
cdef void end_buffer_io(u64 pfn, bint write, int error) noexcept
cdef u64 oldest_dirty(u64 before_ns) noexcept
cdef u64 next_written(u64 last) noexcept             # the lock is held
