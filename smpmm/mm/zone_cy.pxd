"""Zones and their buddy allocator: free areas by order, watermarks, split and merge."""

from cpus.atomic cimport u8, u32, u64
from cpus.event_cy cimport TASK_PID_WORD
from cpus.percpu_cy cimport this_cpu, this_slot
from cpus.spinlock_cy cimport spinlock
from smpmm.mm.page_cy cimport (
    NR_ORDERS_MAX, NR_ZONES, PAGE_VMALLOC, TRUTH_KIND, TRUTH_SITE_SHIFT, TRUTH_SLOT_SHIFT,
    TRUTH_WHO_SHIFT, page,
)

cdef enum:
    ZONE_DMA = 0
    ZONE_NORMAL = 1
    ZONE_HIGHMEM = 2

    BACKED_PAGES = 512           # in units of as many pages, at least, RAM gets host memory

    FREE_DONE = 0                # freed, or one reference fewer
    FREE_BAD = -1                # the truth forbids it: nothing was changed
    FREE_NOT_NOW = 1             # of free_block_call: not tried

cdef public struct free_area:
    page *first                  # newest first, linked by page.lru_next; NULL = empty
    u64 nr_free                  # blocks

cdef public struct zone:
    spinlock lock                # guards all below and truth, links, count of the zone's pages
    u64 free_pages
    u64 pages_fast               # constant after boot, as the marks: with so many free pages,
                                 # a request for this zone need not look at anything else
    u64 pages_low                # watermarks, pages
    u64 pages_high
    u64 zone_start_pfn
    u64 spanned_pages            # 0: the machine has no such zone
    u64 present_pages            # that are not reserved
    free_area free_area[11]
    u64 nr_allocs                # blocks ever handed out
    u64 nr_frees
    u64 inactive_clean_pages     # of the buffer cache, free for the taking; its lock
    u64 index                    # ZONE_*
    char name[16]
    u64 pages_min                # the third watermark
    u64 reserve[3]               # added to a mark for requests that would have a higher zone

cdef zone *zones                 # [NR_ZONES]
cdef bint upper_half             # a split hands out the upper half, and lists the lower one
cdef u64 nr_orders               # blocks have 2**0 .. 2**(nr_orders - 1) pages

# The zone of a page frame. Any context, no lock: borders never change.
cdef inline zone *pfn_zone(u64 pfn) noexcept nogil:
    if pfn >= zones[2].zone_start_pfn:
        return &zones[2]
    if pfn >= zones[1].zone_start_pfn:
        return &zones[1]
    return &zones[0]

# Take a block of 2**order pages from the zone, NULL when there is none. `owner` are the
# truth bits above the order (owner_bits()). Takes the zone's lock; any context, inside a call.
cdef page *rmqueue(zone *z, u64 order, u64 owner, u32 site) noexcept
# Give back one reference of a block and, if it was the last, the block. `kind` is what the
# truth must say (PAGE_ALLOC, PAGE_SLAB …). Takes the zone's lock; any context,
# inside a call.
cdef int free_block(page *p, u64 order, u32 kind, u32 site) noexcept
# The same two as kernel calls of their own, enter and leave included; the exchange that takes
# the lock publishes the call. A short way: NULL and FREE_NOT_NOW, nothing done, when the lock
# or the CPU is wanted by others; rmqueue_call also when the zone has no block, or when the
# context forbids a call that may sleep (`wait`).
cdef page *rmqueue_call(zone *z, u64 order, bint wait, u32 site) noexcept
cdef int free_block_call(page *p, u64 order, u32 kind, u32 site) noexcept
# Slot of this process, call site and pid of the running task as truth bits.
cdef inline u64 owner_bits(u32 site) noexcept:
    cdef u64 pid = 0
    if this_cpu.current != 0:
        pid = (<u64 *>this_cpu.current)[TASK_PID_WORD]
    return (
        this_slot << TRUTH_SLOT_SHIFT
        | <u64>(site & 0xffff) << TRUTH_SITE_SHIFT
        | pid << TRUTH_WHO_SHIFT
    )

# One more reference. False: the page is not allocated.
cdef bint get_page(page *p, u32 site) noexcept
# A committing store that says whose an allocated block is now; the caller owns the block.
cdef void set_page_slab(page *p, u64 cache_index) noexcept
cdef void set_page_buffer(page *p) noexcept

cdef inline void set_page_kind(page *p, u64 kind) noexcept:
    p.truth = p.truth & ~<u64>TRUTH_KIND | kind

cdef inline void set_page_vmalloc(page *p, u64 area) noexcept:
    # By a cast: Cython takes a literal of 32 bits for a Python number.
    p.truth = <u64><u32>p.truth & ~<u64>TRUTH_KIND | PAGE_VMALLOC | area << TRUTH_WHO_SHIFT

cdef zone *zone_at(u64 index) noexcept
cdef page *head_page(page *p) noexcept      # first page of its block; no lock, for reports

# Host memory: RAM above what boot reserves is backed when its block is first handed out. An
# errno of the host when that failed in this process: the machine must end.
cdef int backing_error
cdef u64 backed_pages            # the unit: blocks of the highest order
cdef u8 *backed                  # 1: the unit has host memory; guarded by the zone's lock
cdef bint back_block(u64 pfn) noexcept

# Of zone_cy and page_check_cy alone; the zone's lock is held.
cdef u64 bad_pfn
cdef u64 bad_truth
cdef u64 bad_head_pfn
cdef u64 bad_head_truth
cdef inline void area_add(free_area *area, page *p) noexcept:
    cdef page *next_ = area.first
    p.lru_prev = NULL
    p.lru_next = next_
    if next_ != NULL:
        next_.lru_prev = p
    area.first = p
    area.nr_free += 1

cdef inline void area_del(free_area *area, page *p) noexcept:
    cdef page *next_ = p.lru_next
    cdef page *prev = p.lru_prev
    if prev != NULL:
        prev.lru_next = next_
    else:
        area.first = next_
    if next_ != NULL:
        next_.lru_prev = prev
    area.nr_free -= 1

cdef page *take_block(zone *z, u64 order, u64 owner) noexcept
cdef int drop_block(zone *z, page *p, u64 order, u32 kind) noexcept
cdef page *expand(zone *z, page *head, u64 high, u64 low) noexcept
cdef void free_and_merge(zone *z, page *p, u64 order) noexcept
cdef void note_bad_free(zone *z, page *p, u64 order) noexcept
cdef u64 head_of(zone *z, u64 pfn) noexcept
cdef void recover_zone(spinlock *lock) noexcept
cdef void rebuild_zone(zone *z) noexcept
cdef void clear_inside(u64 pfn, u64 end) noexcept
cdef void expand_upwards(zone *z, page *head, u64 high, u64 low) noexcept
