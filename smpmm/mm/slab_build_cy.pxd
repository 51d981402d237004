"""The statistics build of the slab allocator. Inside a kernel call."""

from cpus.atomic cimport u32, u64
from smpmm.mm.slab_list_cy cimport kmem_cache, slab

cdef u64 counted_alloc(kmem_cache *c, u64 gfp, u32 site) except? 0
cdef int counted_free(slab *s, u64 phys, u64 truth, u64 was, u32 site) noexcept
