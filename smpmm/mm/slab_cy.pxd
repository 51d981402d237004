"""The slab allocator: objects of equal size from caches, and kmalloc over caches of fixed
sizes.

C functions here are called inside a kernel call. With an exception set the call has been left.
"""

from cpus.atomic cimport u8, u32, u64
from cpus.percpu_cy cimport this_cpu
from smpmm.mm.slab_list_cy cimport (
    OBJECT_CACHED,
    OBJECT_CPU_SHIFT,
    array_cache,
    kmem_cache,
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
# kmem_cache_grow, which stands on this module
ctypedef int (*grow_function)(kmem_cache *c, u64 gfp, u32 site) except -1
cdef grow_function grow_hook

cdef u64 kmem_cache_alloc_inside(kmem_cache *c, u64 gfp, u32 site) except? 0
# Any context. `c` NULL: whichever cache the object is of. Returns FREE_*.
cdef int kmem_cache_free_inside(kmem_cache *c, u64 address, u32 site) noexcept
# 0 when there is no memory, or the size is above the largest general cache.
cdef u64 kmalloc_inside(u64 size, u64 gfp, u32 site) except? 0
cdef kmem_cache *general_cache(u64 size, bint dma) noexcept    # NULL: too large
cdef kmem_cache *checked_cache(u64 address, str what) except NULL

# Truth bits of an object in the array of this CPU.
cdef inline u64 cached_here() noexcept:
    return OBJECT_CACHED | this_cpu.number << OBJECT_CPU_SHIFT

# The slab of a kernel address, NULL when its page is no slab's.
cdef slab *slab_of(u64 address) noexcept
# Free object `nr`, whose truth is `was`, into this CPU's array. FREE_OK or FREE_TWICE.
cdef int free_object(kmem_cache *c, slab *s, u32 nr, u64 was, u32 site) noexcept
cdef void free_slowpath(kmem_cache *c, u32 truth, u32 site) noexcept
# Give the objects of a CPU's array, from entry `from_` on, back to their slabs; lock held.
cdef void flush_array(kmem_cache *c, array_cache *ac, u32 from_, u64 cpu) noexcept
cdef u64 alloc_slowpath(kmem_cache *c, u64 gfp, u32 site) except? 0
cdef u64 refill(kmem_cache *c, u32 site) noexcept
cdef u64 take_one(kmem_cache *c, u32 site) noexcept
cdef u8 size_index[4097]         # by (size + 31) >> 5: which general size
