"""A small machine with handler processes made by os.fork(): this process is its CPU 0."""

import ctypes
import mmap
import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from cpus import (
    percpu_cy,
    reap_cy,
    runqueue_cy,
    segment_cy,
    spinlock_cy,
    task_cy,
    waitqueue_cy,
)
from interrupts import (
    callbacks,
    handler,
    irq,
    irq_cy,
    setup,
    softirq_cy,
    tasklet_cy,
    timer_cy,
    tqueue_cy,
)
from tests.support import in_child, small_machine

KIND_CPU, KIND_HANDLER, KIND_DEVICE = 1, 2, 3
DEADLINE_S = 20.0


class Rig:
    """Functions by address, shared counters, the processes that were forked."""

    def __init__(self) -> None:
        self.functions: dict[int, Callable] = {}
        self.shared = memoryview(mmap.mmap(-1, 4096)).cast("Q")
        self.pids: dict[int, int] = {}  # by slot

    def register(self, function: Callable) -> int:
        for address, known in self.functions.items():
            if known is function:
                return address
        address = 0xC0100000 + 64 * len(self.functions)
        self.functions[address] = function
        return address

    def fork(self, kind: int, name: str, function: Callable, *args: int, cpu: int = 0) -> int:
        """Fork a process of the machine; returns its slot."""
        slot = percpu_cy.free_slot()
        percpu_cy.take_slot(slot, kind, name, cpu)

        def child() -> None:
            percpu_cy.become(slot, os.getpid())
            function(*args)

        self.pids[slot] = in_child(child, wait=False)
        return slot

    def start_handler(self, line: int) -> None:
        self.fork(KIND_HANDLER, f"irq{line}", handler.serve_line, line)

    def kill(self, slot: int) -> None:
        """Do what the monitor does about a death."""
        if not os.waitpid(self.pids[slot], os.WNOHANG)[0]:
            os.kill(self.pids[slot], signal.SIGKILL)
            os.waitpid(self.pids[slot], 0)
        del self.pids[slot]
        percpu_cy.mark_dead(slot)
        wait_until(lambda: reap_cy.reap_slot(slot))

    def end(self) -> None:
        segment_cy.power_off()
        for pid in self.pids.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def native_view(address: int, nr_bytes: int) -> memoryview:
    """Return the words of 8 bytes at a kernel address."""
    at = segment_cy.native_address(address, nr_bytes)
    return memoryview((ctypes.c_char * nr_bytes).from_address(at)).cast("B").cast("Q")


def wait_until(condition: Callable[[], object]) -> None:
    """Pass the preemption point until the condition holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        percpu_cy.preemption_point()
        assert time.monotonic() < deadline, "nothing happened"


@pytest.fixture
def rig(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """Boot a machine with interrupt lines, of one CPU or of the parameter's number."""
    made = Rig()
    small_machine(
        spinlock_cy,
        task_cy,
        runqueue_cy,
        waitqueue_cy,
        irq_cy,
        softirq_cy,
        tasklet_cy,
        timer_cy,
        tqueue_cy,
        cpus=getattr(request, "param", 1),
    )
    setup.attach(None)
    monkeypatch.setattr(irq, "start_handler", made.start_handler)
    callbacks.register_text(made.functions.__getitem__, made.register)
    yield made
    made.end()
