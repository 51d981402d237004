"""Spinlocks; the takeover of a dead owner's lock.

1. Fast path: one compare-and-exchange of the lock word from 0 to this process's owner word;
   the counters of the lock's class and this CPU, which only this CPU writes.
2. Contended: spin for a bounded time, passing the preemption point at each turn.
3. Then park on the word with a time-out: sixteen CPUs on two host processors must not burn
   them. Before parking, look for a dead owner (take its lock over, repair what it protects)
   and for a cycle of waiters (deadlock).

To its user it is a spinlock all the time: no task switch happens under it, and waiting for it
and holding it are atomic context (preempt_count).

The word is the truth of who owns the lock; the process's list of held locks is for reports and
for the end of a context that forgets one.
"""

import cython
from cython.cimports.cpus.atomic import (
    atomic32_cmpxchg,
    atomic32_load,
    atomic32_store_release,
    atomic32_xchg,
    atomic64_load,
    atomic64_store,
    clock_ns,
    clock_ticks,
    cpu_relax,
    futex_wake,
    likely,
    unlikely,
)
from cython.cimports.cpus.callsite_cy import stack_sites
from cython.cimports.cpus.deadlock_cy import find_deadlock
from cython.cimports.cpus.kill_cy import (
    KILL_LOCK_RELEASING,
    KILL_LOCK_TAKEN,
    kill_point,
)
from cython.cimports.cpus.lockstat_cy import (
    NR_CLASSES,
    STAT_EXACT,
    STAT_OFF,
    hold_time_stat,
    lock_classes,
    lock_stat,
    lock_stats,
    stat_level,
    wait_time_stat,
)
from cython.cimports.cpus.percpu_cy import (
    HELD_LOCKS,
    irq_restore,
    owner_dead,
    stand_still_point,
    this_cpu,
    this_owner,
    this_process,
)
from cython.cimports.cpus.segment_cy import ticks_to_ns
from cython.cimports.cpus.waiting_cy import (
    WAITERS,
    begin_wait,
    end_wait,
    park,
    report_takeover,
)

from cpus import deadlock_cy, lockstat_cy, waiting_cy

wake_parked = waiting_cy.wake_parked
set_stats = lockstat_cy.set_stats
set_exact = lockstat_cy.set_exact


def regions(config: object = None) -> dict:
    """Return the regions of all modules of locks, name → bytes."""
    return {**lockstat_cy.regions(config), **deadlock_cy.regions(config)}


def attach(config: object = None) -> None:
    """Find the regions of all modules of locks in the attached segment."""
    lockstat_cy.attach(config)
    deadlock_cy.attach(config)


def register_recovery(recovery, hook):
    recovery_hooks[recovery] = hook


def spinlock_init(lock, class_):
    lock.site = 0
    lock.last_cpu = 0
    lock.acquired = 0
    lock.class_ = class_
    lock.magic = LOCK_MAGIC
    atomic32_store_release(cython.address(lock.word), 0)


def note_held(lock, site, flags):
    """Put a lock on this process's list of held locks."""
    n: u32 = this_process.nr_held
    if likely(n < HELD_LOCKS):
        this_process.held[n].lock = lock
        this_process.held[n].site = site
        this_process.held[n].flags = flags
    this_process.nr_held = n + 1


def forget_held(lock):
    """Take a lock off this process's list; nearly always it is the last."""
    n: u32 = this_process.nr_held
    i: u32
    if likely(n != 0 and n <= HELD_LOCKS and this_process.held[n - 1].lock == lock):
        this_process.nr_held = n - 1
        return
    if n == 0:
        return
    i = n if n < HELD_LOCKS else HELD_LOCKS
    while i > 0:
        i -= 1
        if this_process.held[i].lock == lock:
            while i + 1 < n and i + 1 < HELD_LOCKS:
                this_process.held[i] = this_process.held[i + 1]
                i += 1
            this_process.nr_held = n - 1
            return


def spin_acquire(lock, site):
    this_cpu.preempt_count += 1
    if unlikely(atomic32_cmpxchg(cython.address(lock.word), 0, this_owner) != 0):
        if spin_lock_slowpath(lock, site) < 0:
            this_cpu.preempt_count -= 1
            return -1
    spin_acquired(lock, site)
    return 0


def spin_acquired(lock, site):
    """Count the acquisition; called by the new owner."""
    level: u64 = stat_level[0]
    stat: cython.pointer[lock_stat]
    lock.site = site
    lock.acquired = 0
    if likely(level != STAT_OFF):
        stat = cython.address(lock_stats[this_cpu.number * NR_CLASSES + lock.class_])
        stat.acquisitions += 1
        if lock.last_cpu != this_cpu.number + 1:
            stat.acq_bounces += lock.last_cpu != 0
            lock.last_cpu = cython.cast(u32, this_cpu.number) + 1
        if stat.acquisitions & 15 == 0 or level == STAT_EXACT:
            lock.acquired = clock_ticks()
    note_held(cython.cast(u64, lock), site, 0)


def raw_spin_lock(lock, site):
    spin_acquire(lock, site)


def raw_spin_trylock(lock, site):
    if atomic32_cmpxchg(cython.address(lock.word), 0, this_owner) != 0:
        return False
    this_cpu.preempt_count += 1
    spin_acquired(lock, site)
    return True


def raw_spin_unlock(lock):
    if unlikely(lock.acquired != 0):
        hold_time_stat(lock.class_, ticks_to_ns(clock_ticks() - lock.acquired))
    forget_held(cython.cast(u64, lock))
    if unlikely(lock.word & WAITERS):
        kill_point(KILL_LOCK_RELEASING)
    if unlikely(atomic32_xchg(cython.address(lock.word), 0) & WAITERS):
        futex_wake(cython.address(lock.word), 1)
    this_cpu.preempt_count -= 1


def raw_spin_lock_irqsave(lock, site):
    flags: u64 = this_cpu.irqs_off
    this_cpu.irqs_off = 1
    spin_acquire(lock, site)
    return flags


def raw_spin_unlock_irqrestore(lock, flags):
    raw_spin_unlock(lock)
    irq_restore(flags)


def spin_lock_slowpath(lock, site):
    start: u64 = clock_ns()
    word: u32 = atomic32_load(cython.address(lock.word))
    holder_site: u32 = lock.site
    waiters: u32 = 0
    parked: u64 = 0
    descheduled: u64 = 0
    parks: cython.int = 0
    _i: cython.int
    if word & ~cython.cast(u32, WAITERS) == this_owner:
        return -1
    if lock.last_cpu != this_cpu.number + 1:
        lock_stats[this_cpu.number * NR_CLASSES + lock.class_].con_bounces += 1
    begin_wait(cython.cast(u64, lock), site, 0)
    while True:
        for _i in range(200):
            word = atomic32_load(cython.address(lock.word))
            if word & ~cython.cast(u32, WAITERS) == 0:
                if (
                    atomic32_cmpxchg(
                        cython.address(lock.word),
                        word,
                        this_owner | waiters | (word & WAITERS),
                    )
                    == word
                ):
                    kill_point(KILL_LOCK_TAKEN)
                    end_wait()
                    wait_time_stat(
                        lock.class_,
                        site,
                        holder_site,
                        clock_ns() - start,
                        parked,
                        descheduled,
                        0,
                    )
                    return 0
                continue
            stand_still_point()
            cpu_relax()
        word = atomic32_load(cython.address(lock.word))
        if word & ~cython.cast(u32, WAITERS) == 0:
            continue
        if owner_dead(word):
            if atomic32_cmpxchg(cython.address(lock.word), word, this_owner | WAITERS) == word:
                end_wait()
                wait_time_stat(
                    lock.class_, site, holder_site, clock_ns() - start, parked, descheduled, 0
                )
                take_over(lock, word)
                return 0
            continue
        if parks == 0:
            this_process.nr_stack = stack_sites(this_process.stack, 16)
        if parks & 15 == 1 and find_deadlock():
            end_wait()
            wait_time_stat(
                lock.class_, site, holder_site, clock_ns() - start, parked, descheduled, 0
            )
            return -1
        waiters = WAITERS
        park(
            cython.address(lock.word),
            word,
            cython.address(parked),
            cython.address(descheduled),
            1000000 if parks < 2 else 10000000,
        )
        parks += 1


def take_over(lock, word):
    """Repair what a lock protects after its owner died; the lock is this process's now."""
    recovery: u32 = lock_classes[lock.class_].recovery
    report_takeover(lock_classes[lock.class_].name, word)
    lock.acquired = 0
    if recovery_hooks[recovery] != cython.NULL:
        recovery_hooks[recovery](lock)


def class_of(lock: cython.ulonglong) -> int:
    """Return the class number of the lock at a native address; 0 when there is none."""
    at: cython.pointer[spinlock] = cython.cast(cython.pointer[spinlock], lock)
    if at == cython.NULL or at.magic != LOCK_MAGIC:
        return 0
    return at.class_


def add_unlocked(at: cython.ulonglong, n: cython.ulonglong) -> int:
    """Add to a word at a native address as two plain accesses: what a lock must make safe."""
    word: cython.pointer[u64] = cython.cast(cython.pointer[u64], at)
    old: u64 = atomic64_load(word)
    if n != 0:
        atomic64_store(word, old + n)
    return old
