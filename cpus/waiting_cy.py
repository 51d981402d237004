"""A process that waits for a lock: what it shows of itself, how it sleeps on the word."""

import cython
from cython.cimports.cpus.atomic import (
    atomic32_cmpxchg,
    atomic64_load,
    atomic64_store,
    atomic64_xchg,
    clock_ns,
    futex_wait,
    futex_wake,
)
from cython.cimports.cpus.event_cy import log_text
from cython.cimports.cpus.kill_cy import KILL_LOCK_PARKED, kill_point
from cython.cimports.cpus.percpu_cy import (
    NR_SLOTS,
    PENDING_HANDLERS,
    SLOT_LIVE,
    leave,
    owner_slot,
    pending_ignored,
    process_slot,
    process_slots,
    stand_still_point,
    this_cpu,
    this_process,
)


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
    """Let Python's signal handlers run: outside of any call. Their exceptions are dropped."""
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


def report_takeover(name, word):
    """Log that a dead process's lock was taken over."""
    text: cython.char[160]
    slot: u32 = word & 0xFF
    length: cython.int = format_takeover(text, 160, name, process_slots[slot - 1].name)
    log_text(text, length, 4)


def wake_parked() -> None:
    """Wake every parked waiter, so that it looks whether its owner died; the monitor only."""
    i: cython.int
    word: u64
    for i in range(NR_SLOTS):
        word = atomic64_load(cython.address(process_slots[i].parked))
        if process_slots[i].state == SLOT_LIVE and word != 0:
            futex_wake(cython.cast(cython.pointer[u32], word), 64)
