"""The spinlock calls of drivers: each one compiled call, checked at the door."""

from cpus.atomic cimport u32, u64
from cpus.spinlock_cy cimport spinlock

cdef enum:
    PLAIN = 0              # what a variant does beside the lock
    IRQ = 1                # interrupts off
    BH = 2                 # softirqs off

cdef spinlock *spinlock_at(u64 address) noexcept
cdef int release(u64 address) noexcept
cdef int lock_irqs_off(object lock, str name) except -1
# Undo what a variant did beside the lock; a safe point. Inside a call.
cdef void restore(int irq, int flags) noexcept
