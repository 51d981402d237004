"""The page allocator's policy: who gets pages from which zone, and what happens without any.

What other compiled modules use; all functions are called inside a kernel call.
"""

from cpus.atomic cimport u32, u64
from smpmm.mm.page_cy cimport page
from smpmm.mm.zone_cy cimport ZONE_DMA, ZONE_HIGHMEM, ZONE_NORMAL, zone

# The version's flag bits; 0 where it has none.
cdef u64 gfp_wait
cdef u64 gfp_high             # all of GFP_ATOMIC; with gfp_wait and gfp_io, a kernel request
cdef u64 gfp_emergency        # __GFP_HIGH
cdef u64 gfp_io
cdef u64 gfp_dma
cdef u64 gfp_highmem
cdef u64 gfp_dma32
cdef u64 gfp_zones            # all bits that choose a zone
cdef u64 atomic_divisor       # atomic requests leave pages_min / this

# Fault injection (fail_page_alloc): non-zero fails the request. Any context.
ctypedef int (*fail_page_alloc_hook)(u64 gfp, u64 order, u32 site) noexcept
cdef fail_page_alloc_hook should_fail_alloc_page
cdef u64 *fail_page_alloc_on  # what it points to is 0: nobody is asked
cdef u64 never_fail

# A block of 2**order pages that is physically contiguous and naturally aligned, or NULL
# without an exception. With the WAIT bit in `gfp` it may leave the call, sleep and come
# back: the caller holds no lock, has entered by enter_sleeping, and nothing another task
# may see lies on its stack. An exception means that the task was killed while it slept: the
# call has been left (inside is 0).
cdef page *alloc_pages(u64 gfp, u64 order, u32 site) except? NULL
# The same as a kernel call `name` of its own, enter and leave included.
cdef page *alloc_pages_call(u64 gfp, u64 order, u32 site, const char *name) except? NULL
# Free a block that alloc_pages_call returned, as a kernel call of its own. Any context.
# Non-zero: the truth forbids it, nothing done.
cdef int free_pages_call(page *p, u64 order, u32 site) except? -1

cdef public struct vm_state:      # atomic additions, but for the first word
    u64 kswapd_wanted             # 1: a zone was found below its mark; kswapd clears it
    u64 nr_kswapd_wakeups
    u64 nr_failed                 # requests that ended with NULL, order limit not counted
    u64 nr_direct_reclaims        # times a task went to free pages itself
    u64 nr_waits                  # times a task slept for kswapd
    u64 nr_oom_kills
    u64 kswapd_scanned            # pages looked at, and freed
    u64 kswapd_freed
    u64 direct_scanned
    u64 direct_freed
    u64 nr_written                # buffers written back
    u64 slab_freed                # pages that slab caches gave back
    # the buffer cache, pages; guarded by its lock
    u64 nr_buffer_pages
    u64 nr_active
    u64 nr_inactive_dirty
    u64 nr_inactive_clean

cdef vm_state *vm

cdef enum:
    PF_MEMALLOC = 0x800           # task_struct.flags: may use the reserve, does not reclaim

    # what the reclaim hook is asked to do
    RECLAIM_YIELD = 0             # let other tasks run
    RECLAIM_LAUNDER = 1           # write dirty buffers, then move clean pages: for a block
    RECLAIM_WAIT = 2              # sleep until kswapd has gone round
    RECLAIM_DIRECT = 3            # free some pages in this task, without IO

# Give up to `nr` clean pages of a zone to its buddy lists; returns how many. Set by the buffer
# cache. Any context, inside a call.
ctypedef u64 (*reclaim_clean_hook)(zone *z, u64 nr) noexcept
cdef reclaim_clean_hook reclaim_clean
# Wake the kernel thread; set by the reclaim.
ctypedef void (*wake_hook)() noexcept
cdef wake_hook wake_kswapd_thread

# Say that memory is short, and wake kswapd. Any context, inside a call.
cdef void wakeup_kswapd() noexcept
cdef u64 nr_free_pages() noexcept

# What the version does when the first zone of the list does not have plenty: all of its order
# of actions, from the first look at the marks to the message. Set at boot.
ctypedef page *(*slow_path_function)(u64 gfp, u64 order, u64 owner, u32 site) except? NULL
cdef slow_path_function slow_path
cdef u64 fast_orders              # requests below this order may go the short way

# Of this module and the policies alone.
cdef zone *zonelists[4][4]        # by the zone bits of the mask; NULL ends a list
cdef enum:
    LIST_DMA32 = 3                # the others have the number of their zone
cdef inline zone **zonelist_for(u64 gfp) noexcept:
    if gfp & gfp_zones == 0:
        return zonelists[ZONE_NORMAL]
    if gfp & gfp_dma:
        return zonelists[ZONE_DMA]
    if gfp & gfp_highmem:
        return zonelists[ZONE_HIGHMEM]
    return zonelists[LIST_DMA32]

cdef bint has_memalloc() noexcept
cdef int reclaim(int stage, u64 gfp, u64 order) except -1
cdef int host_has_no_memory() except -1
# Count a request that ends with NULL, and log its message, if there is one.
cdef void allocation_failed(const char *text, int level) noexcept
