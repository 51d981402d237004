"""The end of a task, by itself or with its CPU."""

import cython
from cython.cimports.cpus.atomic import atomic64_store
from cython.cimports.cpus.percpu_cy import (
    CPU_ONLINE,
    cpu_areas,
    enter,
    enter_quietly,
    leave,
    this_cpu,
)
from cython.cimports.cpus.runqueue_cy import kick, recover_runqueue, runqueues, wake_up_process
from cython.cimports.cpus.segment_cy import NR_CPUS
from cython.cimports.cpus.spinlock_cy import raw_spin_lock_irqsave, raw_spin_unlock_irqrestore
from cython.cimports.cpus.task_cy import NR_TASKS, TASK_FREE, task_struct, tasks
from cython.cimports.cpus.waitqueue_cy import WAIT_RECHECKS, finish_wait, wait_queue_head


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
