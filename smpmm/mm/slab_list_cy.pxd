"""Structures of the slab allocator, and the lists of a cache's slabs.

What each object is stands in one truth word; everything else is an index over these words.
Functions here are called inside a kernel call, or by recovery; those that take a cache without
more words need its lock held.
"""

from cpus.atomic cimport u8, u16, u32, u64
from cpus.event_cy cimport TASK_PID_WORD
from cpus.percpu_cy cimport this_cpu, this_slot
from cpus.segment_cy cimport direct_end, direct_start, ram
from cpus.spinlock_cy cimport spinlock
from smpmm.mm.page_cy cimport PAGE_SHIFT, mem_map

cdef enum:
    NR_CACHES = 256
    NR_SIZES = 32
    CACHE_NAMELEN = 20
    CACHE_ENTRIES = 256          # of a per-CPU array, at most
    BUFCTL_END = 0xffffffff
    # truth words of one page: as many as objects of 32 bytes, or, in a region of its own, of 4
    PAGE_OBJECTS = 128
    PAGE_SMALL_OBJECTS = 512
    TRUTH_STEP_SHIFT = 16        # truth words are backed in steps of 64 KiB

    # Truth word of an object, bits 0-3: what it is.
    OBJECT_NONE = 0              # there is no such object
    OBJECT_FREE = 1              # free in its slab; bits 16-63: its physical address / 4
    OBJECT_CACHED = 2            # free in the array of a CPU, bits 8-15; address as above
    OBJECT_ALLOC = 3             # process slot + 1 (8-15), call site (16-31), pid (32-63)
    OBJECT_KERNEL = 4            # the slab allocator's own; what for stands in the pid's place
    OBJECT_FREEING = 5           # process slot + 1 (8-15), which caches it; address as above
    OBJECT_KIND = 0xf
    OBJECT_HOLDER = 0xffff       # kind and CPU of a cached object together
    OBJECT_CPU_SHIFT = 8
    OBJECT_SITE_SHIFT = 16
    OBJECT_PID_SHIFT = 32
    OBJECT_PLACE_SHIFT = 14      # phys >> 2 << 16

    CACHE_FREE = 0
    CACHE_LIVE = 1
    CACHE_DYING = 2              # being destroyed by `creator`: off the chain

    SLAB_LISTED = 0              # on its cache's list
    SLAB_GROWING = 1             # private to the process `owner`, which makes it
    SLAB_DYING = 2               # private to the process `owner`, which takes it apart

    # kmem_cache.flags, in a debugging build only
    SLAB_DEBUG_INITIAL = 0x200
    SLAB_RED_ZONE = 0x400
    SLAB_POISON = 0x800

    CFLGS_OFF_SLAB = 0x10000
    CFLGS_FAILSLAB = 0x20000     # marked for failslab's cache filter
    RECIPROCAL_SHIFT = 40
    DFLGS_GROWN = 1              # has grown since reap last looked

cdef public struct slab:                 # 64 bytes; one for each frame that heads a slab
    # constant while the slab lives; a free reads this half
    u64 s_mem                    # physical address of the first object, behind its red zone
    u64 reciprocal               # of objsize, as in its cache
    u32 truth                    # index of the first object's truth word
    u32 objsize
    u16 cache                    # index of its cache
    u16 state                    # SLAB_*; guarded by the cache's lock
    u32 owner                    # lock word of the process that has it private
    # guarded by the cache's lock
    slab *next
    slab *prev
    u32 inuse                    # objects that are not free in the slab
    u32 free                     # first free object, BUFCTL_END: none; next ones in the bufctl
    u64 management               # physical address of slab_t in RAM, then the bufctl array

cdef public struct array_cache:          # what one CPU keeps of one cache
    # only the process that is this CPU, inside a call; another through that CPU's gate
    u32 avail
    u32 limit                    # 0: no array
    u32 batchcount
    u32 pad
    u64 cpucache                 # kernel address of the RAM that it costs, 0 = none
    u64 allochit                 # counted only where the kernel was built to (slab_build_cy)
    u64 allocmiss                # found empty; always counted, as freemiss
    u64 freehit
    u64 freemiss
    u64 spare
    u32 entry[256]               # indexes of truth words, last in first out

cdef public struct kmem_cache:           # one for each index; the handle names the index
    # fast path; constant while the cache lives
    u64 reciprocal               # ceil(2**RECIPROCAL_SHIFT / objsize)
    u64 address                  # kernel address of the handle, 0 = none
    u32 index
    u32 objsize                  # bytes
    u32 num                      # objects per slab
    u32 gfporder
    u32 flags                    # SLAB_* as given
    u32 cflags                   # CFLGS_*
    u32 gfpflags                 # or'ed into the flags for pages
    u32 colour
    u32 colour_off
    u32 slab_size                # bytes of the management
    u32 slabp_cache              # index of the general cache that it comes from
    u32 state                    # CACHE_*: the committing store of creation and destruction
    u64 ctor                     # addresses in the kernel text, 0 = none
    u64 dtor
    u64 born                     # order in the chain: the newest stands behind kmem_cache
    u32 creator                  # owner_word of who creates or destroys it, 0 = nobody
    u32 site                     # call site of its creation, 0 = boot
    u32 red_bytes                # of the red zone before each object and of that behind it
    u32 payload                  # what is an object's user's; objsize without red zones
    u32 first_bytes              # from where the kernel has its first object to s_mem
    u32 spare
    # guarded by the lock
    spinlock lock
    u32 colour_next
    u32 dflags                   # DFLGS_*
    slab *first                  # full, then partial, then free slabs (2.4.0 to 2.4.9)
    slab *last
    slab *firstnotfull           # NULL: all are full
    u64 nr_slabs
    u64 grown                    # slabs ever made
    u64 reaped                   # slabs that kmem_cache_reap took
    u64 repaired                 # free lists that were not what the truth says
    u64 num_active               # objects that are not free in their slabs
    u64 nr_allocs                # objects ever taken from slabs
    u64 high_mark                # the most that num_active was
    u32 limit                    # of each CPU's array
    u32 batchcount
    char name[20]

cdef public struct slab_globals:
    u64 nr_sizes
    u32 sizes[32]                # general sizes, ascending; caches 1 + 2i and, for DMA, 2 + 2i
    u64 born                     # atomic
    u64 clock                    # where kmem_cache_reap goes on: `born` of a cache
    u64 nr_caches                # entries of the table ever used
    u64 arrays_on                # 1: new caches get per-CPU arrays
    u64 chain_sem                # kernel address of cache_chain_sem, 0 = none
    u32 level_mask               # SLAB_LEVEL_MASK
    u32 no_grow
    u32 sizeof_slab              # bytes of slab_t before the bufctl array
    u32 reap_scan
    u32 reap_perfect
    u32 site_grow                # call sites of the kernel's own allocations
    u32 site_slabmgmt
    u32 site_cache
    u32 site_cpucache
    u32 pad

cdef slab_globals *slab_global
cdef kmem_cache *caches          # [NR_CACHES]; 0 is kmem_cache itself
cdef slab *slabs                 # [nr_pages]: of the slab whose first page that is
cdef u64 *truths                 # PAGE_OBJECTS for each page, then PAGE_SMALL_OBJECTS for each
cdef u64 nr_truths
cdef u8 *growings                # [NR_CACHES][256]: slabs that a process slot is making now

# Back the truth words [first, first + nr) with host memory: their region is full of holes.
# False: the host has none. Inside, no lock.
cdef bint reserve_truths(u64 first, u64 nr) noexcept
# The same for any region of holes: bytes [first, first + bytes) of what begins at `base`.
cdef bint reserve_steps(u8 *base, u8 *backed, u64 first, u64 bytes) noexcept
cdef u8 *truths_backed           # one for each TRUTH_STEP bytes of the region

cdef array_cache *arrays         # [CPUs][NR_CACHES]

cdef inline array_cache *cpu_array(kmem_cache *c, u64 cpu) noexcept nogil:
    return arrays + (cpu * NR_CACHES + c.index)

cdef inline u32 *slab_bufctl(slab *s) noexcept nogil:
    return <u32 *>(ram + s.management + slab_global.sizeof_slab)

cdef inline u64 object_place(kmem_cache *c, slab *s, u64 nr) noexcept nogil:
    return (s.s_mem + nr * c.objsize) << OBJECT_PLACE_SHIFT

# Kernel address of a free or cached object by its truth.
cdef inline u64 place_address(u64 truth) noexcept nogil:
    return direct_start + (truth >> OBJECT_SITE_SHIFT << 2)

cdef inline slab *truth_slab(u64 index) noexcept nogil:
    cdef u64 pfn
    if index < nr_truths:
        pfn = index / PAGE_OBJECTS
    else:
        pfn = (index - nr_truths) / PAGE_SMALL_OBJECTS
    return <slab *>mem_map[pfn].slab

# Truth bits of an object that is handed out now, here.
cdef inline u64 object_owner(u32 site) noexcept:
    cdef u64 pid = 0
    if this_cpu.current != 0:
        pid = (<u64 *>this_cpu.current)[TASK_PID_WORD]
    return (OBJECT_ALLOC | this_slot << OBJECT_CPU_SHIFT
            | <u64>(site & 0xffff) << OBJECT_SITE_SHIFT | pid << OBJECT_PID_SHIFT)

cdef void list_insert_slab(kmem_cache *c, slab *s, slab *before) noexcept
cdef void list_unlink_slab(kmem_cache *c, slab *s) noexcept
cdef void give_to_full_slab(kmem_cache *c, slab *s) noexcept
cdef void list_append_slab(kmem_cache *c, slab *s) noexcept
cdef void list_del_slab(kmem_cache *c, slab *s) noexcept
# Take the first free object off firstnotfull, not NULL, and make its truth what `holder`
# says (a cached object keeps its place). Returns the index of its truth word; BUFCTL_END when
# the slab's free list was damaged and had nothing: it has been rebuilt, try again.
cdef u32 take_object(kmem_cache *c, u64 holder) noexcept
# Put a cached or allocated object back into its slab.
cdef void give_object(kmem_cache *c, u32 truth) noexcept
# Rebuild one slab's free list and count, or all lists of a cache, from the truth.
cdef void rebuild_slab(kmem_cache *c, slab *s) noexcept
cdef void rebuild_cache(kmem_cache *c) noexcept
cdef bint is_slab_of(kmem_cache *c, u64 pfn) noexcept
cdef bint cache_growing(kmem_cache *c) noexcept
# The cache whose handle is at `address`; NULL: none.
cdef kmem_cache *cache_at(u64 address) noexcept
