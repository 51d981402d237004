"""The tasklets of a CPU that died: what it had half done is completed, a live CPU gets them.

The monitor does it, at once: it is one process, and when it is killed the machine ends. So
nothing is left half-way between two CPUs, whichever of them is killed next, and no tasklet is
on two lists.
"""

import cython
from cython.cimports.cpus.atomic import (
    atomic32_cmpxchg,
    atomic32_load,
    atomic64_cmpxchg,
    atomic64_fetch_or,
    atomic64_load,
)
from cython.cimports.cpus.percpu_cy import PENDING_SOFTIRQ, cpu_areas, set_pending
from cython.cimports.interrupts.softirq_cy import HI_SOFTIRQ, TASKLET_SOFTIRQ
from cython.cimports.interrupts.tasklet_cy import (
    TASKLET_BEGUN,
    TASKLET_RUNNER,
    TASKLET_RUNNER_SHIFT,
    TASKLET_STATE_RUN,
    TASKLET_STATE_SCHED,
    end_run,
    finish_push,
    link,
    tasklet_head,
    tasklet_struct,
    tasklets,
)


def adopt_tasklets(cpu: cython.uint, heir: cython.uint) -> int:
    """Hand the tasklets of a dead CPU to one that lives; returns how many. The monitor only.

    O(tasklets of the dead CPU, squared when it died as it took those of another).
    """
    head: cython.pointer[tasklet_head] = cython.address(tasklets.heads[cpu])
    own: cython.pointer[tasklet_head] = cython.address(tasklets.heads[heir])
    which: cython.int
    n: cython.int = 0
    for which in range(2):
        drop_overlap(head, which)
    finish_push(head, cpu)
    finish_taking(head, cpu)
    for which in range(2):
        n += hand_over(cython.address(head.running[which]), own, which)
        n += hand_over(cython.address(head.list[which]), own, which)
        n += hand_over(cython.address(head.adopted[which]), own, which)
        if own.adopted[which] != 0:
            atomic64_fetch_or(
                cython.address(cpu_areas[heir].softirq_pending),
                cython.cast(u64, 1) << (TASKLET_SOFTIRQ if which else HI_SOFTIRQ),
            )
            set_pending(cython.address(cpu_areas[heir]), PENDING_SOFTIRQ)
    return n


def drop_overlap(head, which):
    """Empty `running` if the CPU died in take_list, between the stores of the two lists."""
    first: u64 = head.running[which]
    if first != 0 and (is_on(head.list[which], first) or is_on(head.adopted[which], first)):
        head.running[which] = 0


def is_on(first, t):
    """Whether a tasklet is on the list that begins with `first`."""
    while first != 0 and first != t:
        first = cython.cast(cython.pointer[tasklet_struct], first).next
    return first != 0


def finish_taking(head, cpu):
    """End what a dead CPU was doing with the tasklets of `taking` and `current`."""
    hi: cython.int = head.taking & 1
    which: cython.int = 0 if hi else 1
    at: u64 = head.taking & ~cython.cast(u64, 1)
    if at != 0:
        # Off `running` and not put back: it is on no list.
        if (
            due_again(cython.cast(cython.pointer[tasklet_struct], at), cpu)
            and head.running[which] != at
            and head.list[which] != at
        ):
            link(head, cython.cast(cython.pointer[tasklet_struct], at), hi)
        head.taking = 0
    if head.current != 0:
        end_run(cython.cast(cython.pointer[tasklet_struct], head.current), cpu)
        head.current = 0


def due_again(t, cpu):
    """Put a tasklet back to what it was before a dead CPU took it; false: others have it.

    Its function had not been called. If SCHED is set again since it was BEGUN, it is on the
    list of whoever did that.
    """
    ours: u32 = (cython.cast(u32, cpu) + 1) << TASKLET_RUNNER_SHIFT
    state: u32
    free: u32
    while True:
        state = atomic32_load(cython.address(t.state))
        if state & TASKLET_RUNNER != ours:
            return True
        free = state & ~cython.cast(u32, TASKLET_STATE_RUN | TASKLET_BEGUN | TASKLET_RUNNER)
        if (
            atomic32_cmpxchg(cython.address(t.state), state, free | TASKLET_STATE_SCHED)
            == state
        ):
            return state & TASKLET_BEGUN == 0 or state & TASKLET_STATE_SCHED == 0


def hand_over(from_, to, which):
    """Move a list of a dead CPU to what another one has adopted; returns how many."""
    t: cython.pointer[tasklet_struct]
    first: u64
    n: cython.int = 0
    while from_[0] != 0:
        t = cython.cast(cython.pointer[tasklet_struct], from_[0])
        from_[0] = t.next
        while True:
            first = atomic64_load(cython.address(to.adopted[which]))
            t.next = first
            if (
                atomic64_cmpxchg(cython.address(to.adopted[which]), first, cython.cast(u64, t))
                == first
            ):
                break
        n += 1
    return n
