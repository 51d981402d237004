"""The monitor: forks a machine's processes, reaps them, relays their messages, ends them all.

One single-threaded process started by exec. It runs no task and takes no lock: it must live
when everything else dies. Its loop never blocks but in select: writes go through an `Outbox`.

A death, step by step: the pidfd is readable, the child is reaped, its slot is marked dead,
parked waiters are woken (they take over its locks), `reap_slot` puts its CPUs back, the
registered functions are told, its requests are answered, and a live CPU runs the recovery of
each layer.
"""

import os
import pickle
import select
import selectors
import signal
import sys
import time
import traceback
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from cpus import (
    atfork,
    channel,
    deaths,
    event_cy,
    host_cy,
    kill_cy,
    percpu_cy,
    reap_cy,
    segment_cy,
    worker,
)
from cpus.channel import FrameReader, Message, Outbox

KIND_MONITOR: Final = 0
KIND_CPU: Final = 1
KIND_HANDLER: Final = 2
COUNT_MOVING: Final = 0x8000  # of a slot's counted_cpu: is just being counted in or out
KIND_DEVICE: Final = 3
CPU_OFFLINE: Final = 0
CPU_DEAD: Final = 2

GRACE_S: Final = 0.02  # between the request to stop and SIGKILL
RETRY_S: Final = 0.001  # between two attempts to take back what a dead process had

# What a child of a kind does: function(slot, *args); registered before the forks.
child_mains: dict[str, Callable[..., None]] = {}
# Told of each death, in the monitor, after the slot was reaped: function(slot, kind, cpu).
death_hooks: list[Callable[[int, int, int], None]] = []
# What a process of the machine may ask: function(monitor, child, payload) -> answer.
request_handlers: dict[str, Callable[["Monitor", "Child", Any], Any]] = {}
# Functions "module:name" that a live CPU runs after a death: function(slot, kind, cpu).
recovery_names: list[str] = []
gate_recovery_names: list[str] = []
# Functions "module:name" that a live CPU runs when a client has gone: function(its number).
client_exit_names: list[str] = []


def register_child_main(name: str, function: Callable[..., None]) -> None:
    """Say what a child of kind `name` does: function(slot, *args)."""
    child_mains[name] = function


def register_request(name: str, function: Callable[["Monitor", "Child", Any], Any]) -> None:
    """Serve `request_monitor(name, payload)`: what `function` returns is the ANSWER."""
    request_handlers[name] = function


def on_death(function: Callable[[int, int, int], None]) -> None:
    """Have the monitor call function(slot, kind, cpu) for each of its processes that dies."""
    death_hooks.append(function)


def register_gate_recovery(name: str) -> None:
    """Have a live CPU run "module:function" (slot, cpu) if what died had interrupted `cpu`."""
    gate_recovery_names.append(name)


def register_recovery(name: str) -> None:
    """Have a live CPU run "module:function" (slot, kind, cpu) after each death, as a task."""
    recovery_names.append(name)


def register_client_exit(name: str) -> None:
    """Have a live CPU run "module:function" (number), as a task, after a client has gone.

    None of the client's system calls is under way then.
    """
    client_exit_names.append(name)


@dataclass
class Child:
    """A process of the machine."""

    slot: int
    kind: int
    name: str
    cpu: int
    pid: int
    pidfd: int
    reader: FrameReader
    outbox: Outbox
    requests: set[int] = field(default_factory=set)
    gate_cpu: int = -1  # that it had interrupted, or was about to, when it died
    ending: bool = False  # was told to end: its death is no news
    death: deaths.Death | None = None


@dataclass
class Birth:
    """A process of the machine that is about to be forked, and its two pipes."""

    slot: int
    name: str
    cpu: int
    args: tuple[Any, ...]
    inbox: tuple[int, int]  # to read, to write
    outbox: tuple[int, int]
    line: worker.Line  # its ends of them


class Monitor:
    """The children of one machine and the loop that serves them."""

    def __init__(self, nr_cpus: int, user_pid: int):
        kill_cy.spare()
        self.nr_cpus = nr_cpus
        self.selector = selectors.DefaultSelector()
        self.children: dict[int, Child] = {}  # by slot
        self.cpus: dict[int, Child] = {}  # live ones, by number
        self.relay: Any = None
        self.reason: str | None = None  # why the machine ends
        self._unreaped: list[Child] = []
        self._user_pidfd = os.pidfd_open(user_pid)
        self.selector.register(self._user_pidfd, selectors.EVENT_READ, self._user_gone)

    # The loop

    def run(self) -> None:
        """Serve everyone until the machine ends, then end everything."""
        try:
            while self.reason is None:
                self.step(RETRY_S if self._unreaped else None)
        finally:
            self.power_off()

    def step(self, timeout: float | None) -> None:
        """Serve what is ready; wait at most `timeout` seconds for it."""
        for key, events in self.selector.select(timeout):
            key.data(events)
        for child in list(self._unreaped):
            self._reap_slot(child)

    def end(self, reason: str) -> None:
        """Have the machine powered off; the first reason stays."""
        if self.reason is None:
            self.reason = reason

    def _user_gone(self, events: int) -> None:
        self.end("the program that started the machine has ended")

    def watch(self, fd: int, outbox: Outbox | None, call: Callable[[int], None]) -> None:
        """Call `call(events)` when `fd` can be read, or written while `outbox` has more."""
        events = selectors.EVENT_READ
        if outbox:
            events |= selectors.EVENT_WRITE
        self.selector.register(fd, events, call)

    # Children

    def fork(self, main: str, kind: int, name: str, cpu: int, *args: Any) -> Child:
        """Fork a process of the machine that runs the registered `main`."""
        return self.fork_all(main, kind, [(name, cpu, args)])[0]

    def fork_all(
        self, main: str, kind: int, each: list[tuple[str, int, tuple[Any, ...]]]
    ) -> list[Child]:
        """Fork processes of one kind: (name, cpu, args) each.

        All is made before the first fork, and nothing of it is dropped in a child: what a
        process does not write to, it shares with all the others.
        """
        births = [self._prepare(kind, *one) for one in each]
        fds = array("i", self._fds(births)).tobytes()
        monitor_pid = os.getpid()
        atfork.skip(True)
        number, pids = host_cy.fork_children(len(births))
        atfork.skip(False)
        if number >= 0:
            self._live(main, births[number], monitor_pid, fds)
        return [self._add(kind, *both) for both in zip(births, pids, strict=True)]

    def _prepare(self, kind: int, name: str, cpu: int, args: tuple[Any, ...]) -> Birth:
        slot = percpu_cy.free_slot()
        inbox = os.pipe()
        try:
            outbox = os.pipe()
        except OSError:
            for fd in inbox:
                os.close(fd)
            raise
        percpu_cy.take_slot(slot, kind, name, cpu)
        line = worker.Line(inbox[0], outbox[1])
        return Birth(slot, name, cpu, args, inbox, outbox, line)

    def _fds(self, births: list[Birth]) -> list[int]:
        """Return the descriptors that no child keeps, but its own ends of its pipes."""
        fds = [key.fd for key in self.selector.get_map().values()]
        fds.append(self.selector.fileno())
        fds += [child.outbox.fd for child in self.children.values()]
        fds += [fd for birth in births for fd in birth.inbox + birth.outbox]
        return fds

    def _live(self, main: str, birth: Birth, monitor_pid: int, fds: bytes) -> NoReturn:
        """Be a forked child until it ends: nothing of the monitor's stays open in it."""
        try:
            name = f"smpmm/{birth.name}".encode()
            keep = (birth.inbox[0], birth.outbox[1])
            host_cy.begin_child(monitor_pid, name, fds, *keep)
            percpu_cy.become(birth.slot, os.getpid())
            kill_cy.attach()
            worker.line = birth.line
            child_mains[main](birth.slot, *birth.args)
            status = 0
        except BaseException:
            event_cy.log(f"smpmm: {birth.name}: {traceback.format_exc()}", 0)
            status = 1
        os._exit(status)

    def _add(self, kind: int, birth: Birth, pid: int) -> Child:
        """Serve a child that was forked."""
        birth.line.close()
        outbox_r = birth.outbox[0]
        os.set_blocking(outbox_r, False)
        child = Child(
            birth.slot,
            kind,
            birth.name,
            birth.cpu,
            pid,
            os.pidfd_open(pid),
            FrameReader(outbox_r),
            Outbox(birth.inbox[1]),
        )
        self.children[child.slot] = child
        if kind == KIND_CPU:
            self.cpus[child.cpu] = child
        self.selector.register(
            outbox_r, selectors.EVENT_READ, lambda events: self._read(child)
        )
        self.selector.register(
            child.pidfd, selectors.EVENT_READ, lambda events: self._died(child)
        )
        return child

    def terminate(self, slot: int) -> None:
        """End a handler or device process, which has nothing to put right."""
        child = self.children[slot]
        child.ending = True
        os.kill(child.pid, signal.SIGTERM)

    def _read(self, child: Child) -> None:
        alive = child.reader.read()
        for message in child.reader.messages():
            self._message(child, message)
        if not alive and child.reader.fd in self.selector.get_map():
            self.selector.unregister(child.reader.fd)

    def _message(self, child: Child, message: Message) -> None:
        if message.kind == channel.REQUEST:
            self._request(child, message)
        else:
            self.relay.from_child(child, message)

    def _request(self, child: Child, message: Message) -> None:
        kind, payload = pickle.loads(message.payload)
        try:
            answer, failed = request_handlers[kind](self, child, payload), 0
        except Exception as error:
            answer, failed = f"{kind}: {type(error).__name__}: {error}", 1
            event_cy.log(f"smpmm: {child.name}: request {answer}", 3)
        data = pickle.dumps(answer)
        self.send(
            child, channel.pack(channel.ANSWER, data, flags=failed, number=message.number)
        )

    def send(self, child: Child, message: bytes) -> None:
        """Send a message to a process of the machine, waking it first when it is a CPU."""
        if child.kind == KIND_CPU:
            percpu_cy.post_message(child.cpu)
            percpu_cy.request_resched(child.cpu)
        child.outbox.put(message)
        if child.outbox:
            self._watch_write(child.outbox)

    def _watch_write(self, outbox: Outbox) -> None:
        def flush(events: int) -> None:
            outbox.flush()
            if not outbox:
                self.selector.unregister(outbox.fd)

        if outbox.fd not in self.selector.get_map():
            self.selector.register(outbox.fd, selectors.EVENT_WRITE, flush)

    # Deaths

    def _died(self, child: Child) -> None:
        """Reap a child and let the others take over what it held."""
        seen_ns = segment_cy.uptime_ns()
        _, status = os.waitpid(child.pid, 0)
        info = percpu_cy.slot_info(child.slot)
        child.gate_cpu = (info["counted_cpu"] & ~COUNT_MOVING) - 1
        percpu_cy.mark_dead(child.slot)
        if child.kind == KIND_CPU:
            percpu_cy.set_cpu_state(child.cpu, CPU_DEAD)
            self.cpus.pop(child.cpu, None)
        host_cy.wake_parked()
        self._read(child)  # what it sent before it died still counts
        for fd in (child.pidfd, child.reader.fd, child.outbox.fd):
            if fd in self.selector.get_map():
                self.selector.unregister(fd)
            os.close(fd)
        del self.children[child.slot]
        if not child.ending and status:
            child.death = deaths.note(info, how_it_ended(status), seen_ns)
            doing = child.death.doing() or "outside of the kernel"
            event_cy.log(
                f"smpmm: {child.name} (pid {child.pid}) died: {child.death.how}, {doing}", 1
            )
        self._unreaped.append(child)
        self._reap_slot(child)

    def _reap_slot(self, child: Child) -> None:
        if not reap_cy.reap_slot(child.slot):
            return
        self._unreaped.remove(child)
        for hook in death_hooks:
            try:
                hook(child.slot, child.kind, child.cpu)
            except Exception as error:
                event_cy.log(f"smpmm: death of {child.name}: {hook.__name__}: {error!r}", 2)
        self.relay.died(child)

    # The end

    def power_off(self) -> None:
        """End every process of the machine; nothing stays."""
        segment_cy.power_off()
        self.relay.say_end(self.reason or "the monitor failed")
        for child in self.children.values():
            if child.kind == KIND_CPU:
                self.send(child, channel.pack(channel.STOP))
            else:
                self.terminate(child.slot)
        deadline = time.monotonic() + GRACE_S
        left = {child.pidfd: child for child in self.children.values()}
        while left and (wait := deadline - time.monotonic()) > 0:
            ready, _, _ = select.select(list(left), [], [], wait)
            for fd in ready:
                os.waitpid(left.pop(fd).pid, 0)
        for child in left.values():
            os.kill(child.pid, signal.SIGKILL)
        for child in left.values():
            os.waitpid(child.pid, 0)
        self.relay.close()


def how_it_ended(status: int) -> str:
    """Return what a wait status says, in words."""
    code = os.waitstatus_to_exitcode(status)
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


def end_by_panic(machine: Monitor, child: Child, text: str) -> None:
    """Serve a panic: the machine ends."""
    machine.end(f"Kernel panic: {text}")


register_request("panic", end_by_panic)


def silence() -> None:
    """Leave SIGINT to the user's program, and let no nudge end a child that is not ready.

    A child inherits this; it takes nudges from `worker.begin` on. One that is ignored until
    then comes again with the next tick.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # closed by who started the user's program
            stream.flush()
