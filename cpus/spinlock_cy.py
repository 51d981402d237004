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
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import (
    atomic32_cmpxchg,
    atomic32_load,
    atomic32_store_release,
    atomic32_xchg,
    atomic64_fetch_or,
    atomic64_load,
    atomic64_store,
    atomic64_store_release,
    clock_ns,
    cpu_relax,
    futex_wake,
)
from cython.cimports.cpus.deadlock_cy import closes_cycle, note_own_cycle
from cython.cimports.cpus.kill_cy import KILL_LOCK_RELEASING, KILL_LOCK_TAKEN, kill_point
from cython.cimports.cpus.lockstat_cy import (
    NR_CLASSES,
    SIDE_WRITE,
    lock_classes,
    side_of,
    wait_time_stat,
)
from cython.cimports.cpus.percpu_cy import (
    HELD_LOCKS,
    held_lock,
    owner_dead,
    this_cpu,
    this_owner,
    this_process,
)
from cython.cimports.cpus.waiting_cy import (
    SPIN_TURNS,
    WAIT_SPIN,
    WAITERS,
    begin_wait,
    end_wait,
    hand_on,
    lock_wait,
    park_on_word,
    report_takeover,
    time_to_search,
    wait_point,
)

from cpus import deadlock_cy, lockstat_cy, waiting_cy

wake_parked = waiting_cy.wake_parked
set_stats = lockstat_cy.set_stats
set_exact = lockstat_cy.set_exact


def regions(config: object = None) -> dict:
    """Return the regions of all modules of locks, name → bytes."""
    pairs = {"lock_pairs": NR_CLASSES * NR_CLASSES // 8}
    return {**lockstat_cy.regions(config), **deadlock_cy.regions(config), **pairs}


def attach(config: object = None) -> None:
    """Find the regions of all modules of locks in the attached segment."""
    global lock_pairs
    lockstat_cy.attach(config)
    deadlock_cy.attach(config)
    lock_pairs = cython.cast(cython.pointer[u64], segment_cy.region_at(b"lock_pairs"))


def register_recovery(recovery, hook):
    recovery_hooks[recovery] = hook


def spinlock_init(lock, class_):
    lock.site = 0
    lock.last_cpu = 0
    lock.acquired = 0
    lock.class_ = class_
    lock.magic = LOCK_MAGIC
    atomic32_store_release(cython.address(lock.word), 0)


def forget_deeper(lock):
    """Take a lock that is not the newest off the list.

    Those beyond HELD_LOCKS have no entry; one without a lock stands for any of them.
    """
    n: u32 = this_process.nr_held
    last: u32 = n if n < HELD_LOCKS else HELD_LOCKS
    i: u32 = last
    taken: u64 = 0
    entry: cython.pointer[held_lock]
    while i != 0 and this_process.held[i - 1].lock != lock:
        i -= 1
    if i == 0 and n <= HELD_LOCKS:
        i = last
        while i != 0 and this_process.held[i - 1].lock != 0:
            i -= 1
        if i == 0:
            return 0
    if i != 0:
        taken = this_process.held[i - 1].taken
        while i < last:
            entry = cython.address(this_process.held[i])
            this_process.held[i - 1].site = entry.site
            this_process.held[i - 1].flags = entry.flags
            this_process.held[i - 1].taken = entry.taken
            atomic64_store_release(cython.address(this_process.held[i - 1].lock), entry.lock)
            i += 1
        if n > HELD_LOCKS:
            this_process.held[HELD_LOCKS - 1].lock = 0
    atomic32_store_release(cython.address(this_process.nr_held), n - 1)
    return taken


def note_pairs(class_):
    """Record what is held while a lock of a class is wanted: the test of the lock order.

    Called with something held. Of a class each pair is written once.
    """
    n: u32 = this_process.nr_held
    held: u32
    word: cython.pointer[u64]
    bit: u64 = cython.cast(u64, 1) << (class_ & 63)
    if n > HELD_LOCKS:
        n = HELD_LOCKS
    while n != 0:
        n -= 1
        if this_process.held[n].lock == 0:
            continue
        # A rwlock has its class at the same place.
        held = cython.cast(cython.pointer[spinlock], this_process.held[n].lock).class_
        word = lock_pairs + (held & (NR_CLASSES - 1)) * (NR_CLASSES // 64) + (class_ >> 6)
        if word[0] & bit == 0:
            atomic64_fetch_or(word, bit)


def pairs() -> list:
    """Return (class held, class taken) of all nested acquisitions so far, as numbers."""
    held: cython.int
    taken: cython.int
    found: list = []
    for held in range(NR_CLASSES):
        for taken in range(NR_CLASSES):
            if lock_pairs[held * (NR_CLASSES // 64) + (taken >> 6)] >> (taken & 63) & 1:
                found.append((held, taken))
    return found


def raw_spin_lock(lock, site):
    spin_acquire(lock, site)


def raw_spin_trylock(lock, site):
    word: u32 = atomic32_cmpxchg(cython.address(lock.word), 0, this_owner)
    if word != 0:
        return owner_dead(word) and take_dead(lock, word, site)
    this_cpu.preempt_count += 1
    spin_acquired(lock, site, this_cpu, this_process)
    return True


def take_dead(lock, word, site):
    """Take a lock over from an owner that died, if nobody else does."""
    if atomic32_cmpxchg(cython.address(lock.word), word, this_owner | WAITERS) != word:
        return False
    this_cpu.preempt_count += 1
    take_over(lock, word)
    spin_acquired(lock, site, this_cpu, this_process)
    return True


def release_slowpath(lock):
    """Give the word back when it is not this process's alone, and wake one that is parked."""
    if lock.word & WAITERS:
        kill_point(KILL_LOCK_RELEASING)
    if atomic32_xchg(cython.address(lock.word), 0) & WAITERS:
        futex_wake(cython.address(lock.word), 1)


def spin_lock_slowpath(lock, site):
    """Wait for the lock. Returns 0 with the word taken, or -1 without."""
    w: lock_wait
    word: u32 = atomic32_load(cython.address(lock.word))
    if word & ~cython.cast(u32, WAITERS) == this_owner:
        note_own_cycle(cython.cast(u64, lock))
        return -1
    if lock.last_cpu != this_cpu.number + 1:
        side_of(lock.class_, SIDE_WRITE).con_bounces += 1
    begin_wait(cython.address(w), cython.cast(u64, lock), site, lock.site, WAIT_SPIN)
    while True:
        word = spin_for(lock, cython.address(w))
        if word == 0:
            kill_point(KILL_LOCK_TAKEN)
            end_wait()
            wait_counted(lock, cython.address(w))
            return 0
        if owner_dead(word):
            if atomic32_cmpxchg(cython.address(lock.word), word, this_owner | WAITERS) == word:
                end_wait()
                wait_counted(lock, cython.address(w))
                take_over(lock, word)
                return 0
            continue
        if time_to_search(cython.address(w)) and closes_cycle(cython.address(w)):
            if w.parks != 0:
                hand_on(cython.address(lock.word))
            return -1
        park_on_word(cython.address(w), cython.address(lock.word), word)


def spin_for(lock, w):
    """Try to take the lock for a while. Returns 0 when it is taken, else its word.

    Who has been parked takes it with WAITERS: others may be parked still.
    """
    word: u32
    waiters: u32 = WAITERS if w.parks != 0 else 0
    _turn: cython.int
    while True:
        for _turn in range(SPIN_TURNS):
            word = atomic32_load(cython.address(lock.word))
            if word & ~cython.cast(u32, WAITERS) == 0:
                if (
                    atomic32_cmpxchg(
                        cython.address(lock.word), word, this_owner | waiters | word
                    )
                    == word
                ):
                    return 0
                continue
            wait_point(w, cython.address(lock.word))
            cpu_relax()
        word = atomic32_load(cython.address(lock.word))
        if word & ~cython.cast(u32, WAITERS) != 0:
            return word


def wait_counted(lock, w):
    """Count a wait that has ended with the lock."""
    wait_time_stat(
        lock.class_,
        w.site,
        w.holder_site,
        clock_ns() - w.start,
        w.parked,
        w.descheduled,
        SIDE_WRITE,
    )


def take_over(lock, word):
    """Repair what a lock protects after its owner died; the lock is this process's now."""
    recovery: u32 = lock_classes[lock.class_].recovery
    report_takeover(lock.class_, word)
    lock.acquired = 0
    if recovery_hooks[recovery] != cython.NULL:
        # On the held list meanwhile: the locks that the repair takes are nested in this one.
        note_held(this_process, cython.cast(u64, lock), lock.site, WAIT_SPIN, 0)
        recovery_hooks[recovery](lock)
        forget_held(this_process, cython.cast(u64, lock))


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
