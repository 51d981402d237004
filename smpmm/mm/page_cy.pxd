"""Physical memory as one array: struct page, what each page is (truth), and the conversions.

The array mem_map lies in RAM and has one entry for each page frame, in the order of page frame
numbers. A native pointer to an entry is valid in every process of the machine.
"""

from cpus.atomic cimport u8, u16, u32, u64
from cpus.segment_cy cimport direct_end, direct_start, ram

cdef enum:
    PAGE_SHIFT = 12
    PAGE_SIZE = 4096
    PAGE_MASK = 0xfff            # the offset in a page
    NR_ORDERS_MAX = 11           # of any version; the profile's number is nr_orders
    NR_ZONES = 3

    # page.truth, bits 0-3: what the block is whose first page this is
    PAGE_INSIDE = 0              # part of a block whose head lies lower; the other bits are 0
    PAGE_FREE = 1                # free, of the order in bits 4-7
    PAGE_ALLOC = 2               # allocated: slot, call site, pid of the task
    PAGE_SLAB = 3                # allocated by a slab cache: its index where else the pid is
    PAGE_RESERVED = 4            # never handed out: BIOS, kernel image, mem_map; page by page
    PAGE_BUFFER = 5              # allocated by the buffer cache
    PAGE_VMALLOC = 6             # of a vmalloc area: its number where else the pid is
    PAGE_TABLE = 7               # a page table of the kernel's, never freed
    PAGE_KINDS = 8
    TRUTH_KIND = 0xf
    TRUTH_ORDER_SHIFT = 4        # bits 4-7
    TRUTH_HEAD = 0xff            # kind and order together
    TRUTH_SLOT_SHIFT = 8         # bits 8-15: process slot + 1 that allocated it, 0 = boot
    TRUTH_SITE_SHIFT = 16        # bits 16-31: call site
    TRUTH_WHO_SHIFT = 32         # bits 32-63: pid of the task, or index of the slab cache

    # page.flags
    PG_LOCKED = 1 << 0
    PG_DIRTY = 1 << 4
    PG_SLAB = 1 << 8
    PG_RESERVED = 1 << 14        # Linux's PG_reserved; the truth says PAGE_RESERVED too
    PG_LRU = 1 << 16             # on an LRU list of the buffer cache

cdef public struct page:         # 64 bytes, one cache line
    # guarded by the lock of the zone
    u64 truth                    # changes by one committing store
    page *lru_next               # free list while it is free; else the LRU list it is on
    page *lru_prev
    u32 count                    # references: 1 after allocation, freed when it drops to 0
    u32 flags                    # PG_*
    # whoever has allocated the page
    u64 slab                     # native address of the struct slab (slab_cy)
    u64 cache                    # native address of the kmem_cache (slab_cy)
    u64 virtual                  # address of a high page while kmapped, else 0; kmap_lock
    u64 buffers                  # native address of the first buffer_head (buffer cache)

cdef page *mem_map               # [nr_pages]; in RAM where the version's struct is no smaller
cdef u64 mem_map_address         # kernel address of the version's own mem_map
cdef u64 struct_page_bytes       # the distance of the addresses of two of its entries
cdef u64 nr_pages                # page frames of the machine
cdef u64 max_low_pfn             # frames below are direct-mapped

cdef inline u64 page_to_pfn(page *p) noexcept nogil:
    return <u64>(p - mem_map)

cdef inline page *pfn_to_page(u64 pfn) noexcept nogil:
    return mem_map + pfn

# The direct mapping: the caller knows that the address or the page is in it.
cdef inline u64 virt_to_phys_direct(u64 address) noexcept nogil:
    return address - direct_start

cdef inline u64 lowmem_page_address(page *p) noexcept nogil:
    return direct_start + (page_to_pfn(p) << PAGE_SHIFT)

cdef inline page *virt_to_page_direct(u64 address) noexcept nogil:
    return mem_map + ((address - direct_start) >> PAGE_SHIFT)

# NULL when the address is not direct-mapped.
cdef inline page *virt_to_page_checked(u64 address) noexcept nogil:
    if address < direct_start or address >= direct_end:
        return NULL
    return mem_map + ((address - direct_start) >> PAGE_SHIFT)

# The host's own pointer to the bytes of a page, high memory included.
cdef inline u8 *page_native(page *p) noexcept nogil:
    return ram + (page_to_pfn(p) << PAGE_SHIFT)

cdef inline u32 truth_kind(u64 truth) noexcept nogil:
    return <u32>(truth & TRUTH_KIND)

cdef inline u32 truth_order(u64 truth) noexcept nogil:
    return <u32>((truth >> TRUTH_ORDER_SHIFT) & 0xf)
