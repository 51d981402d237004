"""Rwlocks: many readers or one writer; readers go first, as in Linux 2.4."""

import cython
from cython.cimports.cpus.atomic import (
    atomic32_cmpxchg,
    atomic32_fetch_add,
    atomic32_fetch_sub,
    atomic32_load,
    atomic32_xchg,
    atomic64_xchg,
    clock_ns,
    clock_ticks,
    cpu_relax,
    futex_wait,
    futex_wake,
    unlikely,
)
from cython.cimports.cpus.callsite_cy import stack_sites
from cython.cimports.cpus.deadlock_cy import find_deadlock
from cython.cimports.cpus.lockstat_cy import (
    NR_CLASSES,
    STAT_EXACT,
    hold_time_stat,
    lock_stat,
    lock_stats,
    stat_level,
    wait_time_stat,
)
from cython.cimports.cpus.percpu_cy import (
    HELD_LOCKS,
    NR_SLOTS,
    SLOT_LIVE,
    leave,
    owner_dead,
    process_slot,
    process_slots,
    stand_still_point,
    this_cpu,
    this_owner,
    this_process,
)
from cython.cimports.cpus.segment_cy import ticks_to_ns
from cython.cimports.cpus.spinlock_cy import LOCK_MAGIC, forget_held, note_held
from cython.cimports.cpus.waiting_cy import WAITERS, begin_wait, check_signals, end_wait, park
from cython.cimports.libc.string import memset


def rwlock_init(lock, class_):
    memset(lock, 0, cython.sizeof(rwlock))
    lock.class_ = class_
    lock.magic = LOCK_MAGIC


def read_acquire(lock, site):
    this_cpu.preempt_count += 1
    note_held(cython.cast(u64, lock), site, 1)
    atomic32_fetch_add(cython.address(lock.nr_readers), 1)  # pairs with the writer's exchange
    if unlikely(atomic32_load(cython.address(lock.word)) != 0):
        if rw_slowpath(lock, site, 1) < 0:
            forget_held(cython.cast(u64, lock))
            this_cpu.preempt_count -= 1
            return -1
    lock.last_reader_site = site
    stat: cython.pointer[lock_stat] = cython.address(
        lock_stats[this_cpu.number * NR_CLASSES + lock.class_]
    )
    stat.acquisitions += 1
    stat.read_acquisitions += 1
    return 0


def read_release(lock):
    forget_held(cython.cast(u64, lock))
    if atomic32_fetch_sub(cython.address(lock.nr_readers), 1) == 1:
        futex_wake(cython.address(lock.nr_readers), 64)
    this_cpu.preempt_count -= 1


def write_acquire(lock, site):
    this_cpu.preempt_count += 1
    if (
        atomic32_cmpxchg(cython.address(lock.word), 0, this_owner) != 0
        or atomic32_load(cython.address(lock.nr_readers)) != 0
    ):
        if rw_slowpath(lock, site, 2) < 0:
            this_cpu.preempt_count -= 1
            return -1
    stat: cython.pointer[lock_stat] = cython.address(
        lock_stats[this_cpu.number * NR_CLASSES + lock.class_]
    )
    stat.acquisitions += 1
    if lock.last_cpu != this_cpu.number + 1:
        stat.acq_bounces += lock.last_cpu != 0
        lock.last_cpu = cython.cast(u32, this_cpu.number) + 1
    lock.site = site
    lock.acquired = (
        clock_ticks() if stat.acquisitions & 15 == 0 or stat_level[0] == STAT_EXACT else 0
    )
    note_held(cython.cast(u64, lock), site, 2)
    return 0


def write_release(lock):
    if lock.acquired != 0:
        hold_time_stat(lock.class_, ticks_to_ns(clock_ticks() - lock.acquired))
    forget_held(cython.cast(u64, lock))
    if atomic32_xchg(cython.address(lock.word), 0) & WAITERS:
        futex_wake(cython.address(lock.word), 64)
    this_cpu.preempt_count -= 1


def try_write(lock):
    """Take the write side if nobody has either side; readers go first, as in Linux 2.4."""
    word: u32 = atomic32_load(cython.address(lock.word))
    mine: cython.bint = word & ~cython.cast(u32, WAITERS) == this_owner
    if not mine:
        if word & ~cython.cast(u32, WAITERS) != 0 and not owner_dead(word):
            return False
        if (
            atomic32_cmpxchg(cython.address(lock.word), word, this_owner | (word & WAITERS))
            != word
        ):
            return False
    if atomic32_load(cython.address(lock.nr_readers)) == 0:
        return True
    if atomic32_xchg(cython.address(lock.word), 0) & WAITERS:
        futex_wake(cython.address(lock.word), 64)
    return False


def rw_slowpath(lock, site, flags):
    """Wait for one side: `flags` 1 read (counted and on the held list already), 2 write."""
    start: u64 = clock_ns()
    holder_site: u32 = lock.site if lock.word != 0 else lock.last_reader_site
    parked: u64 = 0
    descheduled: u64 = 0
    word: u32
    readers: u32
    turns: cython.int = 0
    if flags == 1:
        read_back_out(lock)
    if atomic32_load(cython.address(lock.word)) & ~cython.cast(u32, WAITERS) == this_owner:
        if flags == 1 or reader_of_own(lock):
            return -1
    begin_wait(cython.cast(u64, lock), site, flags)
    while True:
        if flags == 2 and try_write(lock):
            break
        word = atomic32_load(cython.address(lock.word))
        if flags == 1 and (word & ~cython.cast(u32, WAITERS) == 0 or owner_dead(word)):
            if word & ~cython.cast(u32, WAITERS) != 0:
                atomic32_cmpxchg(cython.address(lock.word), word, 0)
            atomic32_fetch_add(cython.address(lock.nr_readers), 1)
            if atomic32_load(cython.address(lock.word)) == 0:
                break
            read_back_out(lock)
        stand_still_point()
        cpu_relax()
        turns += 1
        if turns < 200:
            continue
        if turns == 200:
            this_process.nr_stack = stack_sites(this_process.stack, 16)
        if turns & 15 == 15 and find_deadlock():
            end_wait()
            return -1
        word = atomic32_load(cython.address(lock.word))
        readers = atomic32_load(cython.address(lock.nr_readers))
        if word & ~cython.cast(u32, WAITERS) != 0:
            park(
                cython.address(lock.word),
                word,
                cython.address(parked),
                cython.address(descheduled),
                1000000,
            )
        elif flags == 2 and readers != 0:
            park_for_readers(lock, readers, cython.address(parked))
    end_wait()
    wait_time_stat(
        lock.class_, site, holder_site, clock_ns() - start, parked, descheduled, flags
    )
    return 0


def read_back_out(lock):
    """Uncount a reader that met a writer."""
    if atomic32_fetch_sub(cython.address(lock.nr_readers), 1) == 1:
        futex_wake(cython.address(lock.nr_readers), 64)


def reader_of_own(lock):
    """Whether this process itself holds the read side (a writer would wait for ever)."""
    k: u32
    n: u32 = this_process.nr_held if this_process.nr_held < HELD_LOCKS else HELD_LOCKS
    for k in range(n):
        if this_process.held[k].lock == cython.cast(u64, lock):
            return True
    return False


def park_for_readers(lock, readers, parked):
    """Sleep until the readers change; then count anew those that died."""
    start: u64 = clock_ns()
    if this_cpu.irqs_off == 0:
        leave()
        futex_wait(cython.address(lock.nr_readers), readers, 1000000)
        check_signals()
        atomic64_xchg(cython.address(this_process.inside), 1)
    else:
        futex_wait(cython.address(lock.nr_readers), readers, 1000000)
    parked[0] += clock_ns() - start
    stand_still_point()
    if atomic32_load(cython.address(lock.nr_readers)) == readers:
        forget_dead_readers(lock, readers)


def forget_dead_readers(lock, readers):
    """Uncount readers whose process died: what live processes say they hold is the truth."""
    k: u32
    i: cython.int
    dead: u32 = 0
    s: cython.pointer[process_slot]
    for i in range(NR_SLOTS):
        s = cython.address(process_slots[i])
        if s.state != 0 and s.state != SLOT_LIVE:
            for k in range(s.nr_held if s.nr_held < HELD_LOCKS else HELD_LOCKS):
                if s.held[k].lock == cython.cast(u64, lock) and s.held[k].flags == 1:
                    s.held[k].lock = 0
                    dead += 1
    if dead != 0:
        atomic32_cmpxchg(
            cython.address(lock.nr_readers), readers, readers - dead if dead < readers else 0
        )
