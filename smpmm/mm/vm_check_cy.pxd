"""check() of the vmalloc space: areas, page tables and the truth of pages."""

from cpus.atomic cimport u8, u32, u64
from smpmm.mm.page_cy cimport page
from smpmm.mm.vm_area_cy cimport vm_info, vm_struct

cdef enum:
    SOUND = 0
    BAD_ORDER = 1
    BAD_PLACE = 2
    BAD_INFO = 3
    BAD_LISTED = 4
    BAD_TREE = 5
    BAD_NR_AREAS = 6
    BAD_FREE_INFO = 7
    BAD_STRUCT = 8
    BAD_UNMAPPED = 9
    BAD_FRAME = 10
    BAD_GUARD = 11
    BAD_STRAY = 12
    BAD_PAGE_SUM = 13
    BAD_PAGE_AREA = 14
    BAD_TABLE = 15
    BAD_TABLE_COUNT = 16
    BAD_LOST_STRUCT = 17

# What the check of this process found last.
cdef u64 found_at
cdef u64 found_has
cdef u64 found_should

# A sum over frames that tells sets of them apart.
cdef inline u64 mix(u64 pfn) noexcept nogil:
    pfn = (pfn + 1) * <u64>0x9E3779B97F4A7C15
    return (pfn ^ pfn >> 29) * <u64>0xBF58476D1CE4E5B9

# The lock is held to read. `mapped` is the sum over the frames that live areas map.
cdef int check_all() noexcept
cdef int check_list() noexcept
cdef int check_infos() noexcept
cdef int check_structs() noexcept
cdef int check_tree(u32 tree, u64 *nr) noexcept
cdef int check_area(u32 number, u64 *mapped) noexcept
cdef int check_entry(u32 number, u64 address, u64 entry) noexcept
cdef int check_pages(u64 mapped) noexcept
cdef u64 nr_live() noexcept
cdef int check_tables() noexcept
cdef int walk_table(u8 *table, u32 level, u64 address, u64 *nr) noexcept
cdef int fault(int code, u64 at, u64 has, u64 should) noexcept
