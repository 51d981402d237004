"""Wait queues and completions as drivers call them: include/linux/wait.h, completion.h of 2.4.

A condition is a callable; it is called outside of the kernel, after the task's state says that
it sleeps, so it may itself call the kernel, and even sleep: then it is looked at once more.
Arguments are kernel addresses or handles. Lock order: wait queue lock, run queue lock.
"""

import cython
from cython.cimports.cpus.atomic import atomic64_load, atomic64_store, unlikely
from cython.cimports.cpus.callsite_cy import call_site
from cython.cimports.cpus.handle_cy import address_of
from cython.cimports.cpus.percpu_cy import enter, enter_sleeping, leave
from cython.cimports.cpus.runqueue_cy import schedule_inside
from cython.cimports.cpus.segment_cy import header, machine_ns, native
from cython.cimports.cpus.spinlock_cy import (
    LOCK_MAGIC,
    raw_spin_lock_irqsave,
    raw_spin_unlock_irqrestore,
)
from cython.cimports.cpus.task_cy import (
    TASK_INTERRUPTIBLE,
    TASK_RUNNING,
    TASK_UNINTERRUPTIBLE,
    current_task,
    signal_pending_inside,
    task_struct,
)
from cython.cimports.cpus.waitqueue_cy import (
    WAIT_RECHECKS,
    finish_wait_outside,
    init_wait_queue,
    wait_queues,
    wake_up_locked,
    wake_up_states,
)
from cython.cimports.cpus.waitqueue_cy import (
    finish_wait as finish_wait_inside,
)
from cython.cimports.cpus.waitqueue_cy import (
    prepare_to_wait as prepare_inside,
)
from cython.cimports.cpus.whole import whole

from cpus import sleepers

MAX_SCHEDULE_TIMEOUT = 0x7FFFFFFF


def struct_bytes() -> dict:
    """Return the sizes of the structs that lie in drivers' memory, by name."""
    return {
        "wait_queue_head_t": cython.sizeof(wait_queue_head),
        "completion": cython.sizeof(completion),
    }


def tick_ns():
    return 1000000000 // header.hz


def ticks_left(end_ns):
    now: u64 = machine_ns()
    return (end_ns - now + tick_ns() - 1) // tick_ns() if now < end_ns else 0


def queue_at(address):
    queue: cython.pointer[wait_queue_head] = cython.cast(
        cython.pointer[wait_queue_head], native(address, cython.sizeof(wait_queue_head))
    )
    if unlikely(queue == cython.NULL or queue.lock.magic != LOCK_MAGIC):
        return cython.NULL
    return queue


def init_waitqueue_head(queue: object) -> None:
    """Make an empty wait queue. Any context."""
    address: u64 = address_of(queue)
    enter()
    at: cython.p_void = native(address, cython.sizeof(wait_queue_head))
    if at != cython.NULL:
        init_wait_queue(
            cython.cast(cython.pointer[wait_queue_head], at), wait_queues.queue_class
        )
    leave()
    if at == cython.NULL:
        sleepers.bad_lock("init_waitqueue_head", address)


def waitqueue_active(queue: object) -> bool:
    """Return whether somebody sleeps on a queue, looked at without its lock. Any context."""
    address: u64 = address_of(queue)
    enter()
    q: cython.pointer[wait_queue_head] = queue_at(address)
    active: cython.bint = q != cython.NULL and atomic64_load(cython.address(q.first)) != 0
    leave()
    if unlikely(q == cython.NULL):
        sleepers.bad_lock("waitqueue_active", address)
    return active


# Waking


def wake_address(address, nr_exclusive, states):
    queue: cython.pointer[wait_queue_head]
    woken: cython.int = -1
    enter()
    queue = queue_at(address)
    if queue != cython.NULL:
        woken = wake_up_states(queue, nr_exclusive, states)
    leave()
    if unlikely(woken < 0):
        sleepers.bad_lock("wake_up", address)
    return woken


def wake_up(queue: object) -> None:
    """Wake every sleeper that is not exclusive, and one that is. Any context."""
    wake_address(address_of(queue), 1, TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE)


def wake_up_nr(queue: object, nr: cython.int) -> None:
    """Wake every sleeper that is not exclusive, and `nr` that are. Any context."""
    wake_address(address_of(queue), nr, TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE)


def wake_up_all(queue: object) -> None:
    """Wake every sleeper. Any context."""
    wake_address(address_of(queue), 0, TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE)


def wake_up_interruptible(queue: object) -> None:
    """Wake as wake_up does, interruptible sleepers only. Any context."""
    wake_address(address_of(queue), 1, TASK_INTERRUPTIBLE)


def wake_up_interruptible_all(queue: object) -> None:
    """Wake every interruptible sleeper. Any context."""
    wake_address(address_of(queue), 0, TASK_INTERRUPTIBLE)


# Sleeping


def prepare_to_wait(queue: object, state: int = 2, exclusive: bool = False) -> None:
    """Put the running task on a queue and write its state; then look at the condition."""
    address: u64 = address_of(queue)
    state_: u64 = state
    alone: cython.bint = exclusive
    enter()
    q: cython.pointer[wait_queue_head] = queue_at(address)
    if q != cython.NULL:
        prepare_inside(q, state_, alone)
    leave()
    if unlikely(q == cython.NULL):
        sleepers.bad_lock("prepare_to_wait", address)


def finish_wait(queue: object) -> None:
    """Take the running task off a queue; it runs."""
    address: u64 = address_of(queue)
    enter()
    q: cython.pointer[wait_queue_head] = queue_at(address)
    if q != cython.NULL:
        finish_wait_inside(q)
    leave()


def wait_common(
    name: bytes, address: u64, condition: object, state: u64, ticks: cython.longlong
) -> object:
    """Sleep on a queue until `condition()`: -ERESTARTSYS, or the ticks left of a time-out."""
    queue: cython.pointer[wait_queue_head]
    end: u64 = 0
    over: cython.int
    nobody: cython.bint
    enter_sleeping(name)
    queue = queue_at(address)
    nobody = current_task() == cython.NULL
    if ticks >= 0:
        end = machine_ns() + cython.cast(u64, ticks) * tick_ns()
    leave()
    if unlikely(queue == cython.NULL):
        sleepers.bad_lock(name.decode(), address)
        return 0
    if condition():
        return ticks if ticks > 0 else 0
    if unlikely(nobody):
        sleepers.no_task(name.decode())
        return 0
    try:
        while True:
            enter()
            prepare_inside(queue, state, False)
            leave()
            if condition():
                return ticks_left(end) if end != 0 else 0
            over = sleep_until(state, end)
            if over != 0:
                return -ERESTARTSYS if over < 0 else 0
    finally:
        finish_wait_outside(queue)


def sleep_until(state, end):
    """Sleep until a wake-up: 0; not at all when a signal waits: -EINTR, or it is `end`: 1."""
    over: cython.int = 0
    enter()
    now: u64 = machine_ns()
    if state == TASK_INTERRUPTIBLE and signal_pending_inside():
        over = -EINTR
    elif end != 0 and now >= end:
        over = 1
    else:
        schedule_inside(end - now if end != 0 else 0)
    leave()
    return over


def wait_event(queue: object, condition: object) -> None:
    """Sleep until `condition()` is true; it is looked at after each wake-up of the queue.

    May sleep.
    """
    wait_common(b"wait_event", address_of(queue), condition, TASK_UNINTERRUPTIBLE, -1)


def wait_event_interruptible(queue: object, condition: object) -> int:
    """Sleep until `condition()` is true: 0, or -ERESTARTSYS when a signal ended the sleep.

    May sleep.
    """
    return wait_common(
        b"wait_event_interruptible", address_of(queue), condition, TASK_INTERRUPTIBLE, -1
    )


def wait_event_timeout(queue: object, condition: object, ticks: object) -> int:
    """Sleep until `condition()`, at most `ticks`; returns the ticks left, 0 = it is late."""
    most: cython.longlong = whole(ticks, b"wait_event_timeout", b"ticks")
    return wait_common(
        b"wait_event_timeout", address_of(queue), condition, TASK_UNINTERRUPTIBLE, most
    )


def sleep_common(name: bytes, address: u64, state: u64, ticks: cython.longlong) -> object:
    """Sleep until the next wake-up of a queue, at most `ticks` (negative: no limit)."""
    queue: cython.pointer[wait_queue_head]
    task: cython.pointer[task_struct]
    end: u64 = 0
    left: cython.longlong = 0
    enter_sleeping(name)
    queue = queue_at(address)
    task = current_task()
    if unlikely(queue == cython.NULL or task == cython.NULL):
        leave()
        if queue == cython.NULL:
            sleepers.bad_lock(name.decode(), address)
        else:
            sleepers.no_task(name.decode())
        return 0
    if ticks >= 0 and ticks < MAX_SCHEDULE_TIMEOUT:
        end = machine_ns() + cython.cast(u64, ticks) * tick_ns() + 1
    prepare_inside(queue, state, False)
    task.wait_flags &= ~cython.cast(u64, WAIT_RECHECKS)
    try:
        schedule_inside(end - machine_ns() if end != 0 else 0)
    except BaseException:
        finish_wait_outside(queue)
        raise
    finish_wait_inside(queue)
    if end != 0:
        left = ticks_left(end)
    leave()
    return left


def sleep_on(queue: object) -> None:
    """Sleep until the queue is woken. What happens before the sleep begins is missed.

    May sleep.
    """
    sleep_common(b"sleep_on", address_of(queue), TASK_UNINTERRUPTIBLE, -1)


def interruptible_sleep_on(queue: object) -> None:
    """Sleep until the queue is woken or a signal comes. May sleep."""
    sleep_common(b"interruptible_sleep_on", address_of(queue), TASK_INTERRUPTIBLE, -1)


def sleep_on_timeout(queue: object, ticks: object) -> int:
    """Sleep until the queue is woken, at most `ticks`; returns the ticks left. May sleep."""
    most: cython.longlong = whole(ticks, b"sleep_on_timeout", b"ticks")
    return sleep_common(b"sleep_on_timeout", address_of(queue), TASK_UNINTERRUPTIBLE, most)


def interruptible_sleep_on_timeout(queue: object, ticks: object) -> int:
    """Sleep until a wake-up or a signal, at most `ticks`; returns the ticks left.

    May sleep.
    """
    most: cython.longlong = whole(ticks, b"interruptible_sleep_on_timeout", b"ticks")
    return sleep_common(
        b"interruptible_sleep_on_timeout", address_of(queue), TASK_INTERRUPTIBLE, most
    )


# Completions


def completion_at(address):
    c: cython.pointer[completion] = cython.cast(
        cython.pointer[completion], native(address, cython.sizeof(completion))
    )
    if unlikely(c == cython.NULL or c.magic != COMPLETION_MAGIC):
        return cython.NULL
    return c


def init_completion(done: object) -> None:
    """Make a completion that is not done. Any context."""
    address: u64 = address_of(done)
    enter()
    c: cython.pointer[completion] = cython.cast(
        cython.pointer[completion], native(address, cython.sizeof(completion))
    )
    if c != cython.NULL:
        init_wait_queue(cython.address(c.wait), wait_queues.queue_class)
        c.done = 0
        c.magic = COMPLETION_MAGIC
    leave()
    if c == cython.NULL:
        sleepers.bad_lock("init_completion", address)


def complete_common(address: u64, all_: cython.bint) -> cython.bint:
    """Say that it is done, to one waiter or to all; false when no completion is there."""
    enter()
    c: cython.pointer[completion] = completion_at(address)
    flags: u64
    if c != cython.NULL:
        flags = raw_spin_lock_irqsave(cython.address(c.wait.lock), call_site())
        c.done = 0x7FFFFFFF if all_ else c.done + (c.done < 0x7FFFFFFF)
        wake_up_locked(
            cython.address(c.wait), 0 if all_ else 1, TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE
        )
        raw_spin_unlock_irqrestore(cython.address(c.wait.lock), flags)
    leave()
    return c != cython.NULL


def complete(done: object) -> None:
    """Let one waiter, now or later, go on. Any context."""
    address: u64 = address_of(done)
    if unlikely(not complete_common(address, False)):
        sleepers.bad_lock("complete", address)


def complete_all(done: object) -> None:
    """Let every waiter, now or later, go on. Any context."""
    address: u64 = address_of(done)
    if unlikely(not complete_common(address, True)):
        sleepers.bad_lock("complete_all", address)


def wait_for_completion(done: object) -> None:
    """Sleep until `complete` was called once for this waiter. May sleep."""
    address: u64 = address_of(done)
    task: cython.pointer[task_struct]
    taken: cython.bint = False
    flags: u64
    enter_sleeping(b"wait_for_completion")
    c: cython.pointer[completion] = completion_at(address)
    task = current_task()
    while c != cython.NULL and not taken:
        # On the queue before the look: `complete` changes `done` with the queue's lock held.
        prepare_inside(cython.address(c.wait), TASK_UNINTERRUPTIBLE, True)
        flags = raw_spin_lock_irqsave(cython.address(c.wait.lock), call_site())
        if c.done != 0:
            c.done -= c.done != 0x7FFFFFFF
            taken = True
        raw_spin_unlock_irqrestore(cython.address(c.wait.lock), flags)
        if taken or task == cython.NULL:
            break
        try:
            schedule_inside(0)
        except BaseException:
            finish_wait_outside(cython.address(c.wait))
            raise
    if c != cython.NULL:
        finish_wait_inside(cython.address(c.wait))
    if task != cython.NULL:
        atomic64_store(cython.address(task.state), TASK_RUNNING)
    leave()
    if unlikely(c == cython.NULL):
        sleepers.bad_lock("wait_for_completion", address)
    elif unlikely(not taken):
        sleepers.no_task("wait_for_completion")
