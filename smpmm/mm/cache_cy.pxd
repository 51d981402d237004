"""Caches: the table and its boot."""

from cpus.atomic cimport u32, u64
from smpmm.mm.slab_list_cy cimport kmem_cache

# A free entry of the table for this process, NULL when all are taken. Inside a call.
cdef kmem_cache *claim_cache() noexcept
# The entry of a handle that this process has written.
cdef kmem_cache *made_at(u64 handle) noexcept
cdef void write_handle(u64 handle, kmem_cache *c) noexcept
