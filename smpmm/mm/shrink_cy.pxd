"""How caches give memory back. Inside a kernel call."""

from cpus.atomic cimport u8, u32, u64
from smpmm.mm.slab_list_cy cimport kmem_cache, slab

cdef kmem_cache *next_in_chain(kmem_cache *c) noexcept
# Take the last slab, if it is free, off the list: this process takes it apart. Locked.
cdef slab *take_free_slab(kmem_cache *c) noexcept
cdef u64 count_free_slabs(kmem_cache *c) noexcept
cdef int shrink_slabs(kmem_cache *c) except -1
cdef u64 reap_weight(kmem_cache *c) noexcept
cdef kmem_cache *clock_cache() noexcept
