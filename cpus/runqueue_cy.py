"""Run queues: which task runs, which may run, which sleeps.

The rules of kernel/sched.c of 2.4. A task that will sleep writes its state first, then looks
at its condition, then schedules; a waker changes what the condition reads, then takes the run
queue lock and looks at the state. So of the two, at least one sees the other.

1. try_to_wake_up: the state becomes TASK_RUNNING; a task that is off the queue is queued.
2. schedule_inside: a task whose state is TASK_RUNNING goes to the end of the queue, else off
   it; then the registered scheduler switches greenlets. A task never leaves its CPU, but for
   a service thread in its sleep (service_cy): that is woken on an idle one.
3. Killed in between: `state` and `on_rq` are the truth, the list is rebuilt from them by who
   takes the dead process's lock over.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import (
    atomic64_fetch_add,
    atomic64_fetch_and,
    atomic64_fetch_or,
    atomic64_load,
    atomic64_store,
    unlikely,
)
from cython.cimports.cpus.event_cy import EVENT_SWITCH, trace_event
from cython.cimports.cpus.kill_cy import KILL_TASK_SLEEP, KILL_TASK_WAKE, kill_point
from cython.cimports.cpus.percpu_cy import (
    CPU_ONLINE,
    PENDING_RESCHED,
    cpu_area,
    cpu_areas,
    enter,
    enter_quietly,
    leave,
    set_pending,
    this_cpu,
    wake_cpu,
)
from cython.cimports.cpus.segment_cy import NR_CPUS, machine_ns
from cython.cimports.cpus.spinlock_cy import (
    CLASS_SPIN,
    RECOVER_RUNQUEUE,
    lock_class_named,
    raw_spin_lock_irqsave,
    raw_spin_unlock_irqrestore,
    register_recovery,
    spinlock_init,
)
from cython.cimports.cpus.task_cy import (
    NR_TASKS,
    PF_KILLED,
    PF_KTHREAD,
    PF_PARKED,
    PF_RESCHED,
    PF_SIGNALED,
    RQ_CURRENT,
    RQ_NOT,
    RQ_QUEUED,
    TASK_FREE,
    TASK_INTERRUPTIBLE,
    TASK_RUNNING,
    TASK_UNINTERRUPTIBLE,
    current_task,
    task_struct,
    tasks,
)
from cython.cimports.libc.string import memset

from cpus import segment_cy as segment_module

# The scheduler of this process: function(wake_ns), called outside of any call; it comes back
# when the task runs again, or raises when the task is to end.
switch_hook: object = None


def set_switch_hook(hook: object) -> None:
    """Register this process's scheduler: hook(wake_ns) switches to another task."""
    global switch_hook
    switch_hook = hook


def regions(config: object) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {"runqueues": NR_CPUS * cython.sizeof(runqueue)}


def attach(config: object) -> None:
    """Find this module's region in the attached segment."""
    global runqueues, last_pid
    last_pid = 0
    at: cython.ulonglong = segment_module.region_address("runqueues")
    runqueues = cython.cast(cython.pointer[runqueue], at)
    register_recovery(RECOVER_RUNQUEUE, recover_runqueue)


def init(config: object) -> None:
    """Make every run queue empty; the monitor, once."""
    i: cython.int
    class_: u16 = lock_class_named(b"runqueue_lock", CLASS_SPIN, RECOVER_RUNQUEUE)
    for i in range(NR_CPUS):
        memset(cython.address(runqueues[i]), 0, cython.sizeof(runqueue))
        spinlock_init(cython.address(runqueues[i].lock), class_)


def wake_up_process(task):
    return try_to_wake_up(task, TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE)


def try_to_wake_up(task, states):
    cpu: u64 = task.cpu
    rq: cython.pointer[runqueue] = cython.address(runqueues[cpu])
    woken: cython.bint = False
    queued: cython.bint = False
    moved: cython.bint = False
    flags: u64 = raw_spin_lock_irqsave(cython.address(rq.lock), 0)
    while unlikely(task.cpu != cpu or (task.flags & PF_PARKED and moves(task, moved))):
        # Asleep it is on no list: its CPU is a word, which the old one's lock guards.
        moved = moved or task.cpu != cpu
        raw_spin_unlock_irqrestore(cython.address(rq.lock), flags)
        cpu = task.cpu
        rq = cython.address(runqueues[cpu])
        flags = raw_spin_lock_irqsave(cython.address(rq.lock), 0)
    if atomic64_load(cython.address(task.state)) & states and task.state != TASK_FREE:
        woken = True
        atomic64_store(cython.address(task.state), TASK_RUNNING)
        kill_point(KILL_TASK_WAKE)
        if task.on_rq == RQ_NOT:
            rq_append(rq, task)
            queued = True
    raw_spin_unlock_irqrestore(cython.address(rq.lock), flags)
    if queued:
        kick(cython.address(cpu_areas[cpu]))
    return woken


def moves(task, again):
    """Give a sleeping service thread a better CPU; true if it has another one now.

    `again`: it has moved already, and stays unless its new CPU has died meanwhile.
    """
    cpu: u64 = task.cpu
    target: u64 = cpu
    if task.on_rq != RQ_NOT or atomic64_load(cython.address(task.state)) == TASK_RUNNING:
        return False
    if not again:
        target = better_cpu(cpu)
    elif cpu_areas[cpu].state != CPU_ONLINE:
        target = this_cpu.number
    task.cpu = target
    return target != cpu


def better_cpu(cpu):
    """Return an idle CPU for a service thread whose own one is busy, else that one."""
    c: cython.pointer[cpu_area] = cython.address(cpu_areas[cpu])
    i: u64
    if atomic64_load(cython.address(c.current)) == 0:
        return cpu
    for i in range(segment_cy.header.nr_cpus):
        c = cython.address(cpu_areas[i])
        if (
            c.state == CPU_ONLINE
            and atomic64_load(cython.address(c.halted)) != 0
            and atomic64_load(cython.address(c.current)) == 0
            and atomic64_load(cython.address(c.nr_queued)) == 0
        ):
            return i
    return cpu


def rq_append(rq, task):
    """Put a task at the end of its run queue; the queue's lock is held."""
    rq_link(rq, task)
    atomic64_fetch_add(cython.address(cpu_areas[task.cpu].nr_queued), 1)


def rq_link(rq, task):
    """Link a task behind the others of a run queue; whoever calls counts it."""
    last: cython.pointer[task_struct] = cython.cast(cython.pointer[task_struct], rq.last)
    task.on_rq = RQ_QUEUED
    task.rq_next = 0
    if last != cython.NULL:
        last.rq_next = cython.cast(u64, task)
    else:
        rq.first = cython.cast(u64, task)
    rq.last = cython.cast(u64, task)


def rq_insert_first(rq, task):
    """Put a task before all others of its run queue; the queue's lock is held."""
    task.on_rq = RQ_QUEUED
    task.rq_next = rq.first
    rq.first = cython.cast(u64, task)
    if rq.last == 0:
        rq.last = cython.cast(u64, task)
    atomic64_fetch_add(cython.address(cpu_areas[task.cpu].nr_queued), 1)


def kick(cpu):
    """Have a CPU look at its run queue: wake it, or make its task give way."""
    if atomic64_load(cython.address(cpu.current)) != 0:
        set_pending(cpu, PENDING_RESCHED)
    else:
        wake_cpu(cpu)


def schedule_inside(timeout_ns):
    task: cython.pointer[task_struct] = cython.cast(
        cython.pointer[task_struct], this_cpu.current
    )
    rq: cython.pointer[runqueue]
    wake_ns: u64
    flags: u64
    if task == cython.NULL or switch_hook is None:
        return 0
    if task.state == TASK_INTERRUPTIBLE and task.flags & PF_SIGNALED:
        atomic64_store(cython.address(task.state), TASK_RUNNING)
        return 0
    if task.flags & PF_RESCHED:
        atomic64_fetch_and(cython.address(task.flags), ~cython.cast(u64, PF_RESCHED))
    wake_ns = machine_ns() + timeout_ns if timeout_ns != 0 else 0
    task.wake_ns = wake_ns
    rq = cython.address(runqueues[task.cpu])
    kill_point(KILL_TASK_SLEEP)
    flags = raw_spin_lock_irqsave(cython.address(rq.lock), 0)
    if task.state == TASK_RUNNING:
        rq_append(rq, task)
    else:
        task.on_rq = RQ_NOT
    atomic64_store(cython.address(this_cpu.current), 0)
    raw_spin_unlock_irqrestore(cython.address(rq.lock), flags)
    leave()
    switch_hook(wake_ns)
    enter()
    return 0


def pick_next(not_after_ns: cython.ulonglong = 0) -> int:
    """Take the first task off this CPU's queue and make it current; the scheduler only.

    Returns its native address; 0 when there is none, or when messages wait or a time-out at
    `not_after_ns` has come, so that the main loop must look at those first.
    """
    if not_after_ns != 0:
        if atomic64_load(cython.address(this_cpu.nr_messages)) != 0:
            return 0
        if not_after_ns != ~cython.cast(u64, 0) and machine_ns() >= not_after_ns:
            return 0
    if atomic64_load(cython.address(this_cpu.nr_queued)) == 0:
        return 0
    enter()
    rq: cython.pointer[runqueue] = cython.address(runqueues[this_cpu.number])
    flags: u64 = raw_spin_lock_irqsave(cython.address(rq.lock), 0)
    task: cython.pointer[task_struct] = cython.cast(cython.pointer[task_struct], rq.first)
    if task != cython.NULL:
        task.on_rq = RQ_CURRENT
        rq.first = task.rq_next
        if rq.first == 0:
            rq.last = 0
        task.rq_next = 0
        atomic64_fetch_add(cython.address(this_cpu.nr_queued), ~cython.cast(u64, 0))
        atomic64_fetch_and(
            cython.address(this_cpu.pending), ~cython.cast(u64, PENDING_RESCHED)
        )
        atomic64_store(cython.address(this_cpu.current), cython.cast(u64, task))
        this_cpu.nr_switches += 1
        note_switch(task.pid)
    raw_spin_unlock_irqrestore(cython.address(rq.lock), flags)
    # Not through enter's slow path again: the task passes it at its own next call.
    leave()
    return cython.cast(cython.ulonglong, task)


def note_switch(pid):
    """Record that this CPU goes from the task that ran last to another; 0 is its idle task."""
    global last_pid
    if pid != last_pid:
        trace_event(EVENT_SWITCH, last_pid, pid, 0, 0)
        last_pid = pid


def note_idle() -> None:
    """Record that this CPU goes idle, unless it is; its scheduler, before it halts."""
    if last_pid != 0:
        enter_quietly()
        note_switch(0)
        leave()


def preempt_current(always: bool = False) -> bool:
    """Queue the running task again, whatever its state, if another one is queued, or always.

    True when it did: the caller switches to another task. Outside of any call.
    """
    if not always and atomic64_load(cython.address(this_cpu.nr_queued)) == 0:
        return False
    enter_quietly()
    task: cython.pointer[task_struct] = cython.cast(
        cython.pointer[task_struct], this_cpu.current
    )
    rq: cython.pointer[runqueue] = cython.address(runqueues[this_cpu.number])
    flags: u64 = raw_spin_lock_irqsave(cython.address(rq.lock), 0)
    rq_append(rq, task)
    atomic64_store(cython.address(this_cpu.current), 0)
    raw_spin_unlock_irqrestore(cython.address(rq.lock), flags)
    leave()
    return True


def start_task(at: cython.ulonglong) -> None:
    """Put a new task on this CPU's run queue: the kernel's own before the others."""
    t: cython.pointer[task_struct] = cython.cast(cython.pointer[task_struct], at)
    enter()
    rq: cython.pointer[runqueue] = cython.address(runqueues[this_cpu.number])
    flags: u64 = raw_spin_lock_irqsave(cython.address(rq.lock), 0)
    atomic64_store(cython.address(t.state), TASK_RUNNING)
    if t.flags & PF_KTHREAD:
        rq_insert_first(rq, t)
    else:
        rq_append(rq, t)
    raw_spin_unlock_irqrestore(cython.address(rq.lock), flags)
    leave()


def wake_at(at: cython.ulonglong) -> None:
    """Wake the task at a native address: its time-out has come; its own process."""
    enter()
    wake_up_process(cython.cast(cython.pointer[task_struct], at))
    leave()


def signal_at(at: cython.ulonglong, kill: bool) -> None:
    """Send a signal to the task at a native address: interruptible sleeps end."""
    t: cython.pointer[task_struct] = cython.cast(cython.pointer[task_struct], at)
    enter_quietly()
    atomic64_fetch_or(cython.address(t.flags), PF_SIGNALED | (PF_KILLED if kill else 0))
    try_to_wake_up(t, TASK_INTERRUPTIBLE)
    leave()


def set_next_wake(ns: cython.ulonglong) -> None:
    """Say when this CPU's earliest time-out ends (machine_ns), 0 = none; its scheduler."""
    runqueues[this_cpu.number].next_wake_ns = ns


def change_depth(change):
    """Enter (1) or leave (-1) kernel code called by the kernel; returns the new depth.

    On leaving, the task gives way if it was asked to meanwhile, or ends at its next call if it
    was killed, and a signal is over.
    """
    depth: u64 = 0
    enter_quietly()
    t: cython.pointer[task_struct] = current_task()
    if t != cython.NULL:
        if change > 0 or t.depth > 0:
            t.depth += cython.cast(u64, change)
        depth = t.depth
        if depth == 0:
            if t.flags & (PF_RESCHED | PF_KILLED):
                set_pending(this_cpu, PENDING_RESCHED)
            atomic64_fetch_and(
                cython.address(t.flags), ~cython.cast(u64, PF_RESCHED | PF_SIGNALED)
            )
    leave()
    return depth


def recover_runqueue(lock):
    """Rebuild the list of a run queue from what its tasks say; its lock is ours."""
    rq: cython.pointer[runqueue] = cython.cast(cython.pointer[runqueue], lock)
    cpu: u64 = cython.cast(u64, rq - runqueues)
    i: cython.int
    t: cython.pointer[task_struct]
    on_rq: u64
    nr_queued: u64 = 0
    rq.first = 0
    rq.last = 0
    for i in range(NR_TASKS):
        t = cython.address(tasks[i])
        if atomic64_load(cython.address(t.state)) >= TASK_FREE or t.cpu != cpu:
            continue
        on_rq = atomic64_load(cython.address(t.on_rq))
        # One that is just being taken from the table has RQ_NOT, and a state to be read again.
        if on_rq == RQ_QUEUED or (
            on_rq == RQ_NOT and atomic64_load(cython.address(t.state)) == TASK_RUNNING
        ):
            rq_link(rq, t)
            nr_queued += 1
    # By one store: a CPU that looks meanwhile without the lock must not halt over a queue.
    atomic64_store(cython.address(cpu_areas[cpu].nr_queued), nr_queued)
