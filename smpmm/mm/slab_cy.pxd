"""The slab allocator: objects of equal size from caches, and kmalloc over caches of fixed
sizes.

C functions here are called inside a kernel call. With an exception set the call has been left.
"""

from cpus.atomic cimport atomic64_cmpxchg, compiler_barrier, likely, u16, u32, u64, unlikely
from cpus.event_cy cimport EVENT_KFREE, trace_allocations, trace_event
from cpus.percpu_cy cimport cpu_area, this_cpu
from smpmm.mm.page_cy cimport PAGE_SHIFT, page
from smpmm.mm.slab_list_cy cimport (
    OBJECT_ALLOC,
    OBJECT_CACHED,
    OBJECT_CPU_SHIFT,
    OBJECT_HOLDER,
    OBJECT_KIND,
    OBJECT_PLACE_SHIFT,
    OBJECT_SITE_SHIFT,
    RECIPROCAL_SHIFT,
    array_cache,
    kmem_cache,
    object_owner,
    slab,
)

cdef enum:
    SIZE_STEPS = 4097            # 32 bytes each

    # why a free was refused
    FREE_OK = 0
    FREE_NOT_SLAB = 1            # no slab page, or no address of direct-mapped memory
    FREE_INTERIOR = 2            # not the first byte of an object
    FREE_TWICE = 3               # the truth says that it is free
    FREE_WRONG_CACHE = 4
    FREE_KERNELS = 5             # the slab allocator's own

# Fault injection (failslab): non-zero fails the request. NULL = off. Any context.
ctypedef int (*failslab_hook)(kmem_cache *c, u64 gfp, u32 site) noexcept
cdef failslab_hook should_failslab
cdef u64 *failslab_on            # what it points to is 0: nobody is asked. Set by attach
cdef u64 never_fail
# kmem_cache_grow, which stands on this module
ctypedef int (*grow_function)(kmem_cache *c, u64 gfp, u32 site) except -1
cdef grow_function grow_hook

cdef u64 kmem_cache_alloc_inside(kmem_cache *c, u64 gfp, u32 site) except? 0
cdef kmem_cache *general_cache(u64 size, bint dma) noexcept    # NULL: too large
cdef kmem_cache *checked_cache(u64 address, str what) except NULL

# Truth bits of an object in the array of this CPU.
cdef inline u64 cached_here() noexcept:
    return OBJECT_CACHED | this_cpu.number << OBJECT_CPU_SHIFT

cdef void free_slowpath(slab *s, u32 truth, u32 site) noexcept
cdef int why_refused(slab *s, u64 offset, u64 nr) noexcept
cdef u64 kmalloc_slowpath(u64 size, u64 gfp, u32 site) except? 0
# Give the objects of a CPU's array, from entry `from_` on, back to their slabs; lock held.
cdef void flush_array(kmem_cache *c, array_cache *ac, u32 from_, u64 cpu) noexcept
cdef u64 alloc_slowpath(kmem_cache *c, u64 gfp, u32 site) except? 0
cdef u64 refill(kmem_cache *c, u32 site) noexcept
cdef u64 take_one(kmem_cache *c, u32 site) noexcept
# By (size + 31) >> 5 and whether for DMA: the index of the general cache, 0: too large.
cdef u16 size_caches[4097][2]

# Copies of other modules' pointers: one load less each.
cdef u64 low_start
cdef u64 low_end
cdef page *pages
cdef u64 *truth_words
cdef array_cache *my_arrays      # of the CPU `arrays_cpu`
cdef cpu_area *arrays_cpu
cdef u64 dma_bit
cdef void find_arrays() noexcept

# The slab of a kernel address, NULL when its page is no slab's.
cdef inline slab *slab_of(u64 address) noexcept:
    if unlikely(address < low_start or address >= low_end):
        return NULL
    return <slab *>pages[(address - low_start) >> PAGE_SHIFT].slab

# The array of this CPU for a cache. Inside a call.
cdef inline array_cache *my_array(u64 index) noexcept:
    if unlikely(arrays_cpu != this_cpu):
        find_arrays()
    return my_arrays + index

# Pop an object of cache `index` off this CPU's array and make it the caller's: its address,
# 0: there is none.
cdef inline u64 pop_object(u64 index, u32 site) noexcept:
    cdef array_cache *ac = my_array(index)
    cdef u64 n = ac.avail
    cdef u64 *t
    cdef u64 word
    if unlikely(n == 0):
        return 0
    t = truth_words + ac.entry[n - 1]
    word = t[0]
    if unlikely(word & OBJECT_HOLDER != cached_here()):
        return 0
    t[0] = object_owner(site)
    compiler_barrier()
    ac.avail = <u32>(n - 1)
    return low_start + (word >> OBJECT_SITE_SHIFT << 2)

# Free the object at physical address `phys`, whose truth is word `truth` and says `was`, into
# this CPU's array. FREE_OK or FREE_TWICE.
cdef inline int free_object(slab *s, u64 phys, u64 truth, u64 was, u32 site) noexcept:
    cdef array_cache *ac = my_array(s.cache)
    cdef u64 n = ac.avail
    cdef u64 limit = ac.limit
    cdef u64 word = cached_here() | phys << OBJECT_PLACE_SHIFT
    if unlikely(atomic64_cmpxchg(truth_words + truth, was, word) != was):
        # Another CPU frees the object at the same time: only one of the two is right.
        return FREE_TWICE
    if likely(n < limit):
        ac.entry[n] = <u32>truth
        compiler_barrier()
        ac.avail = <u32>(n + 1)
        return FREE_OK
    free_slowpath(s, <u32>truth, site)
    return FREE_OK

# 0 when there is no memory, or the size is above the largest general cache.
cdef inline u64 kmalloc_inside(u64 size, u64 gfp, u32 site) except? 0:
    cdef u64 index, address
    if likely(size <= (SIZE_STEPS - 1) * 32 and failslab_on[0] == 0):
        index = size_caches[(size + 31) >> 5][(gfp & dma_bit) != 0]
        if likely(index != 0 and not trace_allocations):
            address = pop_object(index, site)
            if likely(address != 0):
                return address
    return kmalloc_slowpath(size, gfp, site)

# Any context. `c` NULL: whichever cache the object is of. Returns FREE_*.
cdef inline int kmem_cache_free_inside(kmem_cache *c, u64 address, u32 site) noexcept:
    cdef slab *s = slab_of(address)
    cdef u64 offset, nr, t, truth
    if unlikely(s == NULL):
        return FREE_NOT_SLAB
    offset = address - low_start - s.s_mem
    nr = offset * s.reciprocal >> RECIPROCAL_SHIFT
    if unlikely(nr * s.objsize != offset):
        return FREE_INTERIOR
    # Behind the last object the words are zero, up to the slab's last byte.
    truth = s.truth + nr
    t = truth_words[truth]
    if unlikely(t & OBJECT_KIND != OBJECT_ALLOC):
        return why_refused(s, t, nr)
    if unlikely(c != NULL and c.index != s.cache):
        return FREE_WRONG_CACHE
    if unlikely(trace_allocations):
        trace_event(EVENT_KFREE, address, s.objsize, 0, site)
    return free_object(s, address - low_start, truth, t, site)
