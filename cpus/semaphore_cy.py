"""Semaphores (asm-i386/semaphore.h of 2.4).

`count` and the number of the task that took the lock last change by one store. Waiters queue
in order; a woken one takes the semaphore itself, and a newcomer may be faster, as on Linux.
Arguments are kernel addresses or handles.
"""

import cython
from cython.cimports.cpus.atomic import atomic64_store_release, compiler_barrier, unlikely
from cython.cimports.cpus.callsite_cy import call_site
from cython.cimports.cpus.handle_cy import address_of
from cython.cimports.cpus.kill_cy import KILL_SEM_DOWN, KILL_SEM_UP, kill_point
from cython.cimports.cpus.percpu_cy import enter, enter_sleeping, leave
from cython.cimports.cpus.segment_cy import machine_ns, native
from cython.cimports.cpus.sleeplock_cy import (
    EINTR,
    EITHER,
    NO_LOCK,
    SEM_MAGIC,
    SEM_SIGNAL_MAGIC,
    TAKEN,
    begin_sleep,
    begin_up,
    finish_sleep,
    forget_downed,
    note_downed,
    semaphore,
    settle_downed,
    sleep_begins,
    sleep_counted,
    sleep_once,
    sleep_stat,
)
from cython.cimports.cpus.spinlock_cy import (
    CLASS_SLEEPING,
    RECOVER_NOTHING,
    SIDE_WRITE,
    add_hold,
    lock_acquired_stat,
    lock_class_named,
    raw_spin_lock_irqsave,
    raw_spin_unlock_irqrestore,
)
from cython.cimports.cpus.task_cy import (
    TASK_INTERRUPTIBLE,
    TASK_UNINTERRUPTIBLE,
    current_task,
    signal_pending_inside,
    task_number,
    task_of_number,
    task_struct,
)
from cython.cimports.cpus.waitqueue_cy import (
    WAIT_EXCLUSIVE,
    WAIT_RECHECKS,
    enqueue_waiter,
    init_wait_queue,
    wait_queue_head,
    wait_queues,
    wake_up_locked,
)
from cython.cimports.cpus.whole import whole_int

from cpus import sleepers
from cpus.lock_cy import init_class_name


def down(sem: object) -> None:
    """Take a semaphore; sleeps until it can. May sleep."""
    address: u64 = address_of(sem)
    result: cython.int = take_at(b"down", address, TASK_UNINTERRUPTIBLE)
    if unlikely(result != TAKEN):
        sleepers.refuse("down", address, result)


def down_interruptible(sem: object) -> int:
    """Take a semaphore: 0, or -EINTR when a signal ended the sleep. May sleep."""
    address: u64 = address_of(sem)
    result: cython.int = take_at(b"down_interruptible", address, TASK_INTERRUPTIBLE)
    if unlikely(result != TAKEN and result != -EINTR):
        sleepers.refuse("down_interruptible", address, result)
    return result


def down_trylock(sem: object) -> int:
    """Take a semaphore if that needs no sleep: 0 taken, 1 not. Any context."""
    address: u64 = address_of(sem)
    enter()
    s: cython.pointer[semaphore] = semaphore_at(address)
    taken: cython.bint = False
    flags: u64
    if s != cython.NULL:
        flags = raw_spin_lock_irqsave(cython.address(s.wait.lock), call_site())
        if s.count > 0:
            take_semaphore(s, current_task(), call_site())
            taken = True
        raw_spin_unlock_irqrestore(cython.address(s.wait.lock), flags)
    leave()
    if unlikely(s == cython.NULL):
        sleepers.bad_lock("down_trylock", address)
    return 0 if taken else 1


def up(sem: object) -> None:
    """Give a semaphore back and wake a waiter. Any context."""
    address: u64 = address_of(sem)
    enter()
    s: cython.pointer[semaphore] = semaphore_at(address)
    if s != cython.NULL:
        up_common(s, current_task())
    leave()
    if unlikely(s == cython.NULL):
        sleepers.bad_lock("up", address)


def take_at(call, address, state):
    """Take the semaphore at an address; `call` is the name for a report. Outside of calls."""
    enter_sleeping(call)
    s: cython.pointer[semaphore] = semaphore_at(address)
    result: cython.int = NO_LOCK
    if s != cython.NULL:
        result = down_common(s, state, call_site())
    leave()
    return result


def down_common(sem, state, site):
    task: cython.pointer[task_struct] = current_task()
    queue: cython.pointer[wait_queue_head] = cython.address(sem.wait)
    flags: u64 = raw_spin_lock_irqsave(cython.address(queue.lock), site)
    if sem.count > 0:
        take_semaphore(sem, task, site)
        raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)
        return TAKEN
    raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)
    return sleep_for_semaphore(sem, task, state, site)


def take_semaphore(sem, task, site):
    """Take one of the count; its lock is held and the count is above 0."""
    lock: u64 = cython.cast(u64, sem)
    followed: cython.bint = task != cython.NULL and sem.magic == SEM_MAGIC
    word: u64 = cython.cast(u64, cython.cast(u32, sem.count - 1))
    ns: u64 = machine_ns()
    if followed:
        word |= cython.cast(u64, task_number(task)) << 32
        note_downed(task, lock, 0, word)
    compiler_barrier()
    # The search for a cycle (holder_of) reads it with cycle_lock, which this task takes before
    # it waits for another lock: a release is enough.
    atomic64_store_release(cython.cast(cython.pointer[u64], cython.address(sem.count)), word)
    compiler_barrier()
    kill_point(KILL_SEM_DOWN)
    if followed:
        settle_downed(task, lock, 0, ns)
    sem.site = site
    sem.acquired_ns = ns
    lock_acquired_stat(sem.class_, SIDE_WRITE, cython.address(sem.last_cpu))


def up_common(sem, task):
    queue: cython.pointer[wait_queue_head] = cython.address(sem.wait)
    flags: u64 = raw_spin_lock_irqsave(cython.address(queue.lock), call_site())
    downer: cython.pointer[task_struct] = task_of_number(sem.downer)
    lock: u64 = cython.cast(u64, sem)
    word: cython.pointer[u64] = cython.cast(cython.pointer[u64], cython.address(sem.count))
    note: cython.pointer[u64] = cython.NULL
    since: u64 = 0
    if sem.acquired_ns != 0 and downer != cython.NULL:
        add_hold(sem.class_, SIDE_WRITE, machine_ns() - sem.acquired_ns)
    if sem.magic == SEM_MAGIC:
        note = begin_up(task, lock, 0, word[0], cython.address(since))
        if note == cython.NULL and downer != task:
            note = begin_up(downer, lock, 0, word[0], cython.address(since))
    atomic64_store_release(word, cython.cast(u64, cython.cast(u32, sem.count + 1)))
    kill_point(KILL_SEM_UP)
    forget_downed(note)
    wake_up_locked(queue, 1, EITHER)
    raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)


def sleep_for_semaphore(sem, task, state, site):
    """Sleep until the count is above 0 and take it, or until a signal comes. Inside a call."""
    queue: cython.pointer[wait_queue_head] = cython.address(sem.wait)
    w: sleep_stat
    result: cython.int = begin_sleep(cython.cast(u64, sem), task, site)
    flags: u64
    if result != TAKEN:
        return result
    sleep_begins(
        cython.address(w), cython.cast(u64, sem), sem.class_, SIDE_WRITE, site, sem.site,
        sem.last_cpu,
    )  # fmt: skip
    flags = raw_spin_lock_irqsave(cython.address(queue.lock), site)
    enqueue_waiter(queue, task, WAIT_EXCLUSIVE | WAIT_RECHECKS)
    while sem.count <= 0 and not (state == TASK_INTERRUPTIBLE and signal_pending_inside()):
        sleep_once(queue, task, state, cython.address(flags))
    finish_sleep(queue, task)
    if sem.count <= 0:
        result = -EINTR
    else:
        sleep_counted(cython.address(w))
        take_semaphore(sem, task, site)
        if sem.count > 0:
            wake_up_locked(queue, 1, EITHER)
    raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)
    return result


def semaphore_at(address):
    sem: cython.pointer[semaphore] = cython.cast(
        cython.pointer[semaphore], native(address, cython.sizeof(semaphore))
    )
    if unlikely(
        sem == cython.NULL or (sem.magic != SEM_MAGIC and sem.magic != SEM_SIGNAL_MAGIC)
    ):
        return cython.NULL
    return sem


def semaphore_init(sem, count, class_):
    init_wait_queue(cython.address(sem.wait), wait_queues.queue_class)
    sem.count = count
    sem.downer = 0
    sem.site = 0
    sem.last_cpu = 0
    sem.initial = count if count > 0 else 0
    sem.acquired_ns = 0
    sem.class_ = class_
    sem.magic = SEM_MAGIC if count > 0 else SEM_SIGNAL_MAGIC


def sema_init(sem: object, count: object) -> None:
    """Make a semaphore with `count` free; its class is its field or the place of this call.

    Any context.
    """
    c_count: cython.int = whole_int(count, b"sema_init", b"count")
    address: u64 = address_of(sem)
    name: bytes = init_class_name(sem, call_site())
    enter()
    at: cython.p_void = native(address, cython.sizeof(semaphore))
    if at != cython.NULL:
        semaphore_init(
            cython.cast(cython.pointer[semaphore], at),
            c_count,
            lock_class_named(name, CLASS_SLEEPING, RECOVER_NOTHING),
        )
    leave()
    if at == cython.NULL:
        sleepers.bad_lock("sema_init", address)


def init_MUTEX(sem: object) -> None:
    """Make a semaphore that one task may hold. Any context."""
    sema_init(sem, 1)


def init_MUTEX_LOCKED(sem: object) -> None:
    """Make a semaphore that is taken already. Any context."""
    sema_init(sem, 0)
