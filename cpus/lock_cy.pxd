"""The lock calls of drivers: each one compiled call, checked at the door."""

from cpus.atomic cimport u32, u64
from cpus.rwlock_cy cimport rwlock
from cpus.spinlock_cy cimport spinlock

cdef enum:
    PLAIN = 0              # what a variant does beside the lock
    IRQ = 1                # interrupts off
    BH = 2                 # softirqs off

cdef spinlock *spinlock_at(u64 address) noexcept
cdef rwlock *rwlock_at(u64 address) noexcept
cdef int release(u64 address) noexcept
cdef bint holds_side(rwlock *at, int write) noexcept
cdef int take_side(object lock, str name, int write, int irq) except -1
cdef int give_side(object lock, str name, int write, int irq, int flags) except -1
cdef void restore(int irq, int flags) noexcept
