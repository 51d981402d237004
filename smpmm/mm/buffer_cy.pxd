"""The buffer cache's shared state: buffer heads, their hash, the LRU lists of their pages."""

from cpus.atomic cimport s64, u32, u64
from cpus.spinlock_cy cimport spinlock
from cpus.waitqueue_cy cimport wait_queue_head
from smpmm.mm.page_cy cimport page
from smpmm.mm.zone_cy cimport zone

cdef enum:
    RECOVER_BUFFER = 11          # the kind of recovery of lru_list_lock
    NR_HASH = 4096
    NR_BUFFER_QUEUES = 32
    BDFLUSH_PERCENT = 30         # of all buffers that may be dirty before bdflush writes

    BH_UPTODATE = 1              # holds what the disk has, or what is newer
    BH_DIRTY = 2                 # newer than the disk
    BH_LOCK = 4                  # under IO by the process `owner`
    BH_WRITING = 8  # the IO is a write: if it is cut off, the buffer is dirty again
    BH_REFERENCED = 16           # used since the LRU scan last looked

    LIST_NONE = 0
    LIST_ACTIVE = 1
    LIST_INACTIVE_DIRTY = 2
    LIST_INACTIVE_CLEAN = 3
    NR_LISTS = 4

    PICK_NOTHING = 0
    PICK_WRITE = 1               # the buffer is locked for writing by this process
    PICK_MOVED = 2

# One per page frame, in the control area: the buffer that the page holds. Guarded by the lock.
cdef public struct buffer_head:      # 48 bytes
    u64 key                      # device + 1 in bits 32-63, block in 0-31; 0 = none
    u64 dirtied_ns               # machine_ns() of the oldest change that is not on disk
    u32 hash_next                # pfn of the next of its chain, 0 = end
    u32 pad
    u32 state                    # BH_*
    u32 owner                    # owner_word of the process that has it locked
    u32 list                     # LIST_* that its page is on
    u32 error                    # errno of the last IO, 0 = none
    u64 users                    # b_count by process, see buffer_users_cy; 0 = unused

cdef public struct lru_list:
    page *first                  # newest
    page *last                   # oldest: the scans begin here
    u64 nr

cdef public struct buffer_cache:
    spinlock lock                # "lru_list_lock": guards all of this and the buffer heads
    lru_list lru[4]              # by LIST_*
    u64 nr_dirty
    u64 nr_reads
    u64 nr_hits
    u64 nr_misses
    u64 disk_blocks              # of device 0
    u32 site                     # call site of the cache's own pages
    u32 pad
    wait_queue_head queue[32]    # who waits for a buffer under IO, by pfn
    u32 hash[4096]               # pfn of the first of a chain, 0 = empty

cdef buffer_cache *cache
cdef buffer_head *buffer_heads   # [nr_heads]: buffers are direct-mapped
cdef u64 nr_heads                # max_low_pfn

ctypedef void (*bdflush_hook)() noexcept
cdef bdflush_hook wake_bdflush   # set by the reclaim; any context, inside a call

cdef u64 hash_of(u64 key) noexcept
cdef u64 lookup(u64 key) noexcept                   # pfn, 0 = not there; the lock is held
cdef void insert(u64 pfn, u64 key) noexcept         # the lock is held
cdef void forget(u64 pfn) noexcept                  # the lock is held
cdef void lru_add(page *p, u32 which) noexcept
cdef void lru_del(page *p) noexcept
cdef u64 find_or_add(u64 key, u32 site) except? 0
cdef u64 reclaim_clean_pages(zone *z, u64 nr) noexcept
cdef bint may_free(buffer_head *b) noexcept
cdef int launder_one(bint may_write) noexcept
cdef void lock_for_io(buffer_head *b, u32 kind) noexcept
cdef void recover_buffers(spinlock *lock) noexcept
cdef void recover_zone_buffers(zone *z) noexcept
cdef void cut_off_io(buffer_head *b) noexcept
cdef void start_write(u64 pfn) noexcept
cdef void count_list(page *p, u32 which, s64 change) noexcept
cdef u64 picked_pfn              # what launder_one or start_write has locked for writing
cdef wait_queue_head *queue_of(u64 pfn) noexcept
