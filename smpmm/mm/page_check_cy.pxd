"""check() of the page allocator: compares the truth with free lists and counters."""

from cpus.atomic cimport u32, u64
from smpmm.mm.page_cy cimport page
from smpmm.mm.zone_cy cimport zone

cdef enum:
    SOUND = 0
    BAD_KIND = 1
    BAD_START = 2
    BAD_ORDER = 3
    BAD_END = 4
    BAD_INSIDE = 5
    BAD_BUDDIES = 6
    BAD_FREE_COUNT = 7
    BAD_ALLOC_COUNT = 8
    BAD_LIST_ENTRY = 9
    BAD_LINK = 10
    BAD_NR_FREE = 11
    BAD_LIST_LENGTH = 12
    BAD_FREE_PAGES = 13
    BAD_PRESENT = 14
    BAD_WHERE = 15

# What the check of this process found last.
cdef u64 found_pfn
cdef u64 found_has
cdef u64 found_should

cdef int check_zone(zone *z) noexcept              # the zone's lock is held
cdef int check_block(zone *z, u64 pfn) noexcept
cdef int check_list(zone *z, u64 order, u64 heads) noexcept
cdef int fault(int code, u64 pfn, u64 has, u64 should) noexcept
