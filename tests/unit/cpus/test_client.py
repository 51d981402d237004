"""The user's side of a machine: what a task's result says when the machine ends."""

import os
from typing import Any

import pytest

from cpus.client import Pending, Task
from cpus.errors import KernelPanic, MachineError

PANIC = "Kernel panic: BUG: deadlock detected on CPU#0, swapper/0"


class Panics:
    """A connection to a machine that panics while it is asked who sleeps."""

    pid = os.getpid()
    ended: str | None = None

    def is_alone(self) -> bool:
        return True

    def wait(self, *_: Any) -> None:
        pass

    def query(self, name: str) -> None:
        self.ended = PANIC
        raise MachineError(self.ended)

    def end_error(self) -> Exception:
        return KernelPanic(PANIC, "")


def test_a_panic_during_a_look_at_the_sleepers_is_a_panic_to_who_waits() -> None:
    connection: Any = Panics()
    with pytest.raises(KernelPanic, match="deadlock detected"):
        Task(connection, Pending(1), "work").result()
