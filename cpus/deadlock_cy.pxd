"""The search for a cycle of waiters."""

from cpus.atomic cimport u8, u32, u64
from cpus.percpu_cy cimport process_slot
from cpus.waiting_cy cimport lock_wait

cdef u64 *deadlock_claim   # owner word of the waiter that searches, 0 = nobody

# The last walk of this process: edges from the last to the first. A process waits for
# `cycle_lock` (0: it stands still for a handler) and for the process behind it in the cycle.
cdef u32 cycle_slot[224]
cdef u64 cycle_lock[224]
cdef u32 nr_cycle
cdef u64 cycle_hash
cdef u8 cycle_seen[224]

# Whether the wait closes a cycle; the wait is over then, and `cycle` says which. Inside a
# call.
cdef bint closes_cycle(lock_wait *w) noexcept
# A process that waits for itself.
cdef void note_own_cycle(u64 lock) noexcept
# Whether the process holds the read side of the lock. Reads the list as note_held writes it.
cdef bint reads(process_slot *s, u64 lock) noexcept

cdef enum:
    GATE = 1               # in place of a lock: wants to be the CPU of the other

# Whether the process of `slot` waits at the gate of a CPU that `other` is, interrupts off.
cdef bint at_gate_of(u32 slot, u32 other) noexcept
cdef bint stands_still_for(u32 slot, u32 other) noexcept
cdef u64 cpu_now(process_slot *s) noexcept
cdef bint lists(process_slot *s, u64 lock, u32 flags) noexcept
cdef u64 walk() noexcept
cdef bint leads_back(u32 slot) noexcept
cdef process_slot *owner_for(process_slot *s, u64 lock) noexcept
cdef bint blocks(u32 other, u32 slot, u64 lock, process_slot *owner) noexcept
cdef void add_edge(u32 slot, u64 lock) noexcept
