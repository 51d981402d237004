"""Task queues of 2.4 (include/linux/tqueue.h): tq_timer, tq_immediate, and keventd's.

A queued task has an entry in a table: the store of its address commits, so a process that is
killed in a call leaves no half-linked list. A queue runs in the order of queueing; `sync` is
cleared before a routine runs, so it may queue itself again, for the next run.

Lock: tqueue_lock guards the table and is taken with interrupts off, under no other lock.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import atomic64_load, atomic64_store, compiler_barrier
from cython.cimports.cpus.callsite_cy import call_site
from cython.cimports.cpus.handle_cy import address_of
from cython.cimports.cpus.percpu_cy import enter, leave, this_cpu
from cython.cimports.cpus.segment_cy import native
from cython.cimports.cpus.spinlock_cy import (
    CLASS_SPIN,
    RECOVER_NOTHING,
    lock_class_named,
    raw_spin_lock_irqsave,
    raw_spin_unlock_irqrestore,
    spinlock_init,
)
from cython.cimports.libc.string import memset

from cpus import bug

TIMER: int = TQ_TIMER
IMMEDIATE: int = TQ_IMMEDIATE
CONTEXT: int = TQ_CONTEXT


def regions(config: object = None) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {"task_queues": cython.sizeof(tq_area)}


def attach(config: object = None) -> None:
    """Find this module's regions in the attached segment."""
    global queues
    queues = cython.cast(cython.pointer[tq_area], segment_cy.region_at(b"task_queues"))


def init(config: object = None) -> None:
    """Format the table of a fresh segment."""
    memset(queues, 0, cython.sizeof(tq_area))
    spinlock_init(
        cython.address(queues.lock),
        lock_class_named(b"tqueue_lock", CLASS_SPIN, RECOVER_NOTHING),
    )


def task_at(address):
    return cython.cast(cython.pointer[tq_struct], native(address, cython.sizeof(tq_struct)))


def is_queued(t):
    return 0 < t.entry <= NR_QUEUED and queues.entries[t.entry - 1].task == cython.cast(u64, t)


def insert(t, queue):
    """Give a task an entry; false when there is none. Lock held."""
    i: u64
    entry: cython.pointer[tq_entry]
    for i in range(NR_QUEUED):
        entry = cython.address(queues.entries[i])
        if entry.task != 0:
            continue
        entry.queue = queue
        queues.seq += 1
        entry.seq = queues.seq
        if i >= queues.high:
            queues.high = i + 1
        t.entry = i + 1
        t.sync = 1
        atomic64_store(cython.address(queues.nr[queue]), queues.nr[queue] + 1)
        compiler_barrier()
        atomic64_store(cython.address(entry.task), cython.cast(u64, t))
        return True
    return False


def queue_on(task: object, queue: cython.ulonglong, call: str) -> int:
    """Queue a task; returns 1, or 0 when it is queued already. Any context."""
    address: u64 = address_of(task)
    site: u32 = call_site()
    t: cython.pointer[tq_struct]
    flags: u64
    queued: cython.bint = False
    room: cython.bint = True
    if queue == 0 or queue >= NR_QUEUES:
        raise ValueError(f"{call}: {queue} is no task queue")
    enter()
    t = task_at(address)
    if t != cython.NULL:
        flags = raw_spin_lock_irqsave(cython.address(queues.lock), site)
        if not is_queued(t):
            room = insert(t, queue)
            queued = room
        raw_spin_unlock_irqrestore(cython.address(queues.lock), flags)
    leave()
    if t == cython.NULL:
        bug.bad_address(call, address)
    if not room:
        bug.panic(f"{call}: {NR_QUEUED} tasks are queued, no room for another")
    return 1 if queued else 0


def last_queued() -> int:
    """Return the number of the task that was queued last: a run goes up to it."""
    return queues.seq


def next_task(queue: cython.ulonglong, last: cython.ulonglong) -> object:
    """Take the oldest task of a queue up to number `last`: (routine, data), or None."""
    site: u32 = call_site()
    best: cython.pointer[tq_entry] = cython.NULL
    entry: cython.pointer[tq_entry]
    t: cython.pointer[tq_struct]
    routine: u64 = 0
    data: u64 = 0
    nr: u64 = 0
    flags: u64
    i: u64
    enter()
    flags = raw_spin_lock_irqsave(cython.address(queues.lock), site)
    for i in range(queues.high):
        entry = cython.address(queues.entries[i])
        if entry.task == 0 or entry.queue != queue:
            continue
        nr += 1
        if entry.seq <= last and (best == cython.NULL or entry.seq < best.seq):
            best = entry
    if best != cython.NULL:
        t = cython.cast(cython.pointer[tq_struct], best.task)
        routine = t.routine
        data = t.data
        t.entry = 0
        t.sync = 0
        queues.running_cpu[queue] = this_cpu.number + 1
        queues.running[queue] = best.seq
        atomic64_store(cython.address(best.task), 0)
        nr -= 1
    atomic64_store(cython.address(queues.nr[queue]), nr)
    raw_spin_unlock_irqrestore(cython.address(queues.lock), flags)
    leave()
    return None if best == cython.NULL else (routine, data)


def finish_task(queue: cython.ulonglong) -> None:
    """Say that the routine of the task taken last from a queue has ended."""
    atomic64_store(cython.address(queues.running[queue]), 0)


def adopt_queues(cpu: cython.ulonglong) -> None:
    """Forget the routines that a dead CPU ran; any process."""
    queue: cython.int
    for queue in range(NR_QUEUES):
        if queues.running_cpu[queue] == cpu + 1:
            atomic64_store(cython.address(queues.running[queue]), 0)


def is_done(queue: cython.ulonglong, last: cython.ulonglong) -> bool:
    """Return whether every task of a queue up to number `last` has run."""
    site: u32 = call_site()
    done: cython.bint = True
    flags: u64
    i: u64
    enter()
    flags = raw_spin_lock_irqsave(cython.address(queues.lock), site)
    for i in range(queues.high):
        if (
            queues.entries[i].task != 0
            and queues.entries[i].queue == queue
            and queues.entries[i].seq <= last
        ):
            done = False
    if queues.running[queue] != 0 and queues.running[queue] <= last:
        done = False
    raw_spin_unlock_irqrestore(cython.address(queues.lock), flags)
    leave()
    return done


def nr_queued(queue: cython.ulonglong) -> int:
    """Return how many tasks a queue has; any process, without the lock."""
    return atomic64_load(cython.address(queues.nr[queue]))
