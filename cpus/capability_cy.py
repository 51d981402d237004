"""Capabilities: what the running task's user may do (capable() of linux/sched.h).

A task has a user id, given where it was started; 0 is the superuser, who has every capability,
and nobody else has one. Kernel threads and an idle CPU are the superuser's. An interrupt asks
about the task that it interrupted, as `current` there does.

Left out: capability sets of a task, set-uid programs, securebits.
"""

import cython
from cython.cimports.cpus.percpu_cy import enter, leave, this_cpu
from cython.cimports.cpus.task_cy import task_struct
from cython.cimports.cpus.whole import whole_int


def capable_inside():
    task: cython.pointer[task_struct] = cython.cast(
        cython.pointer[task_struct], this_cpu.current
    )
    return task == cython.NULL or task.uid == 0


def capable(capability: object) -> bool:
    """Return whether the running task has a capability (CAP_*). Any context."""
    c_capability: cython.int = whole_int(capability, b"capable", b"capability")
    enter()
    able: cython.bint = 0 <= c_capability <= CAP_LAST and capable_inside()
    leave()
    return able
