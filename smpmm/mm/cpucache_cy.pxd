"""Per-CPU arrays of a cache. Inside a kernel call."""

from cpus.atomic cimport u32, u64
from smpmm.mm.slab_list_cy cimport array_cache, kmem_cache

# Give a CPU's array a size and the RAM that it costs; returns the RAM that it had. As that
# CPU, or nobody uses it.
cdef u64 set_array(kmem_cache *c, u64 cpu, u32 limit, u32 batchcount, u64 cpucache) noexcept
cdef u64 alloc_cpucache(kmem_cache *c, u64 bytes) except? 0
