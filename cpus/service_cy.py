"""Service threads of the kernel itself (kswapd, bdflush): they run on any CPU.

A task never leaves its CPU: its greenlet is a stack of that process. A service thread keeps
all of its state in RAM, so in its one sleep (PF_PARKED) nothing of it is a CPU's: whichever
CPU picks it goes on with a greenlet of its own, that begins there or sleeps there since it
last had it. It is woken on an idle CPU when its own is busy (runqueue_cy), and a CPU that goes
idle takes one that still waits for its turn elsewhere.

The word of a service names its task. When that has died with its CPU, a new one claims it.
"""

import cython
from cython.cimports.cpus.atomic import atomic64_cmpxchg, atomic64_fetch_and, atomic64_load
from cython.cimports.cpus.percpu_cy import enter, leave, this_cpu
from cython.cimports.cpus.runqueue_cy import recover_runqueue, rq_append, runqueue, runqueues
from cython.cimports.cpus.spinlock_cy import raw_spin_lock_irqsave, raw_spin_unlock_irqrestore
from cython.cimports.cpus.task_cy import (
    PF_PARKED,
    RQ_NOT,
    RQ_QUEUED,
    TASK_RUNNING,
    current_task,
    task_number,
    task_of_number,
)

from cpus import segment_cy as segment_module


def regions(config: object) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {"services": NR_SERVICES * 8}


def attach(config: object) -> None:
    """Find this module's region in the attached segment."""
    global services
    at: cython.ulonglong = segment_module.region_address("services")
    services = cython.cast(cython.pointer[u64], at)


def claim(number: cython.int) -> bool:
    """Make the running task the service thread `number`; false when that lives already."""
    task: cython.pointer[task_struct]
    old: u64
    mine: cython.bint
    enter()
    task = current_task()
    old = atomic64_load(cython.address(services[number]))
    mine = old == task_number(task)
    if not mine and task_of_number(cython.cast(u32, old)) == cython.NULL:
        mine = atomic64_cmpxchg(
            cython.address(services[number]), old, task_number(task)
        ) == old  # fmt: skip
    if mine:
        atomic64_fetch_and(cython.address(task.flags), ~cython.cast(u64, PF_PARKED))
    leave()
    return mine


def lives(number: cython.int) -> bool:
    """Whether there is a task that is the service thread `number`."""
    return task_of_number(cython.cast(u32, services[number])) != cython.NULL


def service_of(at: cython.ulonglong) -> int:
    """Return which service thread the task at a native address is, -1 for none."""
    i: cython.int
    number: u64 = identity(at)
    for i in range(NR_SERVICES):
        if services[i] == number:
            return i
    return -1


def identity(at: cython.ulonglong) -> int:
    """Return the number of the task at a native address: its struct may be another's later."""
    return task_number(cython.cast(cython.pointer[task_struct], at))


def pull_service() -> bool:
    """Take a service thread that waits for another CPU to this one, which would go idle."""
    i: cython.int
    task: cython.pointer[task_struct]
    pulled: cython.bint = False
    for i in range(NR_SERVICES):
        if services[i] == 0:
            continue
        task = task_of_number(cython.cast(u32, services[i]))
        if task != cython.NULL and task.on_rq == RQ_QUEUED and task.flags & PF_PARKED:
            enter()
            pulled = pull(task, this_cpu.number)
            leave()
            if pulled:
                break
    return pulled


def pull(task, cpu):
    """Move a queued, parked service thread to the run queue of `cpu`; false if it is gone."""
    old: u64 = task.cpu
    moved: cython.bint = False
    rq: cython.pointer[runqueue] = cython.address(runqueues[old])
    if old == cpu:
        return False
    flags: u64 = raw_spin_lock_irqsave(cython.address(rq.lock), 0)
    if task.cpu == old and task.on_rq == RQ_QUEUED and task.flags & PF_PARKED:
        # Running and on no list: whoever repairs the queue of its new CPU queues it.
        task.on_rq = RQ_NOT
        task.cpu = cpu
        recover_runqueue(cython.address(rq.lock))
        moved = True
    raw_spin_unlock_irqrestore(cython.address(rq.lock), flags)
    if not moved:
        return False
    rq = cython.address(runqueues[cpu])
    flags = raw_spin_lock_irqsave(cython.address(rq.lock), 0)
    if task.on_rq == RQ_NOT and atomic64_load(cython.address(task.state)) == TASK_RUNNING:
        rq_append(rq, task)
    raw_spin_unlock_irqrestore(cython.address(rq.lock), flags)
    return True
