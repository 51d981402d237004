"""What sleeping locks share: which task holds which, who waits for whom, how one sleeps.

A task notes a lock in its `downed` list before the store that takes it, and settles the note
behind it; before the store that gives it back the note says so again. In between it has the
count with which the lock is held, so that what a dead task held is known exactly: who takes
the queue's lock over from a dead process settles its note first. A task that will sleep for a
lock says so in `waiting_for`, unless that closes a cycle.

Lock order: the lock's own wait queue lock, run queue lock; sleepers_lock (the search for a
cycle) is taken with neither.
"""

import cython
from cython.cimports.cpus.atomic import atomic64_load, atomic64_store
from cython.cimports.cpus.lockstat_cy import lock_contended_stat, wait_time_stat
from cython.cimports.cpus.percpu_cy import (
    KIND_CPU,
    NR_SLOTS,
    SLOT_LIVE,
    enter_quietly,
    leave,
    process_slot,
    process_slots,
)
from cython.cimports.cpus.runqueue_cy import schedule_inside
from cython.cimports.cpus.segment_cy import machine_ns, native
from cython.cimports.cpus.spinlock_cy import raw_spin_lock_irqsave, raw_spin_unlock_irqrestore
from cython.cimports.cpus.task_cy import (
    NR_TASKS,
    TASK_RUNNING,
    globals_,
    task_of_number,
    task_struct,
)
from cython.cimports.cpus.waiting_cy import run_delay
from cython.cimports.cpus.waitqueue_cy import (
    dequeue_waiter,
    finish_wait,
    wait_queue_head,
    wake_up_locked,
)


def begin_sleep(lock, task, site):
    """Say that `task` will sleep for `lock`: TAKEN when it may, else NO_TASK or CYCLE.

    It leaves a queue that it is on: it looks at that condition again afterwards.
    """
    if task == cython.NULL:
        return NO_TASK
    if task.wait_queue != 0:
        finish_wait(cython.cast(cython.pointer[wait_queue_head], task.wait_queue))
    task.waiting_site = site
    return CYCLE if closes_cycle(lock, task) else TAKEN


def sleep_once(queue, task, state, flags):
    """Sleep until a wake-up of `queue`, whose lock is held before (`flags`) and after.

    An exception comes outside of the call, with the queue left.
    """
    atomic64_store(cython.address(task.state), state)
    raw_spin_unlock_irqrestore(cython.address(queue.lock), flags[0])
    try:
        schedule_inside(0)
    except BaseException:
        end_sleep(queue, task)
        raise
    flags[0] = raw_spin_lock_irqsave(
        cython.address(queue.lock), cython.cast(u32, task.waiting_site)
    )
    return 0


def finish_sleep(queue, task):
    """Leave the queue and run, whether the lock can be taken or not; its lock is held."""
    atomic64_store(cython.address(task.state), TASK_RUNNING)
    dequeue_waiter(queue, task)
    atomic64_store(cython.address(task.waiting_for), 0)


def sleep_begins(w, lock, class_, side, site, holder_site, last_cpu):
    """Note when a wait began, who has the lock, and how long that one lacked a processor."""
    holder: cython.pointer[task_struct] = holder_of(lock)
    lock_contended_stat(class_, side, last_cpu)
    w.class_ = class_
    w.side = side
    w.site = site
    w.holder_site = holder_site
    w.holder = cython.NULL if holder == cython.NULL else process_of_cpu(holder.cpu)
    w.delay = run_delay(w.holder)
    w.start = machine_ns()


def sleep_counted(w):
    """Count a wait that has ended with the lock; nothing of it is parked: the task slept."""
    ns: u64 = machine_ns() - w.start
    delay: u64 = run_delay(w.holder)
    delay = delay - w.delay if delay > w.delay else 0
    wait_time_stat(w.class_, w.site, w.holder_site, ns, 0, delay, w.side)


def process_of_cpu(cpu):
    """Return the slot of a CPU's own process, NULL when that is dead."""
    i: cython.int
    slot: cython.pointer[process_slot]
    for i in range(NR_SLOTS):
        slot = cython.address(process_slots[i])
        if slot.kind == KIND_CPU and slot.cpu == cpu and slot.state == SLOT_LIVE:
            return slot
    return cython.NULL


def end_sleep(queue, task):
    """An exception ended a sleep: leave the queue, hand a wake-up on. Outside of a call."""
    flags: u64
    enter_quietly()
    finish_wait(queue)
    atomic64_store(cython.address(task.waiting_for), 0)
    flags = raw_spin_lock_irqsave(cython.address(queue.lock), 0)
    wake_up_locked(queue, 1, EITHER)
    raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)
    leave()


def closes_cycle(lock, task):
    """Say that `task` waits for `lock`; true, and not said, when that closes a cycle.

    One search at a time, so of two tasks that close a cycle together the second sees it.
    """
    at: cython.pointer[task_struct]
    steps: cython.int = 0
    found: cython.bint = False
    flags: u64 = raw_spin_lock_irqsave(cython.address(globals_.cycle_lock), 0)
    atomic64_store(cython.address(task.waiting_for), lock)
    at = holder_of(lock)
    while at != cython.NULL and steps < NR_TASKS:
        if at == task:
            found = True
            atomic64_store(cython.address(task.waiting_for), 0)
            break
        lock = atomic64_load(cython.address(at.waiting_for))
        at = holder_of(lock) if lock != 0 else cython.NULL
        steps += 1
    raw_spin_unlock_irqrestore(cython.address(globals_.cycle_lock), flags)
    return found


def holder_of(lock):
    """Return the task that holds the sleeping lock at a native address, NULL = none known."""
    sem: cython.pointer[semaphore] = cython.cast(cython.pointer[semaphore], lock)
    rwsem: cython.pointer[rw_semaphore] = cython.cast(cython.pointer[rw_semaphore], lock)
    if sem.magic == SEM_MAGIC:
        return cython.NULL if sem.count > 0 else task_of_number(sem.downer)
    if rwsem.magic == RWSEM_MAGIC:
        return cython.NULL if rwsem.count >= 0 else task_of_number(rwsem.downer)
    return cython.NULL


def sleeping_lock_words(lock: cython.ulonglong) -> tuple:
    """Return (native address, lock class, site of the holder) of a sleeping lock."""
    sem: cython.pointer[semaphore] = cython.cast(cython.pointer[semaphore], lock)
    rwsem: cython.pointer[rw_semaphore] = cython.cast(cython.pointer[rw_semaphore], lock)
    if sem.magic == SEM_MAGIC or sem.magic == SEM_SIGNAL_MAGIC:
        return lock, sem.class_, sem.site
    if rwsem.magic == RWSEM_MAGIC:
        return lock, rwsem.class_, rwsem.site
    return lock, 0, 0


def holder_pid(lock: cython.ulonglong) -> int:
    """Return the pid of who holds the sleeping lock at a native address, 0 = none."""
    task: cython.pointer[task_struct] = holder_of(lock)
    return 0 if task == cython.NULL else task.pid


def lock_magic(address: cython.ulonglong) -> int:
    """Return the magic of a semaphore at a kernel address, -1 when nothing is mapped."""
    at: cython.pointer[semaphore] = cython.cast(
        cython.pointer[semaphore], native(address, cython.sizeof(semaphore))
    )
    return -1 if at == cython.NULL else at.magic


def struct_bytes() -> dict:
    """Return the sizes of the structs that lie in drivers' memory, by name."""
    return {
        "semaphore": cython.sizeof(semaphore),
        "rw_semaphore": cython.sizeof(rw_semaphore),
    }
