"""Tasks as kernel code sees them: current, schedule and their kin (linux/sched.h of 2.4)."""

import cython
from cython.cimports.cpus.atomic import atomic64_store
from cython.cimports.cpus.percpu_cy import enter, enter_sleeping, leave
from cython.cimports.cpus.runqueue_cy import schedule_inside, wake_up_process
from cython.cimports.cpus.segment_cy import header, machine_ns
from cython.cimports.cpus.task_cy import (
    PF_RESCHED,
    PF_SIGNALED,
    TASK_RUNNING,
    current_task,
    task_at_address,
    task_struct,
)
from cython.cimports.cpus.whole import whole

from cpus.handle_cy import Handle
from cpus.task_cy import task_info


class TaskHandle(Handle):
    """A task, as kernel code sees it: current() and what a `ptr` to a task means."""

    @property
    def pid(self) -> int:
        return task_info(self)["pid"]

    @property
    def comm(self) -> str:
        return task_info(self)["name"]

    @property
    def state(self) -> int:
        return task_info(self)["state"]

    @property
    def processor(self) -> int:
        return task_info(self)["cpu"]

    @property
    def uid(self) -> int:
        return task_info(self)["uid"]

    @property
    def euid(self) -> int:
        return task_info(self)["uid"]


def current() -> object:
    """Return the running task; None in an interrupt's process or when the CPU is idle.

    Any context.
    """
    enter()
    task: cython.pointer[task_struct] = current_task()
    address: u64 = 0 if task == cython.NULL else task.address
    leave()
    return None if address == 0 else TaskHandle.handle_at(address)


def signal_pending(task: object = None) -> bool:
    """Return whether a signal waits for the running task, or for `task`. Any context."""
    address: u64 = 0 if task is None else int(task)
    enter()
    t: cython.pointer[task_struct] = (
        current_task() if address == 0 else task_at_address(address)
    )
    pending: cython.bint = t != cython.NULL and t.flags & PF_SIGNALED != 0
    leave()
    return pending


def set_current_state(state: object) -> None:
    """Write the running task's state, before it looks at its condition and schedules.

    Task context.
    """
    c_state: u64 = cython.cast(u64, whole(state, b"set_current_state", b"state"))
    enter()
    task: cython.pointer[task_struct] = current_task()
    if task != cython.NULL:
        atomic64_store(cython.address(task.state), c_state)
    leave()


def schedule() -> None:
    """Give the CPU to another task; sleep if the state says so. May sleep."""
    enter_sleeping(b"schedule")
    schedule_inside(0)
    leave()


def cond_resched() -> None:
    """Let others run if somebody asked for it meanwhile (need_resched); may sleep.

    For the loops of kernel threads: nobody takes the CPU from kernel code.
    """
    enter_sleeping(b"schedule")
    task: cython.pointer[task_struct] = current_task()
    if task != cython.NULL and task.flags & PF_RESCHED:
        atomic64_store(cython.address(task.state), TASK_RUNNING)
        schedule_inside(0)
    leave()


def yield_() -> None:
    """Let the other tasks of this CPU run first. May sleep."""
    enter_sleeping(b"yield")
    schedule_inside(0)
    leave()


def schedule_timeout(ticks: object) -> int:
    """Sleep as the state says, at most `ticks`; returns the ticks that are left. May sleep.

    With 0 ticks the others run first; with less it does not sleep.
    """
    c_ticks: cython.longlong = whole(ticks, b"schedule_timeout", b"ticks")
    enter_sleeping(b"schedule_timeout")
    left: cython.longlong = c_ticks
    tick_ns: u64 = 1000000000 // cython.cast(u64, header.hz)
    end: u64
    now: u64
    if c_ticks >= 0x7FFFFFFF:
        schedule_inside(0)
    elif c_ticks > 0:
        end = machine_ns() + cython.cast(u64, c_ticks) * tick_ns
        schedule_inside(cython.cast(u64, c_ticks) * tick_ns)
        now = machine_ns()
        left = (
            cython.cast(cython.longlong, (end - now + tick_ns - 1) // tick_ns)
            if now < end
            else 0
        )
    else:
        left = 0
        if c_ticks == 0:
            schedule_inside(1)
    task: cython.pointer[task_struct] = current_task()
    if task != cython.NULL:
        atomic64_store(cython.address(task.state), TASK_RUNNING)
    leave()
    return left


def wake_up_task(task: object) -> int:
    """Wake a task by its handle (wake_up_process); 1 if it slept. Any context."""
    address: u64 = int(task)
    enter()
    t: cython.pointer[task_struct] = task_at_address(address)
    woken: cython.bint = t != cython.NULL and wake_up_process(t)
    leave()
    return woken
