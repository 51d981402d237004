"""The scheduler of one CPU: tasks are greenlets; which one runs, runqueue_cy knows.

A task that sleeps switches straight to the next one. The main greenlet looks at messages and
time-outs, starts tasks, and halts the CPU when nothing is left to do.

A workload gives way at its kernel calls and, when a host signal nudges it, between two
bytecodes; not inside code that must not be left half-way (`PINNED`), nor in kernel code called
by the kernel.
"""

import os
import pickle
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

import posix_ipc
from greenlet import getcurrent, greenlet
from sortedcontainers import SortedSet

from cpus import (
    bug,
    channel,
    context_cy,
    event_cy,
    exit_cy,
    lock_cy,
    percpu_cy,
    runqueue_cy,
    segment_cy,
    service_cy,
    ship,
    task_calls_cy,
    task_cy,
    worker,
)
from cpus.errors import OomKilled, TaskKilled

HALT_S: Final = 1.0  # a halted CPU looks again after this long, whatever happens
ROUNDS: Final = 20  # after these the interpreter has learnt what it can
NO_TIMEOUT: Final = (1 << 64) - 1
PENDING_RESCHED: Final = 1 << 17
PENDING_STOP: Final = 1 << 18
TASK_INTERRUPTIBLE: Final = 1
PF_KTHREAD: Final = 0x1
PF_SIGNALED: Final = 0x2
PF_RESCHED: Final = 0x4
PF_KILLED: Final = 0x8
PF_MEMALLOC: Final = 0x800

OWN_FRAMES: Final = ("main", "outcome")  # of this file, below every task
# Files whose functions hold something that another task of this process would trip over.
PINNED: Final = (
    "importlib._bootstrap",
    "/cpus/",
    "/dill/",
    "/multiprocess/",
    "/threading.py",
    "/logging/",
    "/linecache.py",
    "/traceback.py",
    "/pickle.py",
)

# Called with a task's native address in its own greenlet: before its function, and at its end.
task_start_hooks: list[Callable[[int], None]] = []
task_end_hooks: list[Callable[[int], None]] = []

# The functions "module:name" of the service threads, by their numbers in service_cy.
services: dict[int, str] = {}

scheduler: "Scheduler | None" = None


def become_service(number: int) -> bool:
    """Make the running kernel thread the service thread `number`: any CPU may go on with it.

    False when there is one: the caller returns. It sleeps in one place, with PF_PARKED set,
    and keeps nothing there that is not in RAM; when it begins, it may be in the middle of its
    life.
    """
    if not service_cy.claim(number):
        return False
    at = task_cy.current_at()
    assert scheduler is not None
    scheduler.tasks[at].service = service_cy.identity(at)
    return True


def begin_services() -> None:
    """Run each service thread up to its sleep; in the monitor, as CPU 0, before it forks.

    The process of every CPU has a copy of the greenlets that stand there: whichever CPU a
    thread is woken on goes on with its own.
    """
    prepared.start(0, worker.Line(*os.pipe()))
    for number, function in services.items():
        at = task_cy.create_task(task_cy.new_kthread_pid(), PF_KTHREAD, "kthread")
        prepared.enter(Task(at, 0, channel.JOB, ship.dump_call(function, (), {})))
        runqueue_cy.start_task(at)
        prepared.run_once()
        if not service_cy.lives(number):
            raise RuntimeError(f"the service thread {function} has not begun")
    prepared.stop()


def start_service(number: int, function: str) -> None:
    """Start a service thread that has died with its CPU; a task on a live CPU."""
    if not service_cy.lives(number):
        payload = pickle.dumps((function, (), {}))
        worker.request_monitor("kthread", (task_cy.new_kthread_pid(), payload, None))


class Task:
    """A task of this process: its greenlet and the request that it answers."""

    __slots__ = ("at", "number", "kind", "payload", "greenlet", "ending", "service")

    def __init__(self, at: int, number: int, kind: int, payload: bytes):
        self.at = at
        self.number = number
        self.kind = kind
        self.payload = payload
        self.ending = ""  # name of the exception that ended it, "" when it returned
        self.service = 0  # of a service thread: the number of its task
        assert scheduler is not None
        # Its end leads to the main greenlet, whichever task took the message.
        self.greenlet = greenlet(self.main, scheduler.main)

    def main(self) -> None:
        """Run the call and send its outcome; the main greenlet goes on at the end."""
        assert scheduler is not None
        try:
            outcome = self.outcome()
        except BaseException as error:  # killed while it was ending
            self.ending = type(error).__name__
            outcome = ship.dump_failure(error)
        try:
            for hook in task_end_hooks:
                hook(self.at)
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException as error:
            event_cy.log(f"smpmm: end of a task: {error!r}", 3)
        scheduler.forget(self)
        answer = channel.RESULT if self.kind == channel.TASK else channel.JOB_DONE
        scheduler.line.send(answer, outcome, number=self.number)

    def outcome(self) -> bytes:
        """Run the call and pickle what it returned or raised."""
        try:
            for hook in task_start_hooks:
                hook(self.at)
            function, args, kwargs = ship.load_call(self.payload)
            self.payload = b""
            assert scheduler is not None
            scheduler.end_if_killed(self.at)  # killed before it began
            value = function(*args, **kwargs)
            self.check_left()
        except BaseException as error:
            self.ending = type(error).__name__
            give_back()
            runqueue_cy.change_depth(1)  # from here on it cannot be killed
            return ship.dump_failure(error)
        runqueue_cy.change_depth(1)
        return ship.dump_result(value)

    def check_left(self) -> None:
        """Report a task that returns in atomic context; what it left is given back."""
        # By kernel calls: outside of one, a handler may be this CPU and the words be its.
        count, irqs_off = context_cy.preempt_count(), context_cy.irqs_disabled()
        held = lock_cy.held_locks()
        if held or count or irqs_off:
            what = f"preempt_count {count:#x}, irqs {'off' if irqs_off else 'on'}"
            try:
                bug.left_locked(f"{len(held)} spinlocks held, {what}")
            finally:
                give_back()


def ending(at: int) -> str:
    """Return what a task that ends raised, "" when it returns; for the hooks of its end."""
    return (
        scheduler.tasks[at].ending if scheduler is not None and at in scheduler.tasks else ""
    )


def give_back() -> None:
    """Put this context back to what a task begins with: no lock, interrupts on, no counts."""
    lock_cy.give_back()
    context_cy.set_context(0, 0)


class Scheduler:
    """The tasks of this process."""

    def __init__(self) -> None:
        self.cpu = -1
        self.line: worker.Line
        self.main = getcurrent()
        self.tasks: dict[int, Task] = {}  # by native address of the task_struct
        self.by_number: dict[int, Task] = {}
        self.retired: list[Task] = []
        self.timeouts: SortedSet = SortedSet()  # (machine_ns, native address)
        self.next_wake_ns = NO_TIMEOUT
        self.stopped = False
        self.taking = False

    def start(self, cpu: int, line: "worker.Line") -> None:
        """Be the scheduler of this process, which is a CPU now."""
        global scheduler
        self.cpu = cpu
        self.line = line
        scheduler = self
        runqueue_cy.set_switch_hook(self.switch_out)
        percpu_cy.register_hooks(schedule=self.give_way)

    def stop(self) -> None:
        """Be nobody's scheduler for a while: this process is no CPU."""
        self.cpu = -1
        self.line.close()

    def current_number(self) -> int:
        """Return the number of the request that the running task answers, 0 when idle."""
        at = task_cy.current_at()
        return self.tasks[at].number if at in self.tasks else 0

    def run(self) -> None:
        """Take messages and run tasks until the machine stops."""
        while not self.stopped:
            self.run_once()

    def run_once(self) -> None:
        """Take messages, then run tasks until none may run, or halt when none may."""
        self.take_messages()
        self.expire_timeouts()
        percpu_cy.clear_pending(PENDING_RESCHED)
        at = runqueue_cy.pick_next()
        if at:
            self.task_at(at).greenlet.switch()
        elif not self.stopped and not service_cy.pull_service():
            percpu_cy.preemption_point()  # softirqs of an idle CPU
            self.halt()

    # Switching

    def switch_out(self, wake_ns: int) -> None:
        """Run other tasks until this one is picked again; the hook of runqueue_cy."""
        at = self.own_at()
        if wake_ns:
            self.timeouts.add((wake_ns, at))
            self.note_next()
        try:
            self.switch()
        finally:
            if wake_ns:
                self.timeouts.discard((wake_ns, at))
                self.note_next()
        self.end_if_killed(at)

    def switch(self) -> None:
        """Switch to the next task, or to the main greenlet when that has something to do."""
        at = runqueue_cy.pick_next(self.next_wake_ns)
        target = self.task_at(at).greenlet if at else self.main
        if target is not getcurrent():
            target.switch()

    def task_at(self, at: int) -> Task:
        """Return the task that was picked; a service thread may come from another CPU."""
        task = self.tasks.get(at)
        if task is not None and task.service in (0, service_cy.identity(at)):
            return task
        number = service_cy.service_of(at)
        task = Task(at, 0, channel.JOB, pickle.dumps((services[number], (), {})))
        self.enter(task)
        return task

    def enter(self, task: Task) -> None:
        """Enter a task of this CPU. What was at its struct's address stays, never to run: it
        is in its sleep, and to be collected means to end, as this task."""
        if (old := self.tasks.get(task.at)) is not None:
            self.retired.append(old)
        task.greenlet.run_at = task.at
        self.tasks[task.at] = task

    def own_at(self) -> int:
        """Return the native address of the task whose greenlet this is."""
        return getcurrent().run_at

    def give_way(self) -> int:
        """Let others run if the running task may give way; the hook of the preemption point.

        Returns 1 when it did. Kernel code called by the kernel goes on: it is asked again when
        it leaves the kernel.
        """
        if self.cpu < 0:  # the monitor, which runs no task
            return 0
        percpu_cy.clear_pending(PENDING_RESCHED)
        if self.line.busy or self.taking:
            return 0
        self.take_messages()
        at = task_cy.current_at()
        if not at or getcurrent() is self.main:
            return 0
        _, flags, depth, _ = task_cy.task_words(at)
        if depth or flags & PF_KTHREAD:
            task_cy.change_flags(at, PF_RESCHED, 0)
            return 0
        self.end_if_killed(at)
        if not runqueue_cy.preempt_current(self.attention()):
            return 0
        self.switch()
        self.end_if_killed(at)
        return 1

    def attention(self) -> bool:
        """Whether the main greenlet has something to do before the next task."""
        return self.stopped or segment_cy.uptime_ns() >= self.next_wake_ns

    def end_if_killed(self, at: int) -> None:
        """Raise in a task that was killed, unless it is inside kernel code."""
        _, flags, depth, _ = task_cy.task_words(at)
        if flags & PF_KILLED and not depth:
            task_cy.change_flags(at, 0, PF_KILLED | PF_SIGNALED)
            if flags & PF_MEMALLOC:  # what the OOM killer gives to its victim
                name, pid = task_cy.describe_current()
                raise OomKilled(f"Out of Memory: Killed process {pid} ({name})")
            raise TaskKilled(f"task of CPU {self.cpu} was killed")

    def forget(self, task: Task) -> None:
        """The task has ended: its struct is free."""
        self.tasks.pop(task.at, None)
        self.by_number.pop(task.number, None)
        exit_cy.free_task(task.at)

    # Time-outs

    def note_next(self) -> None:
        """Say when the earliest time-out ends: for halting, and for the timer."""
        first = self.timeouts[0][0] if self.timeouts else NO_TIMEOUT
        if first != self.next_wake_ns:
            self.next_wake_ns = first
            runqueue_cy.set_next_wake(0 if first == NO_TIMEOUT else first)

    def expire_timeouts(self) -> None:
        """Wake the tasks whose time-out has come."""
        while self.timeouts and self.timeouts[0][0] <= segment_cy.uptime_ns():
            _, at = self.timeouts.pop(0)
            runqueue_cy.wake_at(at)
        self.note_next()

    # Messages

    def take_messages(self) -> None:
        """Take what the monitor has sent."""
        self.taking = True
        try:
            while percpu_cy.take_message():
                self.take(self.line.receive())
        finally:
            self.taking = False

    def take(self, message: channel.Message) -> None:
        if message.kind in (channel.TASK, channel.JOB):
            self.begin(message)
        elif message.kind == channel.SIGNAL:
            task = self.by_number.get(message.number)
            if task is not None:
                runqueue_cy.signal_at(task.at, message.flags == channel.SIGNAL_KILL)
        elif message.kind == channel.STOP:
            self.stopped = True
        elif message.kind == channel.ANSWER:
            self.line.answer(message)

    def begin(self, message: channel.Message) -> None:
        """Make a task of a call and queue it."""
        kernel = message.kind == channel.JOB
        name = "kthread" if kernel else "workload"
        pid = message.pid or task_cy.new_kthread_pid()
        flags = PF_KTHREAD if kernel else 0
        at = task_cy.create_task(pid, flags, name, message.number, message.uid)
        if not at:
            error = RuntimeError(f"CPU {self.cpu}: every task_struct is taken")
            answer = channel.JOB_DONE if kernel else channel.RESULT
            self.line.send(answer, ship.dump_failure(error), number=message.number)
            return
        task = Task(at, message.number, message.kind, message.payload)
        self.enter(task)
        self.by_number[message.number] = task
        runqueue_cy.start_task(at)

    def halt(self) -> None:
        """Wait on this CPU's semaphore until there is something to do."""
        runqueue_cy.note_idle()
        if not percpu_cy.prepare_halt():
            if segment_cy.powered_off():
                self.stopped = True
            return
        wait_s = HALT_S
        if self.next_wake_ns != NO_TIMEOUT:
            wait_s = min(wait_s, max(0, self.next_wake_ns - segment_cy.uptime_ns()) / 1e9)
        try:
            percpu_cy.semaphores[self.cpu].acquire(wait_s)
        except (posix_ipc.BusyError, posix_ipc.SignalError):
            pass
        percpu_cy.finish_halt()


# Made in the monitor before it forks: each CPU's process has a copy of it.
prepared = Scheduler()


def rehearse() -> None:
    """Be CPU 0 for a while, with tasks that sleep and end; in the monitor, before it forks.

    The interpreter writes what it learns of code beside the code, and a type's attributes into
    one table: learnt here, it stays in pages that all CPUs share. What is done to the machine
    meanwhile is to be undone (`host_cy.map_copy`).
    """
    prepared.start(0, worker.Line(*os.pipe()))
    line = prepared.line
    call = ship.dump_call("cpus.sched:sleep_a_little", (), {})
    for number in range(1, ROUNDS):
        prepared.next_wake_ns = 0
        prepared.halt()
        line.send(channel.JOB, call, pid=1, number=number)
        percpu_cy.post_message(0)
        prepared.run_once()
        while prepared.by_number:
            prepared.run_once()
        line.receive()  # its end
    prepared.stop()


def sleep_a_little() -> None:
    """Do what a task does most: the task of the rehearsal."""
    context_cy.might_sleep()
    task_calls_cy.yield_()
    task_calls_cy.set_current_state(TASK_INTERRUPTIBLE)
    task_calls_cy.schedule_timeout(0)


def cpu_main(slot: int, cpu: int) -> None:
    """Run CPU `cpu` in this process until the machine is powered off: the life of a CPU."""
    prepared.start(cpu, worker.begin())
    worker.output_owner = prepared.current_number
    worker.is_pinned = is_pinned
    bug.register(describe_task=task_cy.describe_current)
    prepared.run()


def is_pinned(frame: FrameType | None) -> bool:
    """Whether the code that a host signal has interrupted must not be left half-way."""
    while frame is not None:
        name = frame.f_code.co_filename
        if any(part in name for part in PINNED) and frame.f_code.co_name not in OWN_FRAMES:
            return True
        frame = frame.f_back
    return False


def kernel_thread(function: Callable, *args: Any, cpu: int | None = None) -> int:
    """Start a kernel thread on `cpu`, or on the CPU that has least to do; returns its pid.

    It is restarted elsewhere when its CPU dies. May sleep: a task_struct is allocated.
    """
    context_cy.might_sleep()
    pid = task_cy.new_kthread_pid()
    worker.request_monitor("kthread", (pid, ship.dump_call(function, args, {}), cpu))
    return pid
