"""Kernel timers (kernel/timer.c), run by the timer bottom half of the CPU that keeps the time.

A pending timer has an entry in a table: the store of its address commits, so a process that is
killed in a call leaves no half-linked list, and loses no pending timer. The table is short and
scanned; timers that expire in the same tick run in the order of adding.

Lock: timerlist_lock guards the table and is taken with interrupts off, under no other lock.
"""

import cython
from cython.cimports.cpus import percpu_cy, segment_cy
from cython.cimports.cpus.atomic import (
    atomic32_load,
    atomic32_store,
    atomic64_load,
    atomic64_store,
    compiler_barrier,
    futex_wait,
    futex_wake,
    low_half,
)
from cython.cimports.cpus.callsite_cy import call_site
from cython.cimports.cpus.handle_cy import address_of
from cython.cimports.cpus.kill_cy import KILL_TIMER, KILL_TIMER_MOVED, kill_point
from cython.cimports.cpus.percpu_cy import HARDIRQ_MASK, SOFTIRQ_MASK, enter, leave
from cython.cimports.cpus.segment_cy import machine_ns, native
from cython.cimports.cpus.spinlock_cy import (
    CLASS_SPIN,
    RECOVER_NOTHING,
    lock_class_named,
    raw_spin_lock_irqsave,
    raw_spin_unlock_irqrestore,
    spinlock_init,
)
from cython.cimports.cpus.whole import whole
from cython.cimports.cpython.exc import PyErr_CheckSignals
from cython.cimports.libc.string import memset

from cpus import bug, event_cy
from interrupts.callbacks import call_text
from interrupts.guard import call_guarded

NEVER = 0xFFFFFFFFFFFFFFFF
WAIT_NS = 1000000


def regions(config: object = None) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {"timers": cython.sizeof(timer_base)}


def attach(config: object = None) -> None:
    """Find this module's regions in the attached segment."""
    global timers
    timers = cython.cast(cython.pointer[timer_base], segment_cy.region_at(b"timers"))


def init(config: object = None) -> None:
    """Format the table of a fresh segment."""
    memset(timers, 0, cython.sizeof(timer_base))
    timers.next_expires = cython.cast(u64, NEVER)
    spinlock_init(
        cython.address(timers.lock),
        lock_class_named(b"timerlist_lock", CLASS_SPIN, RECOVER_NOTHING),
    )


def jiffies_now():
    return machine_ns() // (1000000000 // segment_cy.header.hz)


def timer_at(address):
    return cython.cast(cython.pointer[timer_list], native(address, cython.sizeof(timer_list)))


def is_pending(t):
    return 0 < t.entry <= NR_TIMERS and timers.entries[t.entry - 1].timer == cython.cast(
        u64, t
    )


def insert(t):
    """Give a timer an entry; false when there is none. Lock held."""
    i: u64
    entry: cython.pointer[timer_entry]
    for i in range(NR_TIMERS):
        entry = cython.address(timers.entries[i])
        if entry.timer != 0:
            continue
        expires_at(entry, t.expires)
        if i >= timers.high:
            timers.high = i + 1
        t.entry = i + 1
        compiler_barrier()
        atomic64_store(cython.address(entry.timer), cython.cast(u64, t))
        wake_device()
        return True
    return False


def move(t):
    """Give a pending timer the time in its struct; it stays pending throughout. Lock held."""
    expires_at(cython.address(timers.entries[t.entry - 1]), t.expires)
    kill_point(KILL_TIMER_MOVED)
    wake_device()


def expires_at(entry, expires):
    """Set the time of an entry. Lock held."""
    if expires < timers.next_expires:
        timers.next_expires = expires
    timers.seq += 1
    entry.seq = timers.seq
    compiler_barrier()
    atomic64_store(cython.address(entry.expires), expires)


def wake_device():
    """Have the timer device look at the time again, if it leaves out ticks."""
    if atomic32_load(cython.address(timers.asleep)):
        atomic32_store(cython.address(timers.asleep), 0)
        futex_wake(cython.address(timers.asleep), 1)


def detach(t):
    """Take a timer's entry from it; false when it has none. Lock held."""
    if not is_pending(t):
        return False
    atomic64_store(cython.address(timers.entries[t.entry - 1].timer), 0)
    t.entry = 0
    return True


# The calls of drivers


def init_timer(timer: object) -> None:
    """Prepare a timer; `expires`, `function` and `data` are its user's. Any context."""
    address: u64 = address_of(timer)
    t: cython.pointer[timer_list]
    enter()
    t = timer_at(address)
    if t != cython.NULL:
        t.entry = 0
        t.pad = 0
    leave()
    if t == cython.NULL:
        bug.bad_address("init_timer", address)


def add_timer(timer: object) -> None:
    """Have a timer's function called at `expires`; one that is pending stays. Any context."""
    if change(timer, "add_timer", False, 0) == 1:
        event_cy.log(f"bug: kernel timer added twice at {int(address_of(timer)):08x}.", 4)


def mod_timer(timer: object, expires: object) -> int:
    """Set a timer's `expires` and add it; returns 1 when it was pending. Any context."""
    when: u64 = cython.cast(u64, whole(expires, b"mod_timer", b"expires"))
    return change(timer, "mod_timer", True, when)


def change(timer: object, call: str, again: cython.bint, expires: cython.ulonglong) -> int:
    """Add a timer; with `again` also one that is pending. Returns whether it was."""
    address: u64 = address_of(timer)
    site: u32 = call_site()
    t: cython.pointer[timer_list]
    flags: u64
    pending: cython.bint = False
    room: cython.bint = True
    enter()
    t = timer_at(address)
    if t != cython.NULL:
        flags = raw_spin_lock_irqsave(cython.address(timers.lock), site)
        pending = is_pending(t)
        if again:
            t.expires = expires
        if not pending:
            room = insert(t)
        elif again:
            move(t)
        raw_spin_unlock_irqrestore(cython.address(timers.lock), flags)
    leave()
    if t == cython.NULL:
        bug.bad_address(call, address)
    if not room:
        bug.panic(f"{call}: {NR_TIMERS} timers are pending, no room for another")
    return 1 if pending else 0


def del_timer(timer: object) -> int:
    """Take a timer off; returns 1 when it was pending, else 0. Its function may still run.

    Any context.
    """
    address: u64 = address_of(timer)
    site: u32 = call_site()
    t: cython.pointer[timer_list]
    flags: u64
    pending: cython.bint = False
    enter()
    t = timer_at(address)
    if t != cython.NULL:
        flags = raw_spin_lock_irqsave(cython.address(timers.lock), site)
        pending = detach(t)
        raw_spin_unlock_irqrestore(cython.address(timers.lock), flags)
    leave()
    if t == cython.NULL:
        bug.bad_address("del_timer", address)
    return 1 if pending else 0


def del_timer_sync(timer: object) -> int:
    """The same, and wait until its function does not run; not from that function."""
    address: u64 = address_of(timer)
    t: cython.pointer[timer_list]
    running: u64
    own: cython.bint
    was: int = 0
    while True:
        was += del_timer(timer)
        enter()
        t = timer_at(address)
        running = atomic64_load(cython.address(timers.running))
        own = timers.running_cpu == percpu_cy.this_cpu.number + 1 and (
            percpu_cy.this_cpu.preempt_count & (HARDIRQ_MASK | SOFTIRQ_MASK) != 0
        )
        leave()
        if running != cython.cast(u64, t):
            return was
        if own:
            bug.report(
                bug.Deadlock,
                f"BUG: del_timer_sync({address:#010x}) waits for the timer that it interrupts",
                linux="the CPU waits for ever",
                ending=bug.HANG,
            )
            return was
        futex_wait(
            low_half(cython.address(timers.running)), cython.cast(u32, running), WAIT_NS
        )
        PyErr_CheckSignals()


def timer_pending(timer: object) -> int:
    """Return 1 when a timer is pending, else 0; any context."""
    address: u64 = address_of(timer)
    t: cython.pointer[timer_list]
    pending: cython.bint = False
    enter()
    t = timer_at(address)
    if t != cython.NULL:
        pending = is_pending(t)
    leave()
    if t == cython.NULL:
        bug.bad_address("timer_pending", address)
    return 1 if pending else 0


# The timer bottom half


def run_timers() -> None:
    """Call the functions of the timers that are due: the bottom half TIMER_BH."""
    now: u64 = jiffies_now()
    due = next_timer(now)
    while due is not None:
        timers.begun = 1
        call_guarded("timer", call_text, due[0], due[1])
        finish_timer()
        due = next_timer(now)


def next_timer(now: cython.ulonglong) -> object:
    """Take the timer that is due first: (function, data), or None; it is running then."""
    site: u32 = call_site()
    best: cython.pointer[timer_entry] = cython.NULL
    entry: cython.pointer[timer_entry]
    t: cython.pointer[timer_list]
    next_expires: u64 = cython.cast(u64, NEVER)
    function: u64 = 0
    data: u64 = 0
    flags: u64
    i: u64
    enter()
    flags = raw_spin_lock_irqsave(cython.address(timers.lock), site)
    for i in range(timers.high):
        entry = cython.address(timers.entries[i])
        if entry.timer == 0:
            continue
        if entry.expires < next_expires:
            next_expires = entry.expires
        if entry.expires <= now and (
            best == cython.NULL
            or entry.expires < best.expires
            or (entry.expires == best.expires and entry.seq < best.seq)
        ):
            best = entry
    if best == cython.NULL:
        timers.next_expires = next_expires
    else:
        t = cython.cast(cython.pointer[timer_list], best.timer)
        timers.begun = 0
        timers.running_cpu = percpu_cy.this_cpu.number + 1
        atomic64_store(cython.address(timers.running), cython.cast(u64, t))
        atomic64_store(cython.address(best.timer), 0)
        t.entry = 0
        kill_point(KILL_TIMER)
        function = t.function
        data = t.data
    raw_spin_unlock_irqrestore(cython.address(timers.lock), flags)
    leave()
    return None if best == cython.NULL else (function, data)


def finish_timer() -> None:
    """Say that the function of the running timer has ended."""
    atomic64_store(cython.address(timers.running), 0)
    timers.running_cpu = 0
    futex_wake(low_half(cython.address(timers.running)), 64)


def adopt_timers(cpu: cython.ulonglong) -> None:
    """Put back the timer that a dead CPU had taken and not begun; a kernel task."""
    site: u32 = call_site()
    t: cython.pointer[timer_list]
    flags: u64
    enter()
    flags = raw_spin_lock_irqsave(cython.address(timers.lock), site)
    if timers.running != 0 and timers.running_cpu == cpu + 1:
        t = cython.cast(cython.pointer[timer_list], timers.running)
        if not timers.begun and not is_pending(t):
            insert(t)
        atomic64_store(cython.address(timers.running), 0)
        timers.running_cpu = 0
        futex_wake(low_half(cython.address(timers.running)), 64)
    raw_spin_unlock_irqrestore(cython.address(timers.lock), flags)
    leave()


def timer_jiffies() -> int:
    """Return the time in ticks since boot; any process."""
    return jiffies_now()


def may_fire() -> bool:
    """Return whether a timer is pending or runs; any process, without the lock."""
    return (
        atomic64_load(cython.address(timers.next_expires)) != cython.cast(u64, NEVER)
        or atomic64_load(cython.address(timers.running)) != 0
    )


def due() -> bool:
    """Return whether a timer may be due; any process, without the lock."""
    return atomic64_load(cython.address(timers.next_expires)) <= jiffies_now()
