"""The kernel's page tables in RAM: levels and entries as the profile has them."""

from cpus.atomic cimport u8, u32, u64
from cpus.segment_cy cimport translate_hook
from cpus.spinlock_cy cimport spinlock
from smpmm.mm.page_cy cimport PAGE_SHIFT, page

cdef enum:
    MAX_LEVELS = 4
    RECOVER_PGTABLE = 12         # the kind of recovery of init_mm.page_table_lock

cdef public struct page_table_state:    # control area
    spinlock lock                # "page_table_lock": entries that lead to tables, and below
    u64 placing                  # pfn + 1 of a table on its way into its entry, 0 = none
    u64 nr_tables                # page frames that are tables, the root not counted

cdef page_table_state *page_tables
# The vmalloc space. Constant after boot.
cdef u64 vm_start
cdef u64 vm_bytes
cdef u64 pte_bytes               # of an entry: 4 or 8

# The format of the profile. Constant after boot.
cdef u32 nr_levels
cdef u32 level_shift[4]
cdef u64 level_mask[4]
cdef u64 frame_mask              # bits of an entry: the physical address
cdef u64 present
cdef u64 io_mark                 # the page is a device's
cdef u64 table_flags
cdef u64 page_flags
cdef u64 io_flags

cdef inline u64 pte_load(u8 *at) noexcept nogil:
    return (<u32 *>at)[0] if pte_bytes == 4 else (<u64 *>at)[0]

cdef inline void pte_store(u8 *at, u64 entry) noexcept nogil:
    if pte_bytes == 4:
        (<u32 *>at)[0] = <u32>entry
    else:
        (<u64 *>at)[0] = entry

# Whether the entry of an address is the first of its table: it is no neighbour of the last.
cdef inline bint starts_table(u64 address) noexcept nogil:
    return (address >> PAGE_SHIFT) & level_mask[nr_levels - 1] == 0

cdef inline u64 pte_of_page(u64 pfn) noexcept nogil:
    return pfn << PAGE_SHIFT | page_flags

cdef inline u64 pte_of_io(u64 pfn) noexcept nogil:
    return pfn << PAGE_SHIFT | io_flags

# Without the present bit: the address names nothing, the frame is known.
cdef inline u64 pte_hidden(u64 entry) noexcept nogil:
    return entry & ~present

cdef inline bint pte_present(u64 entry) noexcept nogil:
    return entry & present != 0

cdef inline bint pte_is_io(u64 entry) noexcept nogil:
    return entry & io_mark != 0

cdef inline u64 pte_pfn(u64 entry) noexcept nogil:
    return (entry & frame_mask) >> PAGE_SHIFT

# The entry of the last level for an address, NULL when a table is missing. Any context.
cdef u8 *pte_at(u64 address) noexcept nogil
# The same, and the tables are made. Inside a call; may sleep and raise as alloc_pages does.
# NULL: no memory.
cdef u8 *pte_alloc(u64 address, u32 site) except? NULL
# The native address of the longest piece of [address, address + n) whose frames of RAM are
# adjacent, and its length; NULL and 0 when no page of RAM is mapped there. Any context.
cdef u8 *vm_span(u64 address, u64 n, u64 *length) noexcept nogil
cdef translate_hook translate_next
cdef void *translate_vm(u64 address, u64 len) noexcept nogil

# Of this module and of its check.
cdef u64 gfp_table
cdef u32 table_site
cdef u8 *root
cdef page *table_page(u64 entry) noexcept nogil    # NULL: the entry leads to no table
cdef bint place_table(u8 *at, page *p, u32 site) noexcept
cdef bint finds_table(u8 *table, u32 level, u64 pfn) noexcept
cdef u64 count_tables(u8 *table, u32 level) noexcept
cdef void recover_tables(spinlock *lock) noexcept
