"""Spinlocks. C functions here are called inside a kernel call (between enter and leave)."""

from cpus.atomic cimport (
    atomic32_cmpxchg, atomic32_load_relaxed, atomic32_store_release, atomic64_load,
    atomic64_store_relaxed, atomic64_store_release, clock_ticks, likely, u8, u16, u32, u64,
    unlikely,
)
from cpus.lockstat_cy cimport (
    CLASS_RW, CLASS_SLEEPING, CLASS_SPIN, NR_CLASSES, NR_RECOVERIES, RECOVER_CACHE,
    RECOVER_IRQ, RECOVER_NOTHING, RECOVER_OTHER, RECOVER_RUNQUEUE,
    RECOVER_WAIT_QUEUE, RECOVER_ZONE, SIDE_READ, SIDE_WRITE, STAT_EXACT, STAT_OFF, add_hold,
    hold_time_stat, is_sampled, lock_acquired_stat, lock_class_named, lock_side, lock_stat,
    stat_level,
)
from cpus.percpu_cy cimport (
    HELD_LOCKS, cpu_area, held_lock, irq_restore, irq_save, leave_as, pending_ignored,
    process_slot, this_cpu, this_owner, this_process,
)
from cpus.waiting_cy cimport WAIT_SPIN, WAITERS, lock_wait

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

# The list of held locks: an entry is whole before `nr_held` names it, and moves towards the
# oldest only. `taken` as in held_lock; forget_held returns that of the entry. `me` is
# this_process.
cdef inline void note_held(
    process_slot *me, u64 lock, u32 site, u32 flags, u64 taken
) noexcept:
    cdef u32 n = me.nr_held
    cdef held_lock *entry
    if likely(n < HELD_LOCKS):
        entry = &me.held[n]
        entry.site = site
        entry.flags = flags
        entry.taken = taken
        atomic64_store_release(&entry.lock, lock)
    atomic32_store_release(&me.nr_held, n + 1)

cdef inline u64 forget_held(process_slot *me, u64 lock) noexcept:
    cdef u32 n = me.nr_held
    if likely(n != 0 and n <= HELD_LOCKS and me.held[n - 1].lock == lock):
        atomic32_store_release(&me.nr_held, n - 1)
        return me.held[n - 1].taken
    return forget_deeper(lock)

# Count an acquisition, by the new owner; clock_ticks() of it if this section is timed, else 0.
cdef inline u64 count_acquisition(spinlock *lock, cpu_area *cpu) noexcept:
    cdef u64 level = stat_level[0]
    cdef u32 number = <u32>cpu.number + 1
    cdef u32 last = lock.last_cpu
    cdef lock_side *stat
    cdef u64 nr
    if unlikely(level == STAT_OFF):
        return 0
    stat = &(<lock_stat *>cpu.lock_stats)[lock.class_].sides[SIDE_WRITE]
    nr = stat.acquisitions + 1
    stat.acquisitions = nr
    if unlikely(last != number):
        stat.acq_bounces += last != 0
        lock.last_cpu = number
    if unlikely(is_sampled(nr) or level == STAT_EXACT):
        return clock_ticks()
    return 0

cdef inline void spin_acquired(
    spinlock *lock, u32 site, cpu_area *cpu, process_slot *me
) noexcept:
    cdef u64 acquired = count_acquisition(lock, cpu)
    lock.site = site
    lock.acquired = acquired
    note_held(me, <u64>lock, site, WAIT_SPIN, acquired)

# Returns 0, or -1 without the lock: this process holds it already, or the wait closes a cycle.
cdef inline int spin_acquire(spinlock *lock, u32 site) noexcept:
    cdef cpu_area *cpu = this_cpu
    cdef process_slot *me = this_process
    if unlikely(me.nr_held != 0):
        note_pairs(lock.class_)
    cpu.preempt_count += 1
    if unlikely(atomic32_cmpxchg(&lock.word, 0, this_owner) != 0):
        if spin_lock_slowpath(lock, site) < 0:
            cpu.preempt_count -= 1
            return -1
    spin_acquired(lock, site, cpu, me)
    return 0

# For the kernel's own locks: always with interrupts off or bottom halves accounted for by the
# caller, never recursive, never held when an exception is raised. `site` as call_site().
cdef void raw_spin_lock(spinlock *lock, u32 site) noexcept
cdef bint raw_spin_trylock(spinlock *lock, u32 site) noexcept

# Give the word back. Who sets WAITERS between the load and the store finds the word changed
# when it goes to sleep on it, or else its time-out ends the sleep: cheaper than an exchange.
cdef inline void spin_release(spinlock *lock) noexcept:
    if likely(atomic32_load_relaxed(&lock.word) == this_owner):
        atomic32_store_release(&lock.word, 0)
    else:
        release_slowpath(lock)

cdef inline void raw_spin_unlock(spinlock *lock) noexcept:
    cdef cpu_area *cpu = this_cpu
    if unlikely(lock.acquired != 0):
        hold_time_stat(lock.class_, SIDE_WRITE, lock.acquired)
    forget_held(this_process, <u64>lock)
    spin_release(lock)
    cpu.preempt_count -= 1

# Enter a kernel call and take a lock in it by one exchange, for a call that has no safe point
# until spin_leave: `inside` keeps interrupts out; irqs_off, preempt_count and the list of held
# locks do not change. False: somebody has the lock, or the preemption point has work; nothing
# is taken, no call entered. True: spin_entered is next, or, to leave at once, spin_give_up.
cdef inline bint spin_enter(cpu_area *cpu, process_slot *me, spinlock *lock) noexcept:
    atomic64_store_relaxed(&me.inside, 1)
    # Sequentially consistent: the store before it is seen by a handler that is not seen by the
    # load behind it (gate_acquire), as with enter's exchange. A handler that is seen may want
    # this very lock; nobody takes this process for blocked with it: it is not on its list.
    if likely(atomic32_cmpxchg(&lock.word, 0, this_owner) == 0):
        if likely(atomic64_load(&cpu.pending) == pending_ignored):
            return True
        spin_release(lock)
    leave_as(cpu, me)
    return False

cdef inline void spin_give_up(cpu_area *cpu, process_slot *me, spinlock *lock) noexcept:
    spin_release(lock)
    leave_as(cpu, me)

# Count the acquisition; returns clock_ticks() of it if this section is timed, else 0.
cdef inline u64 spin_entered(
    cpu_area *cpu, process_slot *me, spinlock *lock, u32 site
) noexcept:
    if unlikely(me.nr_held != 0):
        note_pairs(lock.class_)
    lock.site = site
    return count_acquisition(lock, cpu)

# Release the lock and leave the call; `acquired` is what spin_entered returned.
cdef inline void spin_leave(
    cpu_area *cpu, process_slot *me, spinlock *lock, u64 acquired
) noexcept:
    if unlikely(acquired != 0):
        hold_time_stat(lock.class_, SIDE_WRITE, acquired)
    spin_release(lock)
    leave_as(cpu, me)

cdef inline u64 raw_spin_lock_irqsave(spinlock *lock, u32 site) noexcept:
    cdef u64 flags = irq_save()
    spin_acquire(lock, site)
    return flags

# Passes a safe point when `flags` says that interrupts were on.
cdef inline void raw_spin_unlock_irqrestore(spinlock *lock, u64 flags) noexcept:
    raw_spin_unlock(lock)
    irq_restore(flags)

# Called with the lock just taken over from a process that died holding it; inside a call,
# interrupts as the taker has them. Registered by the layer that owns the structure.
ctypedef void (*recover_hook)(spinlock *lock) noexcept
cdef recover_hook recovery_hooks[16]
cdef void register_recovery(u32 recovery, recover_hook hook) noexcept

# Bit [held][taken]: a lock of class `taken` was waited for with one of class `held` held.
cdef u64 *lock_pairs           # [NR_CLASSES][NR_CLASSES / 64]

# Helpers of the modules of locks.
cdef void note_pairs(u16 class_) noexcept
cdef int spin_lock_slowpath(spinlock *lock, u32 site) noexcept
cdef u32 spin_for(spinlock *lock, lock_wait *w) noexcept
cdef void release_slowpath(spinlock *lock) noexcept
cdef bint take_dead(spinlock *lock, u32 word, u32 site) noexcept
cdef void take_over(spinlock *lock, u32 word) noexcept
cdef void wait_counted(spinlock *lock, lock_wait *w) noexcept
cdef u64 forget_deeper(u64 lock) noexcept
