"""A CPU's own process: it takes messages, runs tasks, halts when there are none."""

import pickle
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from multiprocess.connection import Connection

from cpus import bug, channel, event_cy, host_cy, percpu_cy
from cpus.console import Console

# This process's line to the monitor; None in the monitor and outside of a machine.
line: "Line | None" = None


class Line:
    """The two pipes between this process (CPU, handler or device) and the monitor."""

    def __init__(self, inbox: int, outbox: int):
        self._inbox = Connection(inbox, writable=False)
        self._outbox = Connection(outbox, readable=False)
        self._nr_requests = 0
        self.busy = 0  # > 0: a message is being written; nothing may come in between
        self.nudged = False

    def send(self, kind: int, payload: bytes = b"", **fields: int) -> None:
        """Send a message to the monitor, which always reads: this does not block for long."""
        message = channel.pack(kind, payload, **fields)
        self.busy += 1
        try:
            self._outbox.send_bytes(message)
        finally:
            self.busy -= 1
        if self.nudged and not self.busy:
            self.nudged = False
            percpu_cy.preemption_point()

    def close(self) -> None:
        """Close both pipes."""
        self._inbox.close()
        self._outbox.close()

    def receive(self) -> channel.Message:
        """Wait for the next message."""
        return channel.unpack(self._inbox.recv_bytes())

    def poll(self) -> bool:
        return self._inbox.poll(0)

    def answer(self, message: channel.Message) -> None:
        """Take the monitor's answer to a request; only one that failed is of interest."""
        if message.flags:
            event_cy.log(f"smpmm: {pickle.loads(message.payload)}", 3)

    def request(self, kind: str, payload: Any) -> int:
        """Ask something of the monitor; returns the number that the ANSWER will have."""
        self._nr_requests += 1
        self.send(channel.REQUEST, pickle.dumps((kind, payload)), number=self._nr_requests)
        return self._nr_requests


def request_monitor(kind: str, payload: Any = None) -> int:
    """Ask the monitor to do something for this process; does not wait for it.

    `kind` is a name registered with `Monitor.register_request`. Outside of kernel calls, any
    context. Returns the request's number. RuntimeError in a process without a monitor.
    """
    if line is None:
        raise RuntimeError(f"request {kind!r}: this process has no monitor")
    return line.request(kind, payload)


def panic(text: str) -> NoReturn:
    """Have the monitor end the machine, and do nothing more: its end comes from outside."""
    sys.stdout.flush()
    request_monitor("panic", text)
    while True:
        signal.pause()


def prepare() -> None:
    """Make in the monitor, before it forks, what every child would make for itself."""
    signal.signal(signal.SIGUSR1, nudge)
    host_cy.hold_nudges()


def begin() -> Line:
    """Make a freshly forked child a process of the machine: its output and signals.

    The monitor has set its `line`.
    """
    assert line is not None
    percpu_cy.register_hooks(breach=bug.breach)
    bug.register(panic=panic)
    sys.stdout, sys.stderr = consoles
    host_cy.take_nudges()
    return line


def nowhere_pinned(frame: object) -> bool:
    return False


def no_owner() -> int:
    return 0


# Whether the code at a frame must not be left half-way: the scheduler says.
is_pinned: Callable[[Any], bool] = nowhere_pinned
# Which request (number) the running task answers, for its output.
output_owner: Callable[[], int] = no_owner


def nudge(signum: int, frame: object) -> None:
    """Serve what was asked of this CPU: the handler of the host signal of DESIGN §3.

    Where the interrupted code must not be left, the next kernel call or nudge serves it.
    """
    if line is not None and line.busy:
        line.nudged = True
    elif not is_pinned(frame):
        percpu_cy.preemption_point()


def _sender(fd: int) -> Callable[[str], None]:
    def send(text: str) -> None:
        assert line is not None
        data = text.encode("utf-8", "replace")
        line.send(channel.OUTPUT, data, flags=fd, number=output_owner())

    return send


consoles = (Console(_sender(1), 1), Console(_sender(2), 2))
