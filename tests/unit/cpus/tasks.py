"""A scheduler for unit tests: the tasks of one CPU in this process, each a greenlet."""

from collections.abc import Callable

from greenlet import getcurrent, greenlet

from cpus import exit_cy, runqueue_cy, spinlock_cy, task_cy, waitqueue_cy
from tests import support

RAM = 0xC0000000


class Tasks:
    """A small machine whose CPU runs what is spawned until everything sleeps."""

    def __init__(self, cpus: int = 1) -> None:
        support.small_machine(spinlock_cy, task_cy, runqueue_cy, waitqueue_cy, cpus=cpus)
        self.main = getcurrent()
        self.greenlets: dict[int, greenlet] = {}
        self.log: list[str] = []
        self.errors: list[BaseException] = []
        runqueue_cy.set_switch_hook(self.switch)

    def spawn(self, function: Callable, *args: object, pid: int = 0) -> int:
        """Queue a task; returns its native address."""
        at = task_cy.create_task(pid or 100 + len(self.greenlets), 0, "unit")

        def body() -> None:
            try:
                function(*args)
            except BaseException as error:
                self.errors.append(error)
            exit_cy.free_task(at)

        self.greenlets[at] = greenlet(body, self.main)
        runqueue_cy.start_task(at)
        return at

    def switch(self, wake_ns: int) -> None:
        """Run the next task, or go back to the test when there is none."""
        at = runqueue_cy.pick_next()
        target = self.greenlets[at] if at else self.main
        if target is not getcurrent():
            target.switch()

    def run(self) -> list[str]:
        """Run tasks until all sleep; returns the log."""
        while at := runqueue_cy.pick_next():
            self.greenlets[at].switch()
        return self.log

    def asleep(self) -> list[int]:
        """Return the pids of the tasks that sleep."""
        return sorted(t["pid"] for t in task_cy.all_tasks() if t["state"] in (1, 2))
