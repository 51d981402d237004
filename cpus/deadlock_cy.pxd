"""The search for a cycle of waiters."""

from cpus.atomic cimport u32, u64
from cpus.percpu_cy cimport process_slot

cdef u64 *deadlock_claim                  # owner word of the waiter that searches, 0 = nobody

cdef bint find_deadlock() noexcept
cdef u64 walk_cycle() noexcept
cdef process_slot *blocked_by(process_slot *slot) noexcept
cdef process_slot *reader_of(u64 lock, process_slot *besides) noexcept
