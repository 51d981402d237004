"""What of the slab allocator a dead process had in its hands. Inside a kernel call."""

from cpus.atomic cimport u8, u32, u64
from smpmm.mm.page_cy cimport page
from smpmm.mm.slab_list_cy cimport array_cache, kmem_cache, slab

cdef enum:
    NO_CPU = 0xff                # no object is in its arrays

cdef void recover_slab(u64 pfn, u64 cpu, u64 slot) noexcept
cdef void recover_objects(kmem_cache *c, slab *s, u64 holder) noexcept
cdef bint is_orphan(u64 truth, u64 slot) noexcept
cdef bint is_used(u64 address, u64 truth) noexcept
cdef bint is_cpucache(u64 address, u64 index) noexcept
cdef void recover_caches() noexcept
cdef void forget_arrays(kmem_cache *c) noexcept
cdef void free_orphans(u64 pfn, u64 slot) noexcept
