"""The slab allocator: objects of equal size from caches, and kmalloc over caches of fixed
sizes.

C functions here are called inside a kernel call. With an exception set the call has been left.
"""

from cpus.atomic cimport (
    atomic64_cmpxchg, atomic64_load, atomic64_store_relaxed, compiler_barrier, likely, u16,
    u32, u64, unlikely,
)
from cpus.event_cy cimport trace_allocations
from cpus.percpu_cy cimport (
    cpu_area, enter_as, leave_as, pending_ignored, process_slot, this_cpu, this_process,
    sleeping_breach, this_slot,
)
from smpmm.mm.page_cy cimport PAGE_SHIFT, page
from smpmm.mm.slab_list_cy cimport (
    OBJECT_ALLOC,
    OBJECT_CACHED,
    OBJECT_CPU_SHIFT,
    OBJECT_FREEING,
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
    NO_OBJECT = 0xffffffff

    # why a free was refused
    FREE_OK = 0
    FREE_NOT_SLAB = 1            # no slab page, or no address of direct-mapped memory
    FREE_INTERIOR = 2            # not the first byte of an object
    FREE_TWICE = 3               # the truth says that it is free
    FREE_WRONG_CACHE = 4
    FREE_KERNELS = 5             # the slab allocator's own
    FREE_OVERWRITTEN = 6         # a debugging build: its red zones are damaged

# Fault injection (failslab): non-zero fails the request. Any context.
ctypedef int (*failslab_hook)(kmem_cache *c, u64 gfp, u32 site) noexcept
cdef failslab_hook should_failslab
# Have the hook asked whenever `on` points to anything but 0. The monitor, before it forks.
cdef void set_failslab_hook(u64 *on, failslab_hook hook) noexcept

# What an allocation and a free are in the kernel that was built: plain, counting or verifying
# (slab_build_cy). Inside a call. A build that is not plain closes `fast`, and every call comes
# to these by the slow paths.
ctypedef u64 (*alloc_policy)(kmem_cache *c, u64 gfp, u32 site) except? 0
# An object whose truth, word `truth`, said `was`: FREE_*
ctypedef int (*free_policy)(slab *s, u64 phys, u64 truth, u64 was, u32 site) noexcept
cdef alloc_policy build_alloc
cdef free_policy build_free
cdef void set_build(alloc_policy alloc, free_policy free) noexcept
# What a debugging build does besides; NULL in others. With a slab that nobody else has:
# prepare its objects (False: the host has no memory); say whether all are as free ones are.
ctypedef bint (*slab_policy)(kmem_cache *c, slab *s) noexcept
cdef slab_policy build_slab
cdef slab_policy build_whole
# Make an object as free ones are, whatever it was. Before a free, outside of the call.
ctypedef void (*settle_policy)(kmem_cache *c, u64 phys) noexcept
cdef settle_policy build_settle
ctypedef int (*before_free_policy)(u64 address) except -1
cdef before_free_policy build_before_free
# kmem_cache_grow, which stands on this module
ctypedef int (*grow_function)(kmem_cache *c, u64 gfp, u32 site) except -1
cdef grow_function grow_hook

cdef u64 kmem_cache_alloc_inside(kmem_cache *c, u64 gfp, u32 site) except? 0
cdef u64 plain_alloc(kmem_cache *c, u64 gfp, u32 site) except? 0
cdef int plain_free(slab *s, u64 phys, u64 truth, u64 was, u32 site) noexcept
cdef kmem_cache *general_cache(u64 size, bint dma) noexcept    # NULL: too large
cdef kmem_cache *checked_cache(u64 address, str what) except NULL

cdef void free_slowpath(slab *s, u32 truth, u32 site) noexcept
cdef int why_refused(slab *s, u64 offset, u64 nr) noexcept
cdef u64 kmalloc_slowpath(u64 size, u64 gfp, u32 site) except? 0
cdef u64 asked_alloc(kmem_cache *c, u64 gfp, u32 site) except? 0
# Give the objects of a CPU's array, from entry `from_` on, back to their slabs; lock held.
cdef void flush_array(kmem_cache *c, array_cache *ac, u32 from_, u64 cpu) noexcept
cdef u64 alloc_slowpath(kmem_cache *c, u64 gfp, u32 site) except? 0
cdef u64 refill(kmem_cache *c, u32 site) noexcept
# Fill this CPU's array up to its batchcount, locked; True: there is an object in it.
cdef bint fill_array(kmem_cache *c, array_cache *ac) noexcept
cdef u64 take_one(kmem_cache *c, u32 site) noexcept
# By (size + 31) >> 5 and whether for DMA: the index of the general cache, 0: too large.
cdef u16 size_caches[4097][2]

# What every call looks at, in one place: pointers of other modules, the version's flag bits.
cdef struct slab_view:
    u64 low_start
    u64 low_end
    page *pages
    u64 *truths
    array_cache *arrays          # of `cpu`
    cpu_area *cpu
    u64 *failslab_on             # what it points to is 0: nobody is asked
    u64 dma_bit
    u64 wait_bit

cdef slab_view view
# The same for the paths that are inlined into calls. Closed, it knows no address and has every
# allocation ask: no test of its own says that a build counts or verifies.
cdef slab_view fast
cdef void find_arrays(slab_view *v) noexcept
cdef u64 never_fail
cdef u64 always_ask

# The slab of a kernel address, NULL when its page is no slab's.
cdef inline slab *slab_of(slab_view *v, u64 address) noexcept:
    if unlikely(address < v.low_start or address >= v.low_end):
        return NULL
    return <slab *>v.pages[(address - v.low_start) >> PAGE_SHIFT].slab

# The number of the object of a slab that begins at physical address `phys`, NO_OBJECT when
# none does. Behind the last object the truth words are zero, up to the slab's last byte.
cdef inline u64 object_at(slab *s, u64 phys) noexcept:
    cdef u64 offset = phys - s.s_mem
    cdef u64 nr = offset * s.reciprocal >> RECIPROCAL_SHIFT
    return nr if likely(nr * s.objsize == offset) else NO_OBJECT

# Truth bits of an object in the array of a CPU, and of one that this process has claimed to
# bring it there.
cdef inline u64 cached_by(cpu_area *cpu) noexcept:
    return OBJECT_CACHED | cpu.number << OBJECT_CPU_SHIFT

cdef inline u64 freeing_here() noexcept:
    return OBJECT_FREEING | this_slot << OBJECT_CPU_SHIFT

# The array of this CPU for a cache. Inside a call.
cdef inline array_cache *my_array(slab_view *v, cpu_area *cpu, u64 index) noexcept:
    if unlikely(v.cpu != cpu):
        find_arrays(v)
    return v.arrays + index

# Pop an object of cache `index` off this CPU's array and make it the caller's: its address,
# 0: there is none.
cdef inline u64 pop_object(slab_view *v, cpu_area *cpu, u64 index, u32 site) noexcept:
    cdef array_cache *ac = my_array(v, cpu, index)
    cdef u64 n = ac.avail
    cdef u64 *t
    cdef u64 word
    if unlikely(n == 0):
        return 0
    t = v.truths + ac.entry[n - 1]
    word = t[0]
    if unlikely(word & OBJECT_HOLDER != cached_by(cpu)):
        return 0
    t[0] = object_owner(site)
    compiler_barrier()
    ac.avail = <u32>(n - 1)
    return v.low_start + (word >> OBJECT_SITE_SHIFT << 2)

# Put an object, which this process is freeing, into this CPU's array. Inside a call.
cdef inline void cache_object(
    slab_view *v, cpu_area *cpu, slab *s, u64 phys, u64 truth, u32 site
) noexcept:
    cdef array_cache *ac = my_array(v, cpu, s.cache)
    cdef u64 n = ac.avail
    v.truths[truth] = cached_by(cpu) | phys << OBJECT_PLACE_SHIFT
    if likely(n < ac.limit):
        ac.entry[n] = <u32>truth
        compiler_barrier()
        ac.avail = <u32>(n + 1)
    else:
        free_slowpath(s, <u32>truth, site)

# Free the object at physical address `phys`, whose truth is word `truth` and says `was`, into
# this CPU's array. Inside a call. FREE_OK or FREE_TWICE.
cdef inline int free_object(slab *s, u64 phys, u64 truth, u64 was, u32 site) noexcept:
    cdef u64 word = cached_by(this_cpu) | phys << OBJECT_PLACE_SHIFT
    if unlikely(atomic64_cmpxchg(view.truths + truth, was, word) != was):
        # Another CPU frees the object at the same time: only one of the two is right.
        return FREE_TWICE
    cache_object(&view, this_cpu, s, phys, truth, site)
    return FREE_OK

# kmalloc as a kernel call of its own, enter and leave included. 0 when there is no memory, or
# the size is above the largest general cache.
cdef inline u64 kmalloc_call(u64 size, u64 gfp, u32 site) except? 0:
    cdef slab_view *v = &fast
    cdef cpu_area *cpu = this_cpu
    cdef process_slot *me = this_process
    cdef u64 index
    cdef u64 address = 0
    enter_as(cpu, me)
    if gfp & v.wait_bit and unlikely((cpu.preempt_count | cpu.irqs_off) != 0):
        sleeping_breach(b"kmalloc")
    if likely(size <= (SIZE_STEPS - 1) * 32 and v.failslab_on[0] == 0):
        index = size_caches[(size + 31) >> 5][(gfp & v.dma_bit) != 0]
        if likely(index != 0 and not trace_allocations):
            address = pop_object(v, cpu, index, site)
    if unlikely(address == 0):
        address = kmalloc_slowpath(size, gfp, site)
    leave_as(cpu, me)
    return address

# Inside a call. `c` NULL: whichever cache the object is of. Returns FREE_*.
cdef int kmem_cache_free_inside(kmem_cache *c, u64 address, u32 site) noexcept

# The same as a kernel call of its own: what claims the object publishes the call too, one
# exchange for both. On an exception, from the preemption point, the object is as it was.
cdef inline int kmem_cache_free_call(kmem_cache *c, u64 address, u32 site) except -1:
    cdef slab_view *v = &fast
    cdef cpu_area *cpu = this_cpu
    cdef process_slot *me = this_process
    cdef slab *s = slab_of(v, address)
    cdef u64 nr, was, truth, phys
    if unlikely(s == NULL or trace_allocations):
        return free_call_slowpath(c, address, site)
    phys = address - v.low_start
    nr = object_at(s, phys)
    if unlikely(nr == NO_OBJECT or (c != NULL and c.index != s.cache)):
        return free_call_slowpath(c, address, site)
    truth = s.truth + nr
    was = v.truths[truth]
    if unlikely(was & OBJECT_KIND != OBJECT_ALLOC):
        return free_call_slowpath(c, address, site)
    atomic64_store_relaxed(&me.inside, 1)
    # Sequentially consistent: the store before it is seen by a handler that is not seen by the
    # load behind it (gate_acquire), as with enter's exchange.
    if unlikely(
        atomic64_cmpxchg(v.truths + truth, was, freeing_here() | phys << OBJECT_PLACE_SHIFT)
        != was
    ):
        leave_as(cpu, me)
        return free_call_slowpath(c, address, site)
    if unlikely(atomic64_load(&cpu.pending) != pending_ignored):
        free_call_pending(truth, was)
    cache_object(v, cpu, s, phys, truth, site)
    leave_as(cpu, me)
    return FREE_OK

cdef int free_call_slowpath(kmem_cache *c, u64 address, u32 site) except -1
cdef int free_call_pending(u64 truth, u64 was) except -1
