"""The scheduler of one CPU: tasks are greenlets, switched to by the main one."""

import sys
from collections import deque

import posix_ipc
from greenlet import getcurrent, greenlet

from cpus import channel, percpu_cy, ship, worker

HALT_S = 1.0  # a halted CPU looks again after this long, whatever happens


class Task:
    """A task of this process: its greenlet and the request that it answers."""

    __slots__ = ("pid", "number", "kind", "payload", "greenlet")

    def __init__(self, pid: int, number: int, kind: int, payload: bytes):
        self.pid = pid
        self.number = number
        self.kind = kind
        self.payload = payload
        self.greenlet = greenlet(self.main)

    def main(self) -> None:
        """Run the call and send what it returned or raised."""
        try:
            function, args, kwargs = ship.load_call(self.payload)
            self.payload = b""
            outcome = ship.dump_result(function(*args, **kwargs))
        except BaseException as error:
            outcome = ship.dump_failure(error)
        sys.stdout.flush()
        sys.stderr.flush()
        answer = channel.RESULT if self.kind == channel.TASK else channel.JOB_DONE
        worker.line.send(answer, outcome, number=self.number)


class Scheduler:
    def __init__(self, cpu: int, line: "worker.Line"):
        self.cpu = cpu
        self.line = line
        self.main = getcurrent()
        self.ready: deque[Task] = deque()
        self.current: Task | None = None
        self.stopped = False

    def current_number(self) -> int:
        return self.current.number if self.current else 0

    def run(self) -> None:
        """Take messages and run tasks until the machine stops."""
        while not self.stopped:
            self.take_messages()
            if self.ready:
                self.current = self.ready.popleft()
                self.current.greenlet.switch()
                self.current = None
            elif not self.stopped:
                self.halt()

    def take_messages(self) -> None:
        while percpu_cy.take_message():
            message = self.line.receive()
            if message.kind in (channel.TASK, channel.JOB):
                self.ready.append(
                    Task(message.pid, message.number, message.kind, message.payload)
                )
            elif message.kind == channel.STOP:
                self.stopped = True

    def halt(self) -> None:
        if not percpu_cy.prepare_halt():
            return
        try:
            percpu_cy.semaphores[self.cpu].acquire(HALT_S)
        except (posix_ipc.BusyError, posix_ipc.SignalError):
            pass
        percpu_cy.finish_halt()
