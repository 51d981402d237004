"""Caches: the table and its boot."""

from cpus.atomic cimport u32, u64
from smpmm.mm.slab_list_cy cimport kmem_cache

# A free entry of the table for this process, NULL when all are taken. Inside a call.
cdef kmem_cache *claim_cache() noexcept
cdef void write_handle(u64 handle, kmem_cache *c) noexcept
