"""A user's side of a machine: requests over one socket, answers as they come, no thread.

Whoever waits for something reads the socket for everybody; the others wait for him. Output of
tasks is written to the reader's `sys.stdout`. A signal's exception (Ctrl-C) may come between
any two bytecodes: what moves between socket and buffer moves inside one C call
(`deque(map(…))`).
"""

import itertools
import os
import pickle
import select
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from cpus import channel, ship
from cpus.errors import CpuDied, Deadlock, KernelPanic, MachineError

CHUNK_BYTES: Final = 1 << 18
PANIC: Final = "Kernel panic: "  # how the reason of an end by panic() begins
# A result that takes long may never come: when the monitor is asked, in seconds.
FIRST_LOOK_S: Final = 0.25
MOST_LOOK_S: Final = 1.0


class Pending:
    """A request that waits for its answer."""

    __slots__ = ("number", "answer", "cpu", "pid", "released", "__weakref__")

    def __init__(self, number: int):
        self.number = number
        self.answer: channel.Message | None = None
        self.cpu: int | None = None
        self.pid: int | None = None
        self.released = False


class Connection:
    """A client's socket: sends requests, and hands each answer to its `Pending`."""

    def __init__(self, sock: socket.socket):
        self.socket = sock
        self.pid = os.getpid()
        self.ended: str | None = None  # why the machine ended
        self.last_log = ""  # the end of its log, when it has ended by itself
        self.facts: dict[str, Any] | None = None
        self.failure: str | None = None
        self._pending: dict[int, Pending] = {}
        self._nr_requests = 0
        self.opens = itertools.count(1)  # numbers of the files that it opens
        self._in = bytearray()
        self._out = bytearray()
        self._sending = threading.RLock()
        self._condition = threading.Condition()
        self._reading = False
        self._threads: set[int] = set()  # that ever asked for something
        self.shared = False  # others may use the machine through us: a forked child, a copy

    # Sending

    @property
    def booted(self) -> dict[str, Any]:
        """The facts of a machine that has booted."""
        assert self.facts is not None
        return self.facts

    def post(self, message: bytes) -> None:
        """Send a message; BrokenPipeError never leaves, the reader sees the end."""
        with self._sending:
            self._out += channel.frame(message)
            try:
                while self._out:
                    self._send_some()
            except (BrokenPipeError, ConnectionResetError):
                self._out.clear()

    def _send_some(self) -> None:
        # send, then delete what was sent, without a bytecode between the two
        chunk = bytes(self._out[:CHUNK_BYTES])
        sent = map(slice, map(self.socket.send, (chunk,)))
        deque(map(self._out.__delitem__, sent), maxlen=0)

    def request(self, kind: int, payload: bytes, **fields: int) -> Pending:
        """Send a request and return what will have its answer."""
        if self.ended is not None:
            raise MachineError(f"the machine has ended: {self.ended}")
        self._threads.add(threading.get_ident())
        with self._sending:
            self._nr_requests += 1
            pending = Pending(self._nr_requests)
            self._pending[pending.number] = pending
            self.post(channel.pack(kind, payload, number=pending.number, **fields))
        return pending

    def query(self, name: str, args: Any = None, timeout: float = 10) -> Any:
        """Ask the monitor itself; MachineError when it refuses or does not answer."""
        pending = self.request(channel.QUERY, pickle.dumps((name, args)))
        self.wait(lambda: pending.answer is not None, timeout)
        if pending.answer is None:
            raise MachineError(self.ended or f"query {name}: no answer in {timeout} s")
        answer = pickle.loads(pending.answer.payload)
        if pending.answer.flags:
            raise MachineError(answer)
        return answer

    def end_error(self) -> Exception:
        """Return what a task raises whose machine has ended: after a panic, KernelPanic."""
        assert self.ended is not None
        if self.ended.startswith(PANIC):
            return KernelPanic(self.ended, self.last_log)
        return MachineError(f"the machine has ended: {self.ended}")

    def is_alone(self) -> bool:
        """Whether nobody but the calling thread uses the machine by this connection."""
        return not self.shared and self._threads <= {threading.get_ident()}

    # Receiving

    def wait(self, done: Callable[[], bool], timeout: float | None = None) -> bool:
        """Serve the socket until `done()`, the end of the machine, or the time-out (s).

        What has arrived is taken in any case, also with a time-out of 0.
        """
        looked = False
        deadline = None if timeout is None else time.monotonic() + timeout
        while not done() and self.ended is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left < 0:
                if looked:
                    return False
                left = 0.0
            looked = True
            with self._condition:
                if self._reading:
                    # The reader notifies after each message; the limit covers one that was
                    # stopped by an exception at a bad moment.
                    self._condition.wait(0.1 if left is None else min(left, 0.1))
                    continue
                self._reading = True
            try:
                self.pump(left)
            finally:
                with self._condition:
                    self._reading = False
                    self._condition.notify_all()
        return done()

    def pump(self, timeout: float | None) -> None:
        """Read once, when something comes within `timeout` seconds, and hand out what came."""
        if self._dispatch_all():
            return
        ready, _, _ = select.select([self.socket], [], [], timeout)
        if not ready:
            return
        before = len(self._in)
        try:
            received = map(self.socket.recv, (CHUNK_BYTES,), (socket.MSG_DONTWAIT,))
            deque(map(self._in.__iadd__, received), maxlen=0)
        except BlockingIOError:
            return
        except ConnectionResetError:
            pass
        if len(self._in) == before:
            self.ended = self.ended or "its monitor has gone"
        self._dispatch_all()

    def _dispatch_all(self) -> bool:
        found = False
        while (bounds := channel.frame_bounds(self._in)) is not None:
            start, end = bounds
            self._dispatch(channel.unpack(bytes(self._in[start:end])))
            del self._in[:end]
            found = True
        return found

    def _dispatch(self, message: channel.Message) -> None:
        """Hand a message on; doing it twice does no harm but to print a line twice."""
        kind = message.kind
        if kind == channel.OUTPUT:
            stream = sys.stderr if message.flags == 2 else sys.stdout
            stream.write(message.payload.decode("utf-8", "replace"))
            stream.flush()
        elif kind == channel.READY:
            self.facts = pickle.loads(message.payload)
        elif kind == channel.FAILED:
            self.failure = message.payload.decode()
        elif kind == channel.NOTICE:
            self.ended, self.last_log = pickle.loads(message.payload)
        elif kind == channel.PLACED:
            if (pending := self._pending.get(message.number)) is not None:
                pending.cpu, pending.pid = message.cpu, message.pid
        elif (pending := self._pending.get(message.number)) is not None:
            pending.answer = message
            self._pending.pop(message.number, None)

    def close(self) -> None:
        self.ended = self.ended or "closed"
        self.socket.close()


class Task:
    """A task that runs on a machine: what `Machine.spawn` returns."""

    def __init__(self, connection: Connection, pending: Pending, name: str):
        self._connection = connection
        self._pending = pending
        self._name = name

    def __repr__(self) -> str:
        state = "done" if self._pending.answer is not None else "running"
        return f"<Task {self._name} pid={self._pending.pid} cpu={self._pending.cpu} {state}>"

    @property
    def cpu(self) -> int | None:
        """The CPU that it runs on."""
        self._connection.wait(lambda: self._pending.cpu is not None or self.done(), 5)
        return self._pending.cpu

    @property
    def pid(self) -> int | None:
        """Its number in the machine."""
        self._connection.wait(lambda: self._pending.pid is not None or self.done(), 5)
        return self._pending.pid

    def done(self) -> bool:
        """Return whether the task has ended, without waiting."""
        self._connection.wait(lambda: self._pending.answer is not None, 0)
        return self._pending.answer is not None

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the task and return what it returned, or raise what it raised.

        TimeoutError after `timeout` seconds; CpuDied when its CPU died; MachineError when the
        machine ended before it; Deadlock when every task sleeps and nothing can wake one (the
        task sleeps on: after a wake-up the result can be had).
        """
        pending = self._pending
        self._check_process()
        self._wait(timeout)
        if pending.answer is None:
            if self._connection.ended is not None:
                raise self._connection.end_error()
            raise TimeoutError(f"{self!r}: no result after {timeout} s")
        if pending.answer.kind == channel.DIED:
            raise CpuDied(self._of_death(pending.answer))
        return ship.load_outcome(pending.answer.payload)

    def _of_death(self, answer: channel.Message) -> str:
        if answer.cpu < 0:
            return "no CPU of the machine is alive"
        how = f", {answer.payload.decode()}," if answer.payload else ""
        return f"CPU {answer.cpu} died{how} with {self._name} (pid {self._pending.pid})"

    def _wait(self, timeout: float | None) -> None:
        """Wait for the answer; now and then ask whether it can ever come."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = FIRST_LOOK_S
        while True:
            left = pause if deadline is None else deadline - time.monotonic()
            self._connection.wait(lambda: self._pending.answer is not None, min(left, pause))
            if self._pending.answer is not None or self._connection.ended is not None:
                return
            if left <= pause and deadline is not None:
                return
            pause = self._look_at_sleepers(pause)

    def _look_at_sleepers(self, pause: float) -> float:
        """Raise Deadlock when nothing can wake any task; returns when to look again."""
        if not self._connection.is_alone():
            return MOST_LOOK_S
        try:
            text = self._connection.query("asleep")
        except MachineError:
            if self._connection.ended is None:
                raise
            return pause  # it ended meanwhile: `result` says by what
        if text is not None and self._pending.answer is None:
            raise Deadlock(f"{self!r} waits for ever: {text.splitlines()[0]}", text)
        return min(2 * pause, MOST_LOOK_S)

    def interrupt(self) -> None:
        """Send the task a signal: interruptible sleeps end with -ERESTARTSYS or -EINTR."""
        self._signal(channel.SIGNAL_INTERRUPT)

    def kill(self) -> None:
        """End the task: it raises at its next sleep or kernel call as a workload."""
        self._signal(channel.SIGNAL_KILL)

    def _signal(self, which: int) -> None:
        self._check_process()
        if not self.done():
            self._connection.post(
                channel.pack(channel.SIGNAL, flags=which, number=self._pending.number)
            )

    def _check_process(self) -> None:
        if os.getpid() != self._connection.pid:
            raise MachineError(f"{self!r} belongs to process {self._connection.pid}")
