"""Tasks in the segment: table, run queues, wait queues, time-outs, signals.

The rules of kernel/sched.c of 2.4. A task that will sleep writes its state first, then looks
at its condition, then schedules; a waker changes what the condition reads, then takes the run
queue lock and looks at the state. So of the two, at least one sees the other.

1. try_to_wake_up: the state becomes TASK_RUNNING; a task that is off the queue is queued.
2. schedule_inside: a task whose state is TASK_RUNNING goes to the end of the queue, else off
it; then
   the registered scheduler switches greenlets. A task never leaves its CPU.
3. Killed in between: `state`, `on_rq` and `wait_queue` are the truth, the links of both queues
are
   rebuilt from them by who takes the dead process's lock over.

Lock order: wait queue lock, run queue lock.
"""

import cython
from cython.cimports.cpus.atomic import (
    atomic64_cmpxchg,
    atomic64_fetch_add,
    atomic64_fetch_and,
    atomic64_fetch_or,
    atomic64_load,
    atomic64_store,
    gate_publish,
    unlikely,
)
from cython.cimports.cpus.callsite_cy import call_site
from cython.cimports.cpus.event_cy import EVENT_SWITCH, TASK_PID_WORD, trace_event
from cython.cimports.cpus.kill_cy import KILL_TASK_SLEEP, KILL_TASK_WAKE, kill_point
from cython.cimports.cpus.percpu_cy import (
    CPU_ONLINE,
    HARDIRQ_MASK,
    KIND_CPU,
    PENDING_RESCHED,
    SOFTIRQ_MASK,
    cpu_areas,
    enter,
    enter_sleeping,
    leave,
    set_pending,
    stand_still_point,
    this_cpu,
    this_process,
    wake_cpu,
)
from cython.cimports.cpus.segment_cy import NR_CPUS, header, machine_ns
from cython.cimports.cpus.spinlock_cy import (
    CLASS_SPIN,
    LOCK_MAGIC,
    RECOVER_NOTHING,
    RECOVER_RUNQUEUE,
    RECOVER_WAIT_QUEUE,
    lock_class_named,
    raw_spin_lock_irqsave,
    raw_spin_unlock_irqrestore,
    register_recovery,
    spinlock_init,
)
from cython.cimports.libc.string import memset, strncpy

from cpus import segment_cy as segment_module
from cpus.handle_cy import Handle

# The scheduler of this process: function(wake_ns), called outside of any call; it comes back
# when the task runs again, or raises when the task is to end.
switch_hook: object = None

if (
    cython.cast(
        cython.ulonglong, cython.address(cython.cast(cython.pointer[task_struct], 0).pid)
    )
    != TASK_PID_WORD * 8
):
    raise ImportError("event_cy.TASK_PID_WORD is not the place of task_struct.pid")


def struct_bytes() -> dict:
    """Return the sizes of the structs that lie in drivers' memory, by name."""
    return {
        "wait_queue_head_t": cython.sizeof(wait_queue_head),
        "semaphore": cython.sizeof(semaphore),
        "rw_semaphore": cython.sizeof(rw_semaphore),
        "completion": cython.sizeof(completion),
    }


def regions(config: object) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {
        "tasks": NR_TASKS * cython.sizeof(task_struct),
        "runqueues": NR_CPUS * cython.sizeof(runqueue),
        "task_globals": cython.sizeof(task_globals),
    }


def attach(config: object) -> None:
    """Find this module's regions in the attached segment."""
    global tasks, runqueues, globals_
    at: cython.ulonglong = segment_module.region_address("tasks")
    tasks = cython.cast(cython.pointer[task_struct], at)
    at = segment_module.region_address("runqueues")
    runqueues = cython.cast(cython.pointer[runqueue], at)
    at = segment_module.region_address("task_globals")
    globals_ = cython.cast(cython.pointer[task_globals], at)
    register_recovery(RECOVER_RUNQUEUE, recover_runqueue)
    register_recovery(RECOVER_WAIT_QUEUE, recover_wait_queue)


def init(config: object) -> None:
    """Make every task free and every run queue empty; the monitor, once."""
    i: cython.int
    class_: u16 = lock_class_named(b"runqueue_lock", CLASS_SPIN, RECOVER_RUNQUEUE)
    memset(globals_, 0, cython.sizeof(task_globals))
    for i in range(NR_TASKS):
        memset(cython.address(tasks[i]), 0, cython.sizeof(task_struct))
        tasks[i].state = TASK_FREE
    for i in range(NR_CPUS):
        memset(cython.address(runqueues[i]), 0, cython.sizeof(runqueue))
        spinlock_init(cython.address(runqueues[i].lock), class_)
    globals_.last_kthread_pid = 1
    globals_.queue_class = wait_queue_class(b"wait_queue_lock")
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


def set_switch_hook(hook: object) -> None:
    """Register this process's scheduler: hook(wake_ns) switches to another task."""
    global switch_hook
    switch_hook = hook


# Run queues


def current_task():
    if (
        this_process.kind != KIND_CPU
        or this_cpu.preempt_count & (HARDIRQ_MASK | SOFTIRQ_MASK) != 0
        or this_cpu.current == 0
    ):
        return cython.NULL
    return cython.cast(cython.pointer[task_struct], this_cpu.current)


def task_number(task):
    if task == cython.NULL:
        return 0
    return (cython.cast(u32, task - tasks) + 1) | cython.cast(u32, task.generation) << 11


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


def try_to_wake_up(task, states):
    rq: cython.pointer[runqueue] = cython.address(runqueues[task.cpu])
    woken: cython.bint = False
    queued: cython.bint = False
    flags: u64 = raw_spin_lock_irqsave(cython.address(rq.lock), 0)
    if atomic64_load(cython.address(task.state)) & states and task.state != TASK_FREE:
        woken = True
        atomic64_store(cython.address(task.state), TASK_RUNNING)
        kill_point(KILL_TASK_WAKE)
        if task.on_rq == RQ_NOT:
            rq_append(rq, task)
            queued = True
    raw_spin_unlock_irqrestore(cython.address(rq.lock), flags)
    if queued:
        kick(cython.address(cpu_areas[task.cpu]))
    return woken


def kick(cpu):
    """Have a CPU look at its run queue: wake it, or make its task give way."""
    if atomic64_load(cython.address(cpu.current)) != 0:
        set_pending(cpu, PENDING_RESCHED)
    else:
        wake_cpu(cpu)


def wake_up_process(task):
    return try_to_wake_up(task, TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE)


def enter_quietly():
    gate_publish(cython.address(this_process.inside))
    stand_still_point()


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
        trace_event(EVENT_SWITCH, 0, task.pid, 0, 0)
    raw_spin_unlock_irqrestore(cython.address(rq.lock), flags)
    # Not through enter's slow path again: the task passes it at its own next call.
    leave()
    return cython.cast(cython.ulonglong, task)


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


# The table


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


def start_task(at: cython.ulonglong) -> None:
    """Put a new task on this CPU's run queue."""
    t: cython.pointer[task_struct] = cython.cast(cython.pointer[task_struct], at)
    enter()
    rq: cython.pointer[runqueue] = cython.address(runqueues[this_cpu.number])
    flags: u64 = raw_spin_lock_irqsave(cython.address(rq.lock), 0)
    atomic64_store(cython.address(t.state), TASK_RUNNING)
    rq_append(rq, t)
    raw_spin_unlock_irqrestore(cython.address(rq.lock), flags)
    leave()


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


def new_kthread_pid() -> int:
    """Return the next pid of a kernel thread."""
    return atomic64_fetch_add(cython.address(globals_.last_kthread_pid), 1) + 1


def wake_at(at: cython.ulonglong) -> None:
    """Wake the task at a native address: its time-out has come; its own process."""
    enter()
    wake_up_process(cython.cast(cython.pointer[task_struct], at))
    leave()


def signal_at(at: cython.ulonglong, kill: bool) -> None:
    """Send a signal to the task at a native address: sleeps end; its own process."""
    t: cython.pointer[task_struct] = cython.cast(cython.pointer[task_struct], at)
    enter_quietly()
    atomic64_fetch_or(cython.address(t.flags), PF_SIGNALED | (PF_KILLED if kill else 0))
    try_to_wake_up(t, TASK_INTERRUPTIBLE)
    leave()


def set_next_wake(ns: cython.ulonglong) -> None:
    """Say when this CPU's earliest time-out ends (machine_ns), 0 = none; its scheduler."""
    runqueues[this_cpu.number].next_wake_ns = ns


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


# Wait queues


def wait_queue_class(name):
    return lock_class_named(name, CLASS_SPIN, RECOVER_WAIT_QUEUE)


def init_wait_queue(queue, class_):
    spinlock_init(cython.address(queue.lock), class_)
    queue.first = 0
    queue.last = 0


def enqueue_waiter(queue, task, flags):
    """Link a task into a queue: exclusive ones last, others first; with its lock held."""
    at: u64 = cython.cast(u64, task)
    task.wait_flags = flags
    task.wait_seq = atomic64_fetch_add(cython.address(globals_.wait_seq), 1)
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


def wake_up_states(queue, nr_exclusive, states):
    woken: cython.int
    flags: u64
    if unlikely(queue.lock.magic != LOCK_MAGIC):
        return 0
    flags = raw_spin_lock_irqsave(cython.address(queue.lock), call_site())
    woken = wake_up_locked(queue, nr_exclusive, states)
    raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)
    return woken


def wake_up_queue(queue, nr_exclusive):
    return wake_up_states(queue, nr_exclusive, TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE)


def signal_pending_inside():
    task: cython.pointer[task_struct] = current_task()
    return task != cython.NULL and task.flags & PF_SIGNALED != 0


# What kernel code calls


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
        "number": t.number, "uid": t.uid,
    }  # fmt: skip


def all_tasks() -> list:
    """Return the words of every task that lives, for reports and the monitor."""
    return [
        task_record(cython.cast(cython.ulonglong, cython.address(tasks[i])))
        for i in range(NR_TASKS)
        if tasks[i].state != TASK_FREE
    ]


def current() -> object:
    """Return the running task; None in an interrupt's process or when the CPU is idle.

    Any context.
    """
    enter()
    task: cython.pointer[task_struct] = current_task()
    address: u64 = 0 if task == cython.NULL else task.address
    leave()
    return None if address == 0 else TaskHandle.handle_at(address)


def describe_current() -> tuple:
    """Return (name, pid) of the task of this CPU, for reports; outside of any call."""
    at: u64 = this_cpu.current
    if at == 0:
        return ("swapper", 0)
    t: cython.pointer[task_struct] = cython.cast(cython.pointer[task_struct], at)
    return t.name.decode("ascii", "replace"), t.pid


def set_current_state(state: cython.ulonglong) -> None:
    """Write the running task's state, before it looks at its condition and schedules.

    Task context.
    """
    enter()
    task: cython.pointer[task_struct] = current_task()
    if task != cython.NULL:
        atomic64_store(cython.address(task.state), state)
    leave()


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


def schedule() -> None:
    """Give the CPU to another task; sleep if the state says so. May sleep."""
    enter_sleeping(b"schedule")
    schedule_inside(0)
    leave()


def yield_() -> None:
    """Let the other tasks of this CPU run first. May sleep."""
    enter_sleeping(b"yield")
    schedule_inside(0)
    leave()


def schedule_timeout(ticks: cython.longlong) -> int:
    """Sleep as the state says, at most `ticks`; returns the ticks that are left. May sleep."""
    enter_sleeping(b"schedule_timeout")
    left: cython.longlong = ticks
    tick_ns: u64 = 1000000000 // cython.cast(u64, header.hz)
    end: u64
    now: u64
    if ticks >= 0x7FFFFFFF:
        schedule_inside(0)
    elif ticks > 0:
        end = machine_ns() + cython.cast(u64, ticks) * tick_ns
        schedule_inside(cython.cast(u64, ticks) * tick_ns)
        now = machine_ns()
        left = (
            cython.cast(cython.longlong, (end - now + tick_ns - 1) // tick_ns)
            if now < end
            else 0
        )
    else:
        left = 0
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
