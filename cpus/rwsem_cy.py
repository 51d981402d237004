"""Rw semaphores (linux/rwsem.h of 2.4): many readers or one writer, in order of arrival.

`count` and the number of the writer change by one store. A reader goes ahead while nobody
before it on the queue waits to write. Arguments are kernel addresses or handles.
"""

import cython
from cython.cimports.cpus.atomic import atomic64_store_release, compiler_barrier, unlikely
from cython.cimports.cpus.callsite_cy import call_site
from cython.cimports.cpus.handle_cy import address_of
from cython.cimports.cpus.kill_cy import KILL_SEM_DOWN, KILL_SEM_UP, kill_point
from cython.cimports.cpus.percpu_cy import enter, enter_sleeping, leave
from cython.cimports.cpus.segment_cy import machine_ns, native
from cython.cimports.cpus.sleeplock_cy import (
    EITHER,
    NO_LOCK,
    RWSEM_MAGIC,
    TAKEN,
    begin_sleep,
    begin_up,
    finish_sleep,
    forget_downed,
    note_downed,
    rw_semaphore,
    settle_downed,
    sleep_begins,
    sleep_counted,
    sleep_once,
    sleep_stat,
)
from cython.cimports.cpus.spinlock_cy import (
    CLASS_SLEEPING,
    RECOVER_NOTHING,
    SIDE_READ,
    SIDE_WRITE,
    add_hold,
    lock_acquired_stat,
    lock_class_named,
    raw_spin_lock_irqsave,
    raw_spin_unlock_irqrestore,
)
from cython.cimports.cpus.task_cy import (
    DOWNED_READ,
    TASK_UNINTERRUPTIBLE,
    current_task,
    task_number,
    task_of_number,
    task_struct,
)
from cython.cimports.cpus.waitqueue_cy import (
    WAIT_EXCLUSIVE,
    WAIT_RECHECKS,
    WAIT_WRITER,
    enqueue_waiter,
    init_wait_queue,
    wait_queue_head,
    wait_queues,
    wake_up_locked,
)

from cpus import sleepers
from cpus.lock_cy import init_class_name


def down_read(sem: object) -> None:
    """Take the read side; sleeps while somebody writes or waits to. May sleep."""
    address: u64 = address_of(sem)
    result: cython.int = take_side(b"down_read", address, DOWNED_READ)
    if unlikely(result != TAKEN):
        sleepers.refuse("down_read", address, result)


def down_write(sem: object) -> None:
    """Take the write side; sleeps until nobody else has either. May sleep."""
    address: u64 = address_of(sem)
    result: cython.int = take_side(b"down_write", address, 0)
    if unlikely(result != TAKEN):
        sleepers.refuse("down_write", address, result)


def up_read(sem: object) -> None:
    """Give the read side back. Any context."""
    address: u64 = address_of(sem)
    if unlikely(not give_side(address, DOWNED_READ)):
        sleepers.bad_lock("up_read", address)


def up_write(sem: object) -> None:
    """Give the write side back. Any context."""
    address: u64 = address_of(sem)
    if unlikely(not give_side(address, 0)):
        sleepers.bad_lock("up_write", address)


def take_side(call, address, bits):
    """Take a side of the rw semaphore at an address; `call` is its name. Outside of calls."""
    enter_sleeping(call)
    s: cython.pointer[rw_semaphore] = rwsem_at(address)
    result: cython.int = NO_LOCK
    if s != cython.NULL:
        result = rwsem_down(s, call_site(), bits)
    leave()
    return result


def give_side(address, bits):
    """Give a side back; false when there is no rw semaphore. Outside of calls."""
    enter()
    s: cython.pointer[rw_semaphore] = rwsem_at(address)
    if s != cython.NULL:
        if bits & DOWNED_READ:
            up_read_common(s, current_task())
        else:
            up_write_common(s)
    leave()
    return s != cython.NULL


def rwsem_down(sem, site, bits):
    """Take a side (DOWNED_READ or 0 to write), sleeping for it. Inside a call."""
    task: cython.pointer[task_struct] = current_task()
    queue: cython.pointer[wait_queue_head] = cython.address(sem.wait)
    flags: u64 = raw_spin_lock_irqsave(cython.address(queue.lock), site)
    if reader_may(sem, task) if bits & DOWNED_READ else sem.count == 0 and queue.first == 0:
        rwsem_take(sem, task, site, bits)
        raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)
        return TAKEN
    raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)
    return rwsem_sleep(sem, task, site, bits)


def rwsem_take(sem, task, site, bits):
    """Take a side; the lock is held and the side is free."""
    lock: u64 = cython.cast(u64, sem)
    word: u64 = cython.cast(u64, cython.cast(u32, sem.count + 1))
    if bits & DOWNED_READ == 0:
        word = 0xFFFFFFFF | cython.cast(u64, task_number(task)) << 32
    if task != cython.NULL:
        note_downed(task, lock, bits, word)
    compiler_barrier()
    # A release is enough, as in take_semaphore.
    atomic64_store_release(cython.cast(cython.pointer[u64], cython.address(sem.count)), word)
    compiler_barrier()
    kill_point(KILL_SEM_DOWN)
    if task != cython.NULL:
        settle_downed(task, lock, bits, machine_ns())
    sem.site = site
    lock_acquired_stat(
        sem.class_, SIDE_READ if bits & DOWNED_READ else SIDE_WRITE,
        cython.address(sem.last_cpu),
    )  # fmt: skip


def up_read_common(sem, task):
    flags: u64 = raw_spin_lock_irqsave(cython.address(sem.wait.lock), call_site())
    if sem.count > 0:
        give_back(sem, task, DOWNED_READ, cython.cast(u32, sem.count - 1))
    rwsem_wake(sem)
    raw_spin_unlock_irqrestore(cython.address(sem.wait.lock), flags)


def up_write_common(sem):
    flags: u64 = raw_spin_lock_irqsave(cython.address(sem.wait.lock), call_site())
    if sem.count < 0:
        give_back(sem, task_of_number(sem.downer), 0, 0)
    rwsem_wake(sem)
    raw_spin_unlock_irqrestore(cython.address(sem.wait.lock), flags)


def give_back(sem, task, bits, count):
    """Give back the side that `task` has, by the store of the new count; the lock is held."""
    word: cython.pointer[u64] = cython.cast(cython.pointer[u64], cython.address(sem.count))
    since: u64
    note: cython.pointer[u64] = begin_up(
        task, cython.cast(u64, sem), bits, word[0], cython.address(since)
    )
    atomic64_store_release(word, count)
    kill_point(KILL_SEM_UP)
    forget_downed(note)
    if since != 0:
        add_hold(sem.class_, SIDE_READ if bits else SIDE_WRITE, machine_ns() - since)


def rwsem_sleep(sem, task, site, bits):
    """Sleep until a side is free, and take it. Inside a call."""
    queue: cython.pointer[wait_queue_head] = cython.address(sem.wait)
    reads: cython.bint = bits & DOWNED_READ != 0
    w: sleep_stat
    result: cython.int = begin_sleep(cython.cast(u64, sem), task, site)
    flags: u64
    if result != TAKEN:
        return result
    sleep_begins(
        cython.address(w), cython.cast(u64, sem), sem.class_,
        SIDE_READ if reads else SIDE_WRITE, site, sem.site, sem.last_cpu,
    )  # fmt: skip
    flags = raw_spin_lock_irqsave(cython.address(queue.lock), site)
    enqueue_waiter(queue, task, WAIT_EXCLUSIVE | WAIT_RECHECKS | (0 if reads else WAIT_WRITER))
    while not (reader_may(sem, task) if reads else writer_may(sem, task)):
        sleep_once(queue, task, TASK_UNINTERRUPTIBLE, cython.address(flags))
    finish_sleep(queue, task)
    sleep_counted(cython.address(w))
    rwsem_take(sem, task, site, bits)
    rwsem_wake(sem)
    raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)
    return TAKEN


def reader_may(sem, task):
    """Whether a reader may go ahead of the queue: nobody before it there waits to write."""
    t: cython.pointer[task_struct]
    at: u64 = sem.wait.first
    if sem.count < 0:
        return False
    while at != 0 and at != cython.cast(u64, task):
        t = cython.cast(cython.pointer[task_struct], at)
        if t.wait_flags & WAIT_WRITER:
            return False
        at = t.wait_next
    return True


def writer_may(sem, task):
    """Whether a queued writer may go: nobody has a side, and it is the first."""
    return sem.count == 0 and sem.wait.first == cython.cast(u64, task)


def rwsem_wake(sem):
    """Wake the first waiter if it may go; the lock is held."""
    first: cython.pointer[task_struct] = cython.cast(
        cython.pointer[task_struct], sem.wait.first
    )
    if first == cython.NULL or sem.count < 0:
        return
    if first.wait_flags & WAIT_WRITER == 0 or sem.count == 0:
        wake_up_locked(cython.address(sem.wait), 1, EITHER)


def rwsem_at(address):
    sem: cython.pointer[rw_semaphore] = cython.cast(
        cython.pointer[rw_semaphore], native(address, cython.sizeof(rw_semaphore))
    )
    if unlikely(sem == cython.NULL or sem.magic != RWSEM_MAGIC):
        return cython.NULL
    return sem


def init_rwsem(sem: object) -> None:
    """Make an rw semaphore that nobody holds. Any context."""
    address: u64 = address_of(sem)
    name: bytes = init_class_name(sem, call_site())
    enter()
    s: cython.pointer[rw_semaphore] = cython.cast(
        cython.pointer[rw_semaphore], native(address, cython.sizeof(rw_semaphore))
    )
    if s != cython.NULL:
        init_wait_queue(cython.address(s.wait), wait_queues.queue_class)
        s.count = 0
        s.downer = 0
        s.site = 0
        s.last_cpu = 0
        s.class_ = lock_class_named(name, CLASS_SLEEPING, RECOVER_NOTHING)
        s.magic = RWSEM_MAGIC
    leave()
    if s == cython.NULL:
        sleepers.bad_lock("init_rwsem", address)
