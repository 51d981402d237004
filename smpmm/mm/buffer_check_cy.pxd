"""check() of the buffer cache: hash, lists and counters against the truth."""

from cpus.atomic cimport u32, u64
from smpmm.mm.page_cy cimport page

cdef enum:
    SOUND = 0
    BAD_ENTRY = 1
    BAD_LIST = 2
    BAD_LINK = 3
    BAD_LENGTH = 4
    BAD_LISTED = 5
    BAD_HASH = 6
    BAD_DIRTY = 7
    BAD_CLEAN = 8
    BAD_TOTAL = 9

cdef u64 found_pfn
cdef u64 found_has
cdef u64 found_should

cdef int fault(int code, u64 pfn, u64 has, u64 should) noexcept
cdef int check_cache() noexcept                    # the cache's lock is held
cdef int check_lru(u32 which) noexcept
cdef int check_truth() noexcept
