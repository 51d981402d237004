"""The end of a task, by itself or with its CPU."""

import cython
from cython.cimports.cpus.atomic import atomic64_load, atomic64_store
from cython.cimports.cpus.percpu_cy import (
    CPU_ONLINE,
    cpu_areas,
    enter,
    enter_quietly,
    leave,
    this_cpu,
)
from cython.cimports.cpus.runqueue_cy import kick, recover_runqueue, runqueues, wake_up_process
from cython.cimports.cpus.rwsem_cy import up_read_common, up_write_common
from cython.cimports.cpus.segment_cy import NR_CPUS
from cython.cimports.cpus.semaphore_cy import up_common
from cython.cimports.cpus.sleeplock_cy import RWSEM_MAGIC, SEM_MAGIC, rw_semaphore, semaphore
from cython.cimports.cpus.spinlock_cy import (
    LOCK_MAGIC,
    raw_spin_lock_irqsave,
    raw_spin_unlock_irqrestore,
)
from cython.cimports.cpus.task_cy import (
    DOWNED_MOVING,
    DOWNED_READ,
    NR_DOWNED,
    NR_TASKS,
    TASK_FREE,
    TASK_NEW_SHIFT,
    task_number,
    task_struct,
    tasks,
)
from cython.cimports.cpus.waitqueue_cy import (
    WAIT_RECHECKS,
    dequeue_waiter,
    finish_wait,
    wait_queue_head,
)

from cpus.sleeplock_cy import sleeping_lock_words


def free_task(at: cython.ulonglong) -> None:
    """End the running task: its struct is free; its own process."""
    t: cython.pointer[task_struct] = cython.cast(cython.pointer[task_struct], at)
    enter_quietly()
    if t.wait_queue != 0:
        finish_wait(cython.cast(cython.pointer[wait_queue_head], t.wait_queue))
    if this_cpu.current == at:
        atomic64_store(cython.address(this_cpu.current), 0)
    # `on_rq` stays RQ_CURRENT: off the queue and running, it would be queued by a recovery.
    atomic64_store(cython.address(t.state), TASK_FREE)
    leave()


def bury_tasks(cpu: int) -> list:
    """Free the tasks of a dead CPU and give up what they held; on a live CPU.

    Returns [(pid, name, [(native address, class, site), …]), …].
    """
    i: cython.int
    j: cython.int
    entry: u64
    task: cython.pointer[task_struct]
    buried: list = []
    for i in range(NR_TASKS):
        task = cython.address(tasks[i])
        if not is_task_of(task, cython.cast(u64, cpu)):
            continue
        held: list = []
        for j in range(NR_DOWNED):
            entry = atomic64_load(cython.address(task.downed[j]))
            if entry == 0:
                continue
            words = sleeping_lock_words(entry & ~cython.cast(u64, 7))
            enter()
            entry = settled(task, j)
            given: cython.bint = entry != 0 and give_up(entry, task)
            leave()
            if given:
                held.append(words)
        enter()
        leave_queue_of(task)
        atomic64_store(cython.address(task.state), TASK_FREE)
        leave()
        buried.append((task.pid, task.name.decode("ascii", "replace"), held))
    return buried


def is_task_of(task, cpu):
    """Whether a task_struct is taken for a task of `cpu`: queued, or only just taken."""
    state: u64 = atomic64_load(cython.address(task.state))
    if state > TASK_FREE:
        return (state >> TASK_NEW_SHIFT) == cpu + 1
    return state != TASK_FREE and task.cpu == cpu


def leave_queue_of(task):
    """Take a dead task off the wait queue that it is on."""
    queue: cython.pointer[wait_queue_head] = cython.cast(
        cython.pointer[wait_queue_head], task.wait_queue
    )
    flags: u64
    if queue == cython.NULL:
        return
    flags = raw_spin_lock_irqsave(cython.address(queue.lock), 0)
    if task.wait_queue == cython.cast(u64, queue):
        dequeue_waiter(queue, task)
    raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)


def settled(task, j):
    """Return a note of a dead task, 0 when the lock was not taken or is given back."""
    note: u64 = atomic64_load(cython.address(task.downed[j]))
    queue: cython.pointer[wait_queue_head]
    flags: u64
    if note & DOWNED_MOVING:
        # It died with the queue's lock, or nobody has taken that from it since.
        queue = cython.cast(cython.pointer[wait_queue_head], note & ~cython.cast(u64, 7))
        if queue.lock.magic != LOCK_MAGIC:
            return 0
        flags = raw_spin_lock_irqsave(cython.address(queue.lock), 0)
        raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)
        note = atomic64_load(cython.address(task.downed[j]))
    # The time at which it took the lock may not have been written: its hold is not counted.
    task.downed_ns[j] = 0
    return note


def give_up(entry, task):
    """Give back what a dead task held by one note of its `downed` list; true if it held it."""
    lock: u64 = entry & ~cython.cast(u64, 7)
    sem: cython.pointer[semaphore] = cython.cast(cython.pointer[semaphore], lock)
    rwsem: cython.pointer[rw_semaphore] = cython.cast(cython.pointer[rw_semaphore], lock)
    number: u32 = task_number(task)
    if sem.magic == SEM_MAGIC:
        if sem.initial == 1 and sem.downer != number:
            return False
        if sem.count >= cython.cast(cython.int, sem.initial):
            return False
        up_common(sem, task)
        return True
    if rwsem.magic == RWSEM_MAGIC:
        if entry & DOWNED_READ:
            if rwsem.count <= 0:
                return False
            up_read_common(rwsem, task)
            return True
        if rwsem.count >= 0 or rwsem.downer != number:
            return False
        up_write_common(rwsem)
        return True
    return False


def recover_queues() -> None:
    """Rebuild every live CPU's run queue and wake sleepers that look again; after a death."""
    i: cython.int
    t: cython.pointer[task_struct]
    flags: u64
    enter()
    for i in range(NR_CPUS):
        if cpu_areas[i].state == CPU_ONLINE:
            flags = raw_spin_lock_irqsave(cython.address(runqueues[i].lock), 0)
            recover_runqueue(cython.address(runqueues[i].lock))
            raw_spin_unlock_irqrestore(cython.address(runqueues[i].lock), flags)
            if cpu_areas[i].nr_queued != 0:
                kick(cython.address(cpu_areas[i]))
    for i in range(NR_TASKS):
        t = cython.address(tasks[i])
        if t.state != TASK_FREE and t.wait_queue != 0 and t.wait_flags & WAIT_RECHECKS:
            wake_up_process(t)
    leave()
