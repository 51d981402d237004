"""The lock calls of drivers: each one compiled call, checked at the door."""

from cpus.atomic cimport u32, u64
from cpus.rwlock_cy cimport rwlock
from cpus.spinlock_cy cimport spinlock

cdef spinlock *spinlock_at(u64 address) noexcept
cdef rwlock *rwlock_at(u64 address) noexcept
cdef int release(u64 address) noexcept
cdef bint holds_side(u64 address, int write) noexcept
