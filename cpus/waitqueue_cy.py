"""Wait queues as the kernel's own sleepers use them; `wait_cy` has the drivers' calls.

`task_struct.wait_queue` says on which queue a task is; the queue's links are an index, rebuilt
from the tasks by who takes a dead process's lock over. A sleeping lock begins with its queue:
what the dead process noted of it is settled then. Lock order: wait queue lock, run queue
lock.
"""

import cython
from cython.cimports.cpus.atomic import (
    atomic64_fetch_add,
    atomic64_load,
    atomic64_store,
    unlikely,
)
from cython.cimports.cpus.callsite_cy import call_site
from cython.cimports.cpus.percpu_cy import enter_quietly, leave, this_cpu
from cython.cimports.cpus.runqueue_cy import try_to_wake_up
from cython.cimports.cpus.spinlock_cy import (
    CLASS_SPIN,
    LOCK_MAGIC,
    RECOVER_WAIT_QUEUE,
    lock_class_named,
    raw_spin_lock_irqsave,
    raw_spin_unlock_irqrestore,
    register_recovery,
    spinlock_init,
)
from cython.cimports.cpus.task_cy import (
    DOWNED_MOVING,
    NR_DOWNED,
    NR_TASKS,
    TASK_FREE,
    TASK_INTERRUPTIBLE,
    TASK_RUNNING,
    TASK_UNINTERRUPTIBLE,
    current_task,
    task_struct,
    tasks,
)

from cpus import segment_cy as segment_module


def regions(config: object) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {"wait_queues": cython.sizeof(wait_queue_globals)}


def attach(config: object) -> None:
    """Find this module's region in the attached segment."""
    global wait_queues
    at: cython.ulonglong = segment_module.region_address("wait_queues")
    wait_queues = cython.cast(cython.pointer[wait_queue_globals], at)
    register_recovery(RECOVER_WAIT_QUEUE, recover_wait_queue)


def init(config: object) -> None:
    """Enter the lock class of queues that have no name; the monitor, once."""
    wait_queues.wait_seq = 0
    wait_queues.queue_class = wait_queue_class(b"wait_queue_lock")


def wait_queue_class(name):
    return lock_class_named(name, CLASS_SPIN, RECOVER_WAIT_QUEUE)


def init_wait_queue(queue, class_):
    spinlock_init(cython.address(queue.lock), class_)
    queue.first = 0
    queue.last = 0


def prepare_to_wait(queue, state, exclusive):
    task: cython.pointer[task_struct] = current_task()
    flags: u64
    site: u32
    if task == cython.NULL:
        return
    site = call_site()
    task.waiting_site = site
    if task.wait_queue != 0 and task.wait_queue != cython.cast(u64, queue):
        # A condition that slept itself: it is looked at again, so the outer queue is left.
        finish_wait(cython.cast(cython.pointer[wait_queue_head], task.wait_queue))
    flags = raw_spin_lock_irqsave(cython.address(queue.lock), site)
    if task.wait_queue == 0:
        enqueue_waiter(queue, task, WAIT_RECHECKS | (WAIT_EXCLUSIVE if exclusive else 0))
    atomic64_store(cython.address(task.state), state)
    raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)


def finish_wait(queue):
    task: cython.pointer[task_struct] = cython.cast(
        cython.pointer[task_struct], this_cpu.current
    )
    flags: u64
    if task == cython.NULL:
        return
    atomic64_store(cython.address(task.state), TASK_RUNNING)
    if task.wait_queue == cython.cast(u64, queue):
        flags = raw_spin_lock_irqsave(cython.address(queue.lock), 0)
        if task.wait_queue == cython.cast(u64, queue):
            dequeue_waiter(queue, task)
        raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)


def finish_wait_outside(queue):
    enter_quietly()
    finish_wait(queue)
    leave()


def wake_up_queue(queue, nr_exclusive):
    return wake_up_states(queue, nr_exclusive, TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE)


def wake_up_states(queue, nr_exclusive, states):
    woken: cython.int
    flags: u64
    if unlikely(queue.lock.magic != LOCK_MAGIC):
        return 0
    flags = raw_spin_lock_irqsave(cython.address(queue.lock), call_site())
    woken = wake_up_locked(queue, nr_exclusive, states)
    raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)
    return woken


def wake_up_locked(queue, nr_exclusive, states):
    at: u64 = queue.first
    task: cython.pointer[task_struct]
    exclusive: cython.bint
    woken: cython.int = 0
    while at != 0:
        task = cython.cast(cython.pointer[task_struct], at)
        at = task.wait_next
        exclusive = task.wait_flags & WAIT_EXCLUSIVE
        if try_to_wake_up(task, states):
            woken += 1
            if exclusive:
                nr_exclusive -= 1
                if nr_exclusive == 0:
                    break
    return woken


def enqueue_waiter(queue, task, flags):
    """Link a task into a queue: exclusive ones last, others first; with its lock held."""
    at: u64 = cython.cast(u64, task)
    task.wait_flags = flags
    task.wait_seq = atomic64_fetch_add(cython.address(wait_queues.wait_seq), 1)
    task.wait_queue = cython.cast(u64, queue)  # from here on it is on the queue
    if flags & WAIT_EXCLUSIVE:
        task.wait_next = 0
        task.wait_prev = queue.last
        if queue.last != 0:
            cython.cast(cython.pointer[task_struct], queue.last).wait_next = at
        else:
            queue.first = at
        queue.last = at
    else:
        task.wait_prev = 0
        task.wait_next = queue.first
        if queue.first != 0:
            cython.cast(cython.pointer[task_struct], queue.first).wait_prev = at
        else:
            queue.last = at
        queue.first = at


def dequeue_waiter(queue, task):
    """Take a task off a queue. The queue's lock is held."""
    if task.wait_prev != 0:
        cython.cast(cython.pointer[task_struct], task.wait_prev).wait_next = task.wait_next
    else:
        queue.first = task.wait_next
    if task.wait_next != 0:
        cython.cast(cython.pointer[task_struct], task.wait_next).wait_prev = task.wait_prev
    else:
        queue.last = task.wait_prev
    task.wait_next = 0
    task.wait_prev = 0
    task.wait_queue = 0  # off it for good


def recover_wait_queue(lock):
    """Rebuild the list of a wait queue from what the tasks say; its lock is ours."""
    settle_notes(cython.cast(u64, lock))
    queue: cython.pointer[wait_queue_head] = cython.cast(cython.pointer[wait_queue_head], lock)
    best: cython.pointer[task_struct]
    t: cython.pointer[task_struct]
    seq: u64
    above: u64 = 0
    i: cython.int
    queue.first = 0
    queue.last = 0
    while True:  # in the order of arrival; a queue is short
        best = cython.NULL
        for i in range(NR_TASKS):
            t = cython.address(tasks[i])
            if t.state != TASK_FREE and t.wait_queue == cython.cast(u64, queue):
                if t.wait_seq >= above and (best == cython.NULL or t.wait_seq < best.wait_seq):
                    best = t
        if best == cython.NULL:
            return
        seq = best.wait_seq
        enqueue_waiter(queue, best, best.wait_flags)
        best.wait_seq = seq
        above = seq + 1


def settle_notes(lock):
    """Decide whether who died in taking or giving back the sleeping lock holds it.

    Its queue's lock was the dead process's and is ours, so nobody has changed the count since.
    """
    count_word: cython.pointer[u64] = cython.cast(
        cython.pointer[u64], lock + cython.sizeof(wait_queue_head)
    )
    t: cython.pointer[task_struct]
    note: u64
    i: cython.int
    j: cython.int
    for i in range(NR_TASKS):
        t = cython.address(tasks[i])
        for j in range(NR_DOWNED):
            note = atomic64_load(cython.address(t.downed[j]))
            if (
                note & DOWNED_MOVING == 0
                or note & ~cython.cast(u64, 7) != lock
                or t.state == TASK_FREE
            ):
                continue
            if count_word[0] == t.downed_ns[j]:
                t.downed_ns[j] = 0
                note &= ~cython.cast(u64, DOWNED_MOVING)
            else:
                note = 0
            atomic64_store(cython.address(t.downed[j]), note)
