"""Rwlocks: many readers or one writer; readers go first, as in Linux 2.4.

Who reads is said by the lists of held locks of the live processes: a reader notes the lock
there, counts itself in `nr_readers`, then looks at the word; a writer takes the word, then
looks at `nr_readers`. The count is changed inside the time in which the list names the lock,
so it is never too small, and 0 means that nobody reads. A reader that was killed leaves it too
large: then the writer looks at the lists, and what dead processes had noted does not count.

A writer that finds readers gives the word back before it waits: a handler or a recursive
reader must come in.
"""

import cython
from cython.cimports.cpus.atomic import (
    atomic32_cmpxchg,
    atomic32_fetch_add,
    atomic32_fetch_sub,
    atomic32_load,
    atomic32_xchg,
    clock_ns,
    clock_ticks,
    cpu_relax,
    futex_wake,
    likely,
    unlikely,
)
from cython.cimports.cpus.deadlock_cy import closes_cycle, note_own_cycle, reads
from cython.cimports.cpus.kill_cy import (
    KILL_READ_LEAVING,
    KILL_READ_NOTED,
    KILL_WRITE_TAKEN,
    kill_point,
)
from cython.cimports.cpus.lockstat_cy import (
    SIDE_READ,
    SIDE_WRITE,
    STAT_EXACT,
    STAT_OFF,
    hold_time_stat,
    is_sampled,
    lock_side,
    side_of,
    stat_level,
    wait_time_stat,
)
from cython.cimports.cpus.percpu_cy import (
    HELD_LOCKS,
    NR_SLOTS,
    SLOT_LIVE,
    owner_dead,
    process_slot,
    process_slots,
    this_cpu,
    this_owner,
    this_process,
)
from cython.cimports.cpus.spinlock_cy import LOCK_MAGIC, forget_held, note_held
from cython.cimports.cpus.waiting_cy import (
    SPIN_TURNS,
    WAIT_READ,
    WAIT_WRITE,
    WAITERS,
    begin_wait,
    end_wait,
    lock_wait,
    park,
    park_on_word,
    report_takeover,
    time_to_search,
    wait_point,
)
from cython.cimports.libc.string import memset


def rwlock_init(lock, class_):
    memset(lock, 0, cython.sizeof(rwlock))
    lock.class_ = class_
    lock.magic = LOCK_MAGIC


def read_acquire(lock, site):
    taken: u64 = 0
    if unlikely(this_process.nr_held >= HELD_LOCKS):
        return -3
    this_cpu.preempt_count += 1
    if unlikely(not enter_readers(lock, site)):
        if read_slowpath(lock, site) < 0:
            this_cpu.preempt_count -= 1
            return -1
    lock.last_reader_site = site
    count_side(lock, SIDE_READ, cython.address(taken))
    this_process.held[this_process.nr_held - 1].taken = taken
    return 0


def enter_readers(lock, site):
    """Note and count this process as a reader; false when a writer has the word."""
    note_held(this_process, cython.cast(u64, lock), site, WAIT_READ, 0)
    kill_point(KILL_READ_NOTED)
    atomic32_fetch_add(cython.address(lock.nr_readers), 1)  # pairs with take_word
    return atomic32_load(cython.address(lock.word)) == 0


def leave_readers(lock):
    """Undo enter_readers, and wake a writer that waits for it."""
    kill_point(KILL_READ_LEAVING)
    atomic32_fetch_sub(cython.address(lock.nr_readers), 1)  # pairs with wait_for_readers
    if unlikely(atomic32_load(cython.address(lock.awaited)) != 0):
        atomic32_xchg(cython.address(lock.awaited), 0)
        futex_wake(cython.address(lock.awaited), 64)


def read_release(lock):
    taken: u64 = forget_held(this_process, cython.cast(u64, lock))
    if unlikely(taken != 0):
        hold_time_stat(lock.class_, SIDE_READ, taken)
    leave_readers(lock)
    this_cpu.preempt_count -= 1


def count_side(lock, side, acquired):
    """Count an acquisition; `*acquired` becomes the clock when the section is timed."""
    level: u64 = stat_level[0]
    stat: cython.pointer[lock_side] = side_of(lock.class_, side)
    acquired[0] = 0
    if level == STAT_OFF:
        return
    stat.acquisitions += 1
    if lock.last_cpu != this_cpu.number + 1:
        stat.acq_bounces += lock.last_cpu != 0
        lock.last_cpu = cython.cast(u32, this_cpu.number) + 1
    if is_sampled(stat.acquisitions) or level == STAT_EXACT:
        acquired[0] = clock_ticks()


def write_acquire(lock, site):
    this_cpu.preempt_count += 1
    if unlikely(not take_word(lock)):
        if write_slowpath(lock, site) < 0:
            this_cpu.preempt_count -= 1
            return -1
    write_acquired(lock, site)
    return 0


def write_trylock(lock, site):
    if not take_word(lock):
        return False
    this_cpu.preempt_count += 1
    write_acquired(lock, site)
    return True


def write_acquired(lock, site):
    """Count the acquisition; called by the new owner."""
    lock.site = site
    count_side(lock, SIDE_WRITE, cython.address(lock.acquired))
    note_held(this_process, cython.cast(u64, lock), site, WAIT_WRITE, lock.acquired)


def write_release(lock):
    if unlikely(lock.acquired != 0):
        hold_time_stat(lock.class_, SIDE_WRITE, lock.acquired)
    forget_held(this_process, cython.cast(u64, lock))
    give_word_back(lock)
    this_cpu.preempt_count -= 1


def take_word(lock):
    """Take the write side if nobody has either side."""
    word: u32 = atomic32_load(cython.address(lock.word))
    if word & ~cython.cast(u32, WAITERS) != 0 and not owner_dead(word):
        return False
    if (
        atomic32_cmpxchg(cython.address(lock.word), word, this_owner | (word & WAITERS))
        != word
    ):
        return False
    if unlikely(word & ~cython.cast(u32, WAITERS) != 0):
        report_takeover(lock.class_, word)
    kill_point(KILL_WRITE_TAKEN)
    if likely(
        atomic32_load(cython.address(lock.nr_readers)) == 0
        or reader_inside(lock) == cython.NULL
    ):
        return True
    give_word_back(lock)
    return False


def give_word_back(lock):
    """Free the word and wake all who are parked on it: readers may go on together."""
    if unlikely(atomic32_xchg(cython.address(lock.word), 0) & WAITERS):
        futex_wake(cython.address(lock.word), 64)


def reader_inside(lock):
    """Return a live process that reads, or is about to see that it may not; else NULL."""
    i: cython.int
    s: cython.pointer[process_slot]
    for i in range(NR_SLOTS):
        s = cython.address(process_slots[i])
        if atomic32_load(cython.address(s.state)) == SLOT_LIVE and reads(
            s, cython.cast(u64, lock)
        ):
            return s
    return cython.NULL


def read_slowpath(lock, site):
    """Wait until no writer has the lock. Returns 0 as a reader, or -1 without."""
    w: lock_wait
    writer_site: u32 = lock.site
    forget_held(this_process, cython.cast(u64, lock))
    leave_readers(lock)
    if atomic32_load(cython.address(lock.word)) & ~cython.cast(u32, WAITERS) == this_owner:
        note_own_cycle(cython.cast(u64, lock))
        return -1
    if lock.last_cpu != this_cpu.number + 1:
        side_of(lock.class_, SIDE_READ).con_bounces += 1
    begin_wait(cython.address(w), cython.cast(u64, lock), site, writer_site, WAIT_READ)
    while True:
        if wait_for_word(lock, cython.address(w)) < 0:
            return -1
        if enter_readers(lock, site):
            break
        forget_held(this_process, cython.cast(u64, lock))
        leave_readers(lock)
    end_wait()
    wait_time_stat(
        lock.class_, site, w.holder_site, clock_ns() - w.start, w.parked, w.descheduled, 1
    )
    return 0


def write_slowpath(lock, site):
    """Wait until nobody has the lock. Returns 0 with the word taken, or -1 without."""
    w: lock_wait
    holder_site: u32 = lock.site if lock.word != 0 else lock.last_reader_site
    if atomic32_load(cython.address(lock.word)) & ~cython.cast(
        u32, WAITERS
    ) == this_owner or reads(this_process, cython.cast(u64, lock)):
        note_own_cycle(cython.cast(u64, lock))
        return -1
    if lock.last_cpu != this_cpu.number + 1:
        side_of(lock.class_, SIDE_WRITE).con_bounces += 1
    begin_wait(cython.address(w), cython.cast(u64, lock), site, holder_site, WAIT_WRITE)
    while not take_word(lock):
        if (
            wait_for_word(lock, cython.address(w)) < 0
            or wait_for_readers(lock, cython.address(w)) < 0
        ):
            return -1
    end_wait()
    wait_time_stat(
        lock.class_, site, w.holder_site, clock_ns() - w.start, w.parked, w.descheduled, 0
    )
    return 0


def wait_for_word(lock, w):
    """Wait until no live writer has the word. Returns 0, or -1 when that closes a cycle."""
    word: u32
    turns: cython.int = 0
    while True:
        word = atomic32_load(cython.address(lock.word))
        if word & ~cython.cast(u32, WAITERS) == 0:
            return 0
        wait_point(w, cython.address(lock.word))
        cpu_relax()
        turns += 1
        if turns % SPIN_TURNS != 0:
            continue
        if owner_dead(word):
            if atomic32_cmpxchg(cython.address(lock.word), word, 0) == word:
                report_takeover(lock.class_, word)
                futex_wake(cython.address(lock.word), 64)
            continue
        if time_to_search(w) and closes_cycle(w):
            return -1
        park_on_word(w, cython.address(lock.word), word)


def wait_for_readers(lock, w):
    """Wait until a reader has left. Returns 0, or -1 when that closes a cycle."""
    turns: cython.int
    reader: cython.pointer[process_slot]
    for turns in range(SPIN_TURNS):
        if turns & 15 == 0 and reader_inside(lock) == cython.NULL:
            return 0
        wait_point(w, cython.address(lock.awaited))
        cpu_relax()
    if time_to_search(w) and closes_cycle(w):
        return -1
    atomic32_xchg(cython.address(lock.awaited), 1)
    reader = reader_inside(lock)
    if reader != cython.NULL:
        park(w, cython.address(lock.awaited), 1, reader, 1000000)
    return 0
