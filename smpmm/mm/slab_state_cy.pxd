"""What the slab allocator's state is, for reports, check() and recovery."""

from cpus.atomic cimport u8, u32, u64
from cpus.spinlock_cy cimport spinlock
from smpmm.mm.slab_list_cy cimport array_cache, kmem_cache, slab

cdef void recover_cache(spinlock *lock) noexcept
cdef dict describe_truth(u64 index)
cdef u64 truth_address(u64 index) noexcept
