"""Making slabs and taking them apart. Functions here are called inside a kernel call, no lock
held; with an exception set the call has been left.
"""

from cpus.atomic cimport u8, u16, u32, u64
from smpmm.mm.page_cy cimport page
from smpmm.mm.slab_list_cy cimport kmem_cache, slab

# Make a slab: 1 made, 0 no memory or not allowed. Sleeps if `gfp` allows.
cdef int kmem_cache_grow(kmem_cache *c, u64 gfp, u32 site) except -1
cdef int grow_slab(kmem_cache *c, u64 gfp, u32 offset) except -1
cdef u32 next_colour(kmem_cache *c, u8 *counts, u32 site) noexcept
cdef u64 alloc_management(kmem_cache *c, page *p, u64 gfp) except? 0
cdef slab *init_slab(kmem_cache *c, page *p, u32 offset, u64 management) noexcept
cdef void write_slab_t(slab *s) noexcept
cdef int construct(kmem_cache *c, slab *s, u64 gfp) except -1
cdef int call_for_each(kmem_cache *c, slab *s, u64 function, u64 flags) except -1
cdef void commit_slab(kmem_cache *c, page *p, slab *s) noexcept
cdef void abandon(kmem_cache *c, slab *s) noexcept
cdef void forget_objects(kmem_cache *c, slab *s) noexcept
cdef void forget_pages(kmem_cache *c, slab *s) noexcept
cdef page *first_page(slab *s) noexcept
cdef void come_back_quietly() noexcept

# Take a slab apart that the caller has made SLAB_DYING, its own: destructors, then its pages.
# What a debugging build finds damaged it raises, or with `quiet` logs.
cdef int kmem_slab_destroy(kmem_cache *c, slab *s, bint quiet) except -1
cdef int report_slab(slab *s, bint quiet) except -1
cdef void release_slab(kmem_cache *c, slab *s) noexcept

# An object of the slab allocator itself; its truth says for what (a pfn, a cache index).
cdef u64 *truth_of(u64 address) noexcept
cdef void set_kernel_object(u64 address, u64 what) noexcept
# Make one this process's, which is about to free it: its death frees what nothing refers to.
cdef void own_kernel_object(u64 address) noexcept
cdef void free_kernel_object(u64 address, u64 what, u32 site) noexcept
