"""A process that waits for a lock: what it shows of itself, how it sleeps on the word.

Whoever waits stands in its process slot: the lock, the place, the Python stack. Deadlock
search, reports and the monitor read it there. A wait is a safe point when interrupts are on.

A wake-up goes to one waiter. If that one cannot look at the word at once, since a handler
takes its CPU or since it gives the wait up, it hands the wake-up on; if it is killed, the
monitor wakes every parked process.
"""

import cython
from cython.cimports.cpus.atomic import (
    atomic32_cmpxchg,
    atomic32_load,
    atomic64_load,
    atomic64_store,
    atomic64_xchg,
    clock_ns,
    futex_wait,
    futex_wake,
    likely,
)
from cython.cimports.cpus.callsite_cy import stack_sites
from cython.cimports.cpus.event_cy import log_text
from cython.cimports.cpus.kill_cy import KILL_LOCK_HANDED, KILL_LOCK_PARKED, kill_point
from cython.cimports.cpus.lockstat_cy import lock_classes
from cython.cimports.cpus.percpu_cy import (
    NR_SLOTS,
    PENDING_HANDLERS,
    SLOT_LIVE,
    leave,
    must_stand_still,
    owner_slot,
    pending_ignored,
    process_slot,
    process_slots,
    stand_still,
    this_cpu,
    this_process,
)


def begin_wait(w, lock, site, holder_site, flags):
    """Show that this process waits for `lock`; the time of the wait begins."""
    w.lock = lock
    w.start = clock_ns()
    w.parked = 0
    w.descheduled = 0
    w.site = site
    w.holder_site = holder_site
    w.flags = flags
    w.parks = 0
    w.search_again = False
    show_wait(w)


def show_wait(w):
    """Write the wait into this process's slot."""
    this_process.waiting_site = w.site
    this_process.waiting_flags = w.flags
    this_process.waiting_since = w.start
    this_process.nr_stack = 0
    this_process.wait_seq += 1
    w.seq = this_process.wait_seq
    atomic64_store(cython.address(this_process.waiting_lock), w.lock)


def end_wait():
    """The wait is over."""
    atomic64_store(cython.address(this_process.parked), 0)
    atomic64_store(cython.address(this_process.waiting_lock), 0)


def wait_point(w, word_at):
    if likely(
        (atomic64_load(cython.address(this_cpu.pending)) ^ pending_ignored) & PENDING_HANDLERS
        == 0
    ):
        return
    if must_stand_still():
        if w.parks != 0 and w.flags == WAIT_SPIN:  # of the others, all are woken together
            hand_on(word_at)
        stand_still()


def hand_on(word_at):
    """Pass a wake-up on: wake another waiter, or have the lock's holder do it."""
    word: u32
    while True:
        word = atomic32_load(word_at)
        if word & ~cython.cast(u32, WAITERS) == 0:
            futex_wake(word_at, 1)
            return
        if word & WAITERS:
            return
        if atomic32_cmpxchg(word_at, word, word | WAITERS) == word:
            return


def park_on_word(w, word_at, word):
    if word & WAITERS == 0:
        if atomic32_cmpxchg(word_at, word, word | WAITERS) != word:
            return
    park(w, word_at, word | WAITERS, owner_slot(word), 1000000 if w.parks < 2 else 10000000)


def park(w, word_at, value, holder, timeout_ns):
    if w.parks == 0 or this_process.nr_stack == 0:
        this_process.nr_stack = stack_sites(this_process.stack, 16)
    delay: u64 = run_delay(holder)
    start: u64
    result: cython.int
    kill_point(KILL_LOCK_PARKED)
    atomic64_store(cython.address(this_process.parked), cython.cast(u64, word_at))
    start = clock_ns()
    if this_cpu.irqs_off == 0:
        leave()
        result = futex_wait(word_at, value, timeout_ns)
        run_signal_handlers(w)
        atomic64_xchg(cython.address(this_process.inside), 1)
    else:
        result = futex_wait(word_at, value, timeout_ns)
    if result == 0:
        kill_point(KILL_LOCK_HANDED)
    w.parks += 1
    w.parked += clock_ns() - start
    w.descheduled += run_delay(holder) - delay
    wait_point(w, word_at)


def run_signal_handlers(w):
    """Let Python's signal handlers run: outside of any call. Their exceptions are dropped.

    They may call the kernel and wait for locks of their own.
    """
    if PyErr_CheckSignals() < 0:
        PyErr_Clear()
    if this_process.wait_seq != w.seq:
        show_wait(w)


def time_to_search(w):
    """Whether to look for a cycle before parking: at first, after a moment, then seldom.

    Whoever closes a cycle finds it before parking for the first time.
    """
    return w.parks < 2 or w.parks & 15 == 15 or w.search_again


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


def report_takeover(class_, word):
    """Log that a lock of a dead process was taken over; its slot may be another's by now."""
    text: cython.char[160]
    slot: cython.pointer[process_slot] = owner_slot(word)
    owner: cython.p_const_char = b"process"
    if slot != cython.NULL:
        owner = cython.cast(cython.p_const_char, cython.address(slot.name[0]))
    length: cython.int = format_takeover(text, 160, lock_classes[class_].name, owner)
    log_text(text, length, 4)


def wake_parked() -> None:
    """Wake every parked waiter, so that it looks whether its owner died; the monitor only."""
    i: cython.int
    word: u64
    for i in range(NR_SLOTS):
        word = atomic64_load(cython.address(process_slots[i].parked))
        if process_slots[i].state == SLOT_LIVE and word != 0:
            futex_wake(cython.cast(cython.pointer[u32], word), 64)
