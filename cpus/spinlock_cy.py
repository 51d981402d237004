"""Spinlocks and rwlocks with their statistics; the takeover of a dead owner's lock.

1. Fast path: one compare-and-exchange of the lock word from 0 to this process's owner word; the
   counters of the lock's class and this CPU, which only this CPU writes.
2. Contended: spin for a bounded time, passing the preemption point at each turn.
3. Then park on the word with a time-out: sixteen CPUs on two host processors must not burn them.
   Before parking, look for a dead owner (take its lock over, repair what it protects) and for a
   cycle of waiters (deadlock).

To its user it is a spinlock all the time: no task switch happens under it, and waiting for it and
holding it are atomic context (preempt_count).

The word is the truth of who owns the lock; the process's list of held locks is for reports and for
the end of a context that forgets one. Statistics are not shared between CPUs, so they cost no
bouncing line; every sixteenth section is timed, all with `set_exact`.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import (
    atomic32_cmpxchg,
    atomic32_fetch_add,
    atomic32_fetch_sub,
    atomic32_load,
    atomic32_store_release,
    atomic32_xchg,
    atomic64_cmpxchg,
    atomic64_fetch_add,
    atomic64_load,
    atomic64_store,
    atomic64_xchg,
    clock_ns,
    clock_ticks,
    cpu_relax,
    futex_wait,
    futex_wake,
    likely,
    unlikely,
)
from cython.cimports.cpus.callsite_cy import stack_sites
from cython.cimports.cpus.event_cy import EVENT_CONTENTION, log_text, trace_event
from cython.cimports.cpus.kill_cy import (
    KILL_LOCK_PARKED,
    KILL_LOCK_RELEASING,
    KILL_LOCK_TAKEN,
    kill_point,
)
from cython.cimports.cpus.percpu_cy import (
    HELD_LOCKS,
    NR_SLOTS,
    PENDING_HANDLERS,
    SLOT_LIVE,
    irq_restore,
    leave,
    owner_dead,
    owner_slot,
    pending_ignored,
    process_slot,
    process_slots,
    stand_still_point,
    this_cpu,
    this_owner,
    this_process,
)
from cython.cimports.cpus.segment_cy import ticks_to_ns
from cython.cimports.libc.string import memset, strcmp, strncpy


def regions(config: object = None) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    nr_cpus = getattr(config, "cpus", 1)
    return {
        "lock_classes": NR_CLASSES * cython.sizeof(lock_class),
        "lock_stats": nr_cpus * NR_CLASSES * cython.sizeof(lock_stat),
        "contention_points": NR_POINTS * cython.sizeof(contention_point),
        "lock_globals": 4096,
    }


def attach(config: object = None) -> None:
    """Find this module's regions in the attached segment."""
    global lock_classes, lock_stats, contention_points, exact_hold_times, deadlock_claim
    lock_classes = cython.cast(
        cython.pointer[lock_class], segment_cy.region_at(b"lock_classes")
    )
    lock_stats = cython.cast(cython.pointer[lock_stat], segment_cy.region_at(b"lock_stats"))
    contention_points = cython.cast(
        cython.pointer[contention_point], segment_cy.region_at(b"contention_points")
    )
    exact_hold_times = cython.cast(cython.pointer[u64], segment_cy.region_at(b"lock_globals"))
    deadlock_claim = exact_hold_times + 1
    lock_class_named(b"(all others)", CLASS_SPIN, RECOVER_NOTHING)


def set_exact(on: bool) -> None:
    """Take the hold time of every section instead of every sixteenth; costs two clock reads."""
    exact_hold_times[0] = 1 if on else 0


def hold_times_exact() -> bool:
    """Return whether every hold time is taken."""
    return exact_hold_times[0] == 1


def set_stats(on: bool) -> None:
    """Count acquisitions and time sections of spinlocks, or leave it, to see what that costs.

    Waits are counted in any case.
    """
    exact_hold_times[0] = 0 if on else STATS_OFF


def lock_class_named(name, kind, recovery):
    i: cython.int
    c: cython.pointer[lock_class]
    for i in range(NR_CLASSES):
        c = cython.address(lock_classes[i])
        if atomic32_cmpxchg(cython.address(c.ready), 0, 2) == 0:
            strncpy(c.name, name, 47)
            c.kind = kind
            c.recovery = recovery
            atomic32_store_release(cython.address(c.ready), 1)
            return i
        while atomic32_load(cython.address(c.ready)) == 2:
            cpu_relax()
        if strcmp(c.name, name) == 0:
            return i
    return 0


def class_named(name: str, kind: int = CLASS_SPIN, recovery: int = RECOVER_NOTHING) -> int:
    """Return the lock class of a name, made when it is new; names are cut to 47 bytes."""
    encoded: bytes = name.encode()[:47]
    return lock_class_named(encoded, kind, recovery)


def class_names() -> list:
    """Return (name, kind) of every lock class, by its number."""
    names: list = []
    i: cython.int
    for i in range(NR_CLASSES):
        if lock_classes[i].ready != 1:
            break
        names.append((lock_classes[i].name.decode("utf-8", "replace"), lock_classes[i].kind))
    return names


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
    mode: u64 = exact_hold_times[0]
    lock.site = site
    if unlikely(mode == STATS_OFF):
        lock.acquired = 0
        note_held(cython.cast(u64, lock), site, 0)
        return
    stat: cython.pointer[lock_stat] = cython.address(
        lock_stats[this_cpu.number * NR_CLASSES + lock.class_]
    )
    stat.acquisitions += 1
    if lock.last_cpu != this_cpu.number + 1:
        stat.acq_bounces += lock.last_cpu != 0
        lock.last_cpu = cython.cast(u32, this_cpu.number) + 1
    lock.acquired = clock_ticks() if stat.acquisitions & 15 == 0 or mode != 0 else 0
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


def log2_bucket(ns):
    """Return the bucket of a log2 histogram: 0 for less than 2 ns."""
    bucket: cython.int = 0
    while ns > 1 and bucket < HIST - 1:
        ns >>= 1
        bucket += 1
    return bucket


def hold_time_stat(class_, ns):
    """Add one hold time to the statistics of a class on this CPU."""
    stat: cython.pointer[lock_stat] = cython.address(
        lock_stats[this_cpu.number * NR_CLASSES + class_]
    )
    if stat.nr_timed == 0 or ns < stat.hold_min_ns:
        stat.hold_min_ns = ns
    if ns > stat.hold_max_ns:
        stat.hold_max_ns = ns
    stat.nr_timed += 1
    stat.hold_total_ns += ns
    stat.hold_hist[log2_bucket(ns)] += 1


def wait_time_stat(class_, site, holder_site, ns, parked, descheduled, flags):
    """Add one wait to the statistics of a class on this CPU and to its contention point."""
    stat: cython.pointer[lock_stat] = cython.address(
        lock_stats[this_cpu.number * NR_CLASSES + class_]
    )
    if descheduled > ns:
        descheduled = ns
    if stat.contentions == 0 or ns < stat.wait_min_ns:
        stat.wait_min_ns = ns
    if ns > stat.wait_max_ns:
        stat.wait_max_ns = ns
    stat.contentions += 1
    stat.wait_total_ns += ns
    stat.parked_ns += parked
    stat.descheduled_ns += descheduled
    stat.wait_hist[log2_bucket(ns)] += 1
    if flags & 1:
        stat.read_contentions += 1
        stat.read_wait_total_ns += ns
    point: cython.pointer[contention_point] = find_point(class_, site, holder_site)
    if point != cython.NULL:
        atomic64_fetch_add(cython.address(point.nr), 1)
        atomic64_fetch_add(cython.address(point.wait_ns), ns)
        atomic64_fetch_add(cython.address(point.parked_ns), parked)
        atomic64_fetch_add(cython.address(point.descheduled_ns), descheduled)
        if ns > point.max_ns:
            point.max_ns = ns
    trace_event(
        EVENT_CONTENTION, ns, parked, (cython.cast(u64, holder_site) << 32) | class_, site
    )


def find_point(class_, site, holder_site):
    """Return the counters of a (class, waiter, holder) triple; NULL when the table is full."""
    key: u64 = (
        (cython.cast(u64, class_) << 48) | (cython.cast(u64, site) << 24) | holder_site
    ) + 1
    n: u64 = ((key * cython.cast(u64, 0x9E3779B97F4A7C15)) >> 40) & (NR_POINTS - 1)
    tries: cython.int
    held: u64
    point: cython.pointer[contention_point]
    for tries in range(64):
        point = cython.address(contention_points[n])
        held = atomic64_load(cython.address(point.key))
        if held == 0:
            held = atomic64_cmpxchg(cython.address(point.key), 0, key)
            if held == 0:
                point.class_ = class_
                point.waiter_site = site
                point.holder_site = holder_site
                return point
        if held == key:
            return point
        n = (n + 1) & (NR_POINTS - 1)
    return cython.NULL


def lock_acquired_stat(class_, last_cpu):
    stat: cython.pointer[lock_stat] = cython.address(
        lock_stats[this_cpu.number * NR_CLASSES + class_]
    )
    stat.acquisitions += 1
    if last_cpu[0] != this_cpu.number + 1:
        stat.acq_bounces += last_cpu[0] != 0
        last_cpu[0] = cython.cast(u32, this_cpu.number) + 1


def lock_waited_stat(class_, site, holder_site, ns):
    wait_time_stat(class_, site, holder_site, ns, 0, 0, 0)


def lock_held_stat(class_, ns):
    hold_time_stat(class_, ns)


def begin_wait(lock, site, flags):
    """Show that this process waits: deadlock search, reports and the monitor read it."""
    this_process.waiting_site = site
    this_process.waiting_flags = flags
    this_process.nr_stack = 0
    this_process.wait_seq += 1
    atomic64_store(cython.address(this_process.waiting_lock), lock)


def end_wait():
    """The wait is over."""
    atomic64_store(cython.address(this_process.parked), 0)
    atomic64_store(cython.address(this_process.waiting_lock), 0)


def spin_lock_slowpath(lock, site):
    start: u64 = clock_ns()
    word: u32 = atomic32_load(cython.address(lock.word))
    holder_site: u32 = lock.site
    waiters: u32 = 0
    parked: u64 = 0
    descheduled: u64 = 0
    parks: cython.int = 0
    i: cython.int
    if word & ~cython.cast(u32, WAITERS) == this_owner:
        return -1
    if lock.last_cpu != this_cpu.number + 1:
        lock_stats[this_cpu.number * NR_CLASSES + lock.class_].con_bounces += 1
    begin_wait(cython.cast(u64, lock), site, 0)
    while True:
        for i in range(200):
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


def park(word_at, word, parked, descheduled, timeout_ns):
    """Sleep until the lock word changes or the time-out; adds to the two times, in ns.

    A safe point when interrupts are on: `inside` is 0 meanwhile. A wake-up that finds this CPU
    taken by a handler is handed on, so that it is not lost while this process stands still.
    """
    holder: cython.pointer[process_slot] = owner_slot(word)
    delay: u64
    start: u64
    result: cython.int
    if word & WAITERS == 0:
        if atomic32_cmpxchg(word_at, word, word | WAITERS) != word:
            return
    delay = run_delay(holder)
    kill_point(KILL_LOCK_PARKED)
    atomic64_store(cython.address(this_process.parked), cython.cast(u64, word_at))
    start = clock_ns()
    if this_cpu.irqs_off == 0:
        leave()
        result = futex_wait(word_at, word | WAITERS, timeout_ns)
        check_signals()
        atomic64_xchg(cython.address(this_process.inside), 1)
        if (
            result == 0
            and (atomic64_load(cython.address(this_cpu.pending)) ^ pending_ignored)
            & PENDING_HANDLERS
        ):
            futex_wake(word_at, 1)
    else:
        futex_wait(word_at, word | WAITERS, timeout_ns)
    parked[0] += clock_ns() - start
    descheduled[0] += run_delay(holder) - delay
    stand_still_point()


def check_signals():
    """Let Python's signal handlers run: outside of any call. An exception of theirs is dropped."""
    if PyErr_CheckSignals() < 0:
        PyErr_Clear()


def run_delay(slot):
    """Return how long (ns) the process of `slot` was runnable without a host processor.

    From /proc/<pid>/schedstat; the descriptor is kept per slot and generation.
    """
    if slot == cython.NULL or slot.pid == 0:
        return 0
    n: cython.int = cython.cast(cython.int, slot - process_slots)
    if schedstat_of[n] != slot.generation + 1:
        if schedstat_of[n] != 0 and schedstat_fds[n] >= 0:
            close(schedstat_fds[n])
        schedstat_fds[n] = open_schedstat(slot.pid)
        schedstat_of[n] = slot.generation + 1
    if schedstat_fds[n] < 0:
        return 0
    return read_run_delay(schedstat_fds[n])


def take_over(lock, word):
    """Repair what a lock protects after its owner died with it; the lock is this process's now."""
    recovery: u32 = lock_classes[lock.class_].recovery
    report_takeover(lock_classes[lock.class_].name, word)
    lock.acquired = 0
    if recovery_hooks[recovery] != cython.NULL:
        recovery_hooks[recovery](lock)


def report_takeover(name, word):
    """Log that a dead process's lock was taken over."""
    text: cython.char[160]
    slot: u32 = word & 0xFF
    length: cython.int = format_takeover(text, 160, name, process_slots[slot - 1].name)
    log_text(text, length, 4)


def find_deadlock():
    """Whether this process's wait closes a cycle of waiters that cannot move.

    Waiters search one at a time, so of several in one cycle the first to look is told, withdraws,
    and the others then find no cycle. The walk is made twice: each waiter in it has waited all the
    time in between (`wait_seq`), so no owner in it can have let go.
    """
    found: cython.bint = False
    first: u64
    if atomic64_cmpxchg(deadlock_claim, 0, this_owner) != 0:
        if owner_dead(cython.cast(u32, atomic64_load(deadlock_claim))):
            atomic64_store(deadlock_claim, 0)
        return False
    first = walk_cycle()
    if first != 0:
        found = walk_cycle() == first
    atomic64_store(deadlock_claim, 0)
    return found


def walk_cycle():
    """Follow who waits for whom from this process; a hash of the walk if it comes back, else 0."""
    hash_: u64 = 0
    at: cython.pointer[process_slot] = this_process
    steps: cython.int
    for steps in range(NR_SLOTS):
        at = blocked_by(at)
        if at == cython.NULL:
            return 0
        hash_ = (hash_ * 31 + cython.cast(u64, at - process_slots)) * 31 + at.wait_seq + 1
        if at == this_process:
            return hash_
    return 0


def blocked_by(slot):
    """Return the process that `slot` cannot go on without, or NULL when it can."""
    lock: u64 = atomic64_load(cython.address(slot.waiting_lock))
    word: u32
    i: cython.int
    if lock != 0:
        word = atomic32_load(cython.cast(cython.pointer[u32], lock)) & ~cython.cast(
            u32, WAITERS
        )
        if word != 0:
            return owner_slot(word)
        if slot.waiting_flags & 2:
            return reader_of(lock, slot)
        return cython.NULL
    for i in range(NR_SLOTS):
        if (
            process_slots[i].state == SLOT_LIVE
            and process_slots[i].interrupted == cython.cast(u64, slot - process_slots) + 1
        ):
            return cython.address(process_slots[i])
    return cython.NULL


def reader_of(lock, besides):
    """Return a live process that holds the read side of `lock`, or NULL."""
    i: cython.int
    k: u32
    s: cython.pointer[process_slot]
    for i in range(NR_SLOTS):
        s = cython.address(process_slots[i])
        if s.state == SLOT_LIVE and s != besides:
            for k in range(s.nr_held if s.nr_held < HELD_LOCKS else HELD_LOCKS):
                if s.held[k].lock == lock:
                    return s
    return cython.NULL


# rwlocks


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
        clock_ticks() if stat.acquisitions & 15 == 0 or exact_hold_times[0] == 1 else 0
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


# what the reports read: without a lock, while the CPUs go on counting

FIELDS = (
    "acquisitions", "acq_bounces", "con_bounces", "contentions", "wait_min_ns", "wait_max_ns",
    "wait_total_ns", "parked_ns", "descheduled_ns", "nr_timed", "hold_min_ns", "hold_max_ns",
    "hold_total_ns", "read_acquisitions", "read_contentions", "read_wait_total_ns",
)  # fmt: skip


def class_stats(cpu: int, number: int) -> dict:
    """Return the counters of a lock class on one CPU, by the names of lock_stat's fields."""
    stat: cython.pointer[lock_stat] = cython.address(lock_stats[cpu * NR_CLASSES + number])
    words: cython.pointer[u64] = cython.cast(cython.pointer[u64], stat)
    i: cython.int
    result = {FIELDS[i]: words[i] for i in range(16)}
    result["wait_hist"] = [stat.wait_hist[i] for i in range(HIST)]
    result["hold_hist"] = [stat.hold_hist[i] for i in range(HIST)]
    return result


def points() -> list:
    """Return (class, waiter site, holder site, nr, wait, parked, descheduled, max ns) tuples."""
    i: cython.int
    p: cython.pointer[contention_point]
    result: list = []
    for i in range(NR_POINTS):
        p = cython.address(contention_points[i])
        if p.nr != 0:
            result.append(
                (
                    p.class_, p.waiter_site, p.holder_site, p.nr, p.wait_ns, p.parked_ns,
                    p.descheduled_ns, p.max_ns,
                )
            )  # fmt: skip
    return result


def clear_stats() -> None:
    """Zero every counter; what is counted meanwhile may survive, as in Linux."""
    n: u64 = segment_cy.header.nr_cpus
    memset(lock_stats, 0, n * NR_CLASSES * cython.sizeof(lock_stat))
    memset(contention_points, 0, NR_POINTS * cython.sizeof(contention_point))


def class_of(lock: cython.ulonglong) -> int:
    """Return the class number of the lock at a native address; 0 when there is none."""
    at: cython.pointer[spinlock] = cython.cast(cython.pointer[spinlock], lock)
    if at == cython.NULL or at.magic != LOCK_MAGIC:
        return 0
    return at.class_


def wake_parked() -> None:
    """Wake every parked waiter, so that it looks whether its owner died; the monitor only."""
    i: cython.int
    word: u64
    for i in range(NR_SLOTS):
        word = atomic64_load(cython.address(process_slots[i].parked))
        if process_slots[i].state == SLOT_LIVE and word != 0:
            futex_wake(cython.cast(cython.pointer[u32], word), 64)


def add_unlocked(at: cython.ulonglong, n: cython.ulonglong) -> int:
    """Add to a word at a native address as two plain accesses: what a lock must make safe."""
    word: cython.pointer[u64] = cython.cast(cython.pointer[u64], at)
    old: u64 = atomic64_load(word)
    if n != 0:
        atomic64_store(word, old + n)
    return old
