"""The rwlock calls of drivers: each one compiled call, checked at the door."""

from cpus.atomic cimport u32, u64
from cpus.rwlock_cy cimport rwlock

cdef int take_side(object lock, str name, int write, int irq) except -1
cdef int give_side(object lock, str name, int write, int irq, int flags) except -1
cdef bint holds_side(rwlock *at, int write) noexcept
cdef rwlock *rwlock_at(u64 address) noexcept
