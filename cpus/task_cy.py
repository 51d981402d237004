"""The table of tasks in the segment: what a task is, and who it is.

A task_struct is free, or belongs to one CPU, which its task never leaves. `runqueue_cy` has
the rules of running and sleeping, `waitqueue_cy` the queues of sleepers, `exit_cy` the end.
"""

import cython
from cython.cimports.cpus.atomic import (
    atomic64_cmpxchg,
    atomic64_fetch_add,
    atomic64_fetch_and,
    atomic64_fetch_or,
)
from cython.cimports.cpus.event_cy import TASK_PID_WORD
from cython.cimports.cpus.percpu_cy import this_cpu
from cython.cimports.cpus.segment_cy import machine_ns
from cython.cimports.cpus.spinlock_cy import (
    CLASS_SPIN,
    RECOVER_NOTHING,
    lock_class_named,
    spinlock_init,
)
from cython.cimports.libc.string import memset, strncpy

from cpus import segment_cy as segment_module

if (
    cython.cast(
        cython.ulonglong, cython.address(cython.cast(cython.pointer[task_struct], 0).pid)
    )
    != TASK_PID_WORD * 8
):
    raise ImportError("event_cy.TASK_PID_WORD is not the place of task_struct.pid")


def regions(config: object) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {
        "tasks": NR_TASKS * cython.sizeof(task_struct),
        "task_globals": cython.sizeof(task_globals),
    }


def attach(config: object) -> None:
    """Find this module's regions in the attached segment."""
    global tasks, globals_
    at: cython.ulonglong = segment_module.region_address("tasks")
    tasks = cython.cast(cython.pointer[task_struct], at)
    at = segment_module.region_address("task_globals")
    globals_ = cython.cast(cython.pointer[task_globals], at)


def init(config: object) -> None:
    """Make every task free; the monitor, once."""
    i: cython.int
    memset(globals_, 0, cython.sizeof(task_globals))
    for i in range(NR_TASKS):
        memset(cython.address(tasks[i]), 0, cython.sizeof(task_struct))
        tasks[i].state = TASK_FREE
    globals_.last_kthread_pid = 1
    spinlock_init(
        cython.address(globals_.cycle_lock),
        lock_class_named(b"sleepers_lock", CLASS_SPIN, RECOVER_NOTHING),
    )


def set_handles(address: cython.ulonglong) -> None:
    """Say where the task handles' kernel addresses begin: 16 bytes for each of NR_TASKS."""
    globals_.handles = address


def handles_bytes() -> int:
    """Return how much of the address space the tasks' handles take."""
    return NR_TASKS * 16


def task_of_number(number):
    task: cython.pointer[task_struct]
    index: u32 = number & 0x7FF
    if index == 0 or index > NR_TASKS:
        return cython.NULL
    task = cython.address(tasks[index - 1])
    # The struct may be another task's by now: one that ended with a semaphore holds none.
    if task_number(task) != number or task.state == TASK_FREE:
        return cython.NULL
    return task


def signal_pending_inside():
    task: cython.pointer[task_struct] = current_task()
    return task != cython.NULL and task.flags & PF_SIGNALED != 0


def create_task(
    pid: cython.ulonglong,
    flags: cython.ulonglong,
    name: str,
    number: cython.ulonglong = 0,
    uid: cython.ulonglong = 0,
) -> int:
    """Take a task_struct for this CPU; returns its native address, 0 when all are taken."""
    encoded: bytes = name.encode()
    i: cython.int
    t: cython.pointer[task_struct]
    # Whose it is stands in the word that takes it: `cpu` is still that of the last task.
    taken: u64 = TASK_NEW | (this_cpu.number + 1) << TASK_NEW_SHIFT
    for i in range(NR_TASKS):
        t = cython.address(tasks[i])
        if t.state != TASK_FREE:
            continue
        if atomic64_cmpxchg(cython.address(t.state), TASK_FREE, taken) != TASK_FREE:
            continue
        fill_task(t, pid, flags, number)
        t.uid = uid
        strncpy(t.name, encoded, 15)
        return cython.cast(cython.ulonglong, t)
    return 0


def fill_task(t, pid, flags, number):
    """Give a taken task_struct its first values; its state stays: others read it."""
    generation: u64 = (t.generation + 1) & 0x1FFFFF
    memset(cython.address(t.on_rq), 0, cython.sizeof(task_struct) - cython.sizeof(u64))
    t.generation = generation
    t.cpu = this_cpu.number
    t.pid = pid
    t.flags = flags
    t.number = number
    t.started_ns = machine_ns()
    t.address = cython.cast(u64, t)
    if globals_.handles != 0:
        t.address = globals_.handles + cython.cast(u64, t - tasks) * 16


def new_kthread_pid() -> int:
    """Return the next pid of a kernel thread."""
    return atomic64_fetch_add(cython.address(globals_.last_kthread_pid), 1) + 1


def current_at() -> int:
    """Return the native address of this CPU's task, 0 when it is idle; outside of any call."""
    return this_cpu.current


def task_words(at: cython.ulonglong) -> tuple:
    """Return (pid, flags, depth, number) of the task at a native address."""
    t: cython.pointer[task_struct] = cython.cast(cython.pointer[task_struct], at)
    return t.pid, t.flags, t.depth, t.number


def change_flags(
    at: cython.ulonglong, set_: cython.ulonglong, clear: cython.ulonglong
) -> None:
    """Set and clear flags (PF_*) of the task at a native address."""
    t: cython.pointer[task_struct] = cython.cast(cython.pointer[task_struct], at)
    atomic64_fetch_or(cython.address(t.flags), set_)
    atomic64_fetch_and(cython.address(t.flags), ~clear)


def task_at_address(address):
    """Return the task of a handle's address, NULL for none."""
    index: u64
    if globals_.handles != 0:
        index = (address - globals_.handles) // 16
    else:
        index = (address - cython.cast(u64, tasks)) // cython.sizeof(task_struct)
    if index >= NR_TASKS or tasks[index].address != address:
        return cython.NULL
    return cython.address(tasks[index])


def task_info(task: object) -> dict:
    """Return the words of a task, by its handle or its address; empty when there is none."""
    t: cython.pointer[task_struct] = task_at_address(int(task))
    return {} if t == cython.NULL else task_record(cython.cast(cython.ulonglong, t))


def task_record(at: cython.ulonglong) -> dict:
    """Return the words of the task at a native address."""
    t: cython.pointer[task_struct] = cython.cast(cython.pointer[task_struct], at)
    return {
        "pid": t.pid, "name": t.name.decode("ascii", "replace"), "state": t.state, "cpu":
        t.cpu, "on_rq": t.on_rq, "flags": t.flags, "depth": t.depth, "address": t.address,
        "wait_queue": t.wait_queue, "waiting_for": t.waiting_for, "waiting_site":
        t.waiting_site, "wake_ns": t.wake_ns, "nr_asked": t.nr_asked, "nr_faults": t.nr_faults,
        "number": t.number, "uid": t.uid, "at": at,
    }  # fmt: skip


def all_tasks() -> list:
    """Return the words of every task that lives, for reports and the monitor."""
    return [
        task_record(cython.cast(cython.ulonglong, cython.address(tasks[i])))
        for i in range(NR_TASKS)
        if tasks[i].state != TASK_FREE
    ]


def describe_current() -> tuple:
    """Return (name, pid) of the task of this CPU, for reports; outside of any call."""
    at: u64 = this_cpu.current
    if at == 0:
        return ("swapper", 0)
    t: cython.pointer[task_struct] = cython.cast(cython.pointer[task_struct], at)
    return t.name.decode("ascii", "replace"), t.pid
