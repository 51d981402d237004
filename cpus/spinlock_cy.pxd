"""Spinlocks. C functions here are called inside a kernel call (between enter and leave)."""

from cpus.atomic cimport u8, u16, u32, u64
from cpus.lockstat_cy cimport (
    CLASS_RW, CLASS_SLEEPING, CLASS_SPIN, NR_RECOVERIES, RECOVER_CACHE, RECOVER_IRQ,
    RECOVER_NOTHING, RECOVER_OTHER, RECOVER_RUNQUEUE,
    RECOVER_WAIT_QUEUE, RECOVER_ZONE, lock_acquired_stat,
    lock_class_named, lock_held_stat, lock_waited_stat,
)
from cpus.waiting_cy cimport WAITERS, lock_wait

cdef enum:
    LOCK_MAGIC = 0x5eed

cdef public struct spinlock:      # 24 bytes; also spinlock_t in a driver's struct
    u32 word              # owner_word of the holder, 0 = free; WAITERS
    u16 class_            # its lock class
    u16 magic             # LOCK_MAGIC: initialised
    # guarded by the lock
    u32 site              # where the holder took it
    u32 last_cpu          # CPU + 1 that took it last
    u64 acquired          # clock_ticks() of the acquisition when this section is timed, else 0

cdef void spinlock_init(spinlock *lock, u16 class_) noexcept

# Returns 0, or -1 without the lock: this process holds it already, or the wait closes a cycle.
cdef int spin_acquire(spinlock *lock, u32 site) noexcept

# For the kernel's own locks: always with interrupts off or bottom halves accounted for by the
# caller, never recursive, never held when an exception is raised. `site` as call_site().
cdef void raw_spin_lock(spinlock *lock, u32 site) noexcept
cdef bint raw_spin_trylock(spinlock *lock, u32 site) noexcept
cdef void raw_spin_unlock(spinlock *lock) noexcept
cdef u64 raw_spin_lock_irqsave(spinlock *lock, u32 site) noexcept
# Passes a safe point when `flags` says that interrupts were on.
cdef void raw_spin_unlock_irqrestore(spinlock *lock, u64 flags) noexcept

# Called with the lock just taken over from a process that died holding it; inside a call,
# interrupts as the taker has them. Registered by the layer that owns the structure.
ctypedef void (*recover_hook)(spinlock *lock) noexcept
cdef recover_hook recovery_hooks[16]
cdef void register_recovery(u32 recovery, recover_hook hook) noexcept

# Helpers of the modules of locks.
cdef int spin_lock_slowpath(spinlock *lock, u32 site) noexcept
cdef u32 spin_for(spinlock *lock, lock_wait *w) noexcept
cdef void spin_acquired(spinlock *lock, u32 site) noexcept
cdef bint take_dead(spinlock *lock, u32 word, u32 site) noexcept
cdef void take_over(spinlock *lock, u32 word) noexcept
cdef void wait_counted(spinlock *lock, lock_wait *w) noexcept
# The list of held locks: an entry is whole before `nr_held` names it, and moves towards the
# oldest only. `taken` as in held_lock; forget_held returns that of the entry.
cdef void note_held(u64 lock, u32 site, u32 flags, u64 taken) noexcept
cdef u64 forget_held(u64 lock) noexcept
cdef u64 forget_deeper(u64 lock) noexcept
