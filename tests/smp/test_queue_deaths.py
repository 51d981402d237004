"""Run queues are rebuilt after a death while the other CPUs begin, run and end tasks."""

import os

from cpus import exit_cy, percpu_cy, runqueue_cy, spinlock_cy, task_cy, waitqueue_cy
from tests.support import KIND_CPU, in_child, small_machine

ROUNDS = 1000000


def begin_and_end_tasks() -> None:
    """Be CPU 1: each task that it picks must be the one that it began."""
    percpu_cy.take_slot(1, KIND_CPU, "cpu1", 1)
    percpu_cy.become(1, os.getpid())
    for turn in range(ROUNDS):
        begun = task_cy.create_task(1000 + turn, 0, "short")
        runqueue_cy.start_task(begun)
        picked = runqueue_cy.pick_next()
        assert picked == begun, f"turn {turn}: task {picked:#x} is queued, not {begun:#x}"
        exit_cy.free_task(begun)
        assert runqueue_cy.pick_next() == 0, f"turn {turn}: a task is queued that has ended"


def test_a_task_that_begins_or_ends_is_not_queued_by_a_recovery() -> None:
    small_machine(spinlock_cy, task_cy, runqueue_cy, waitqueue_cy, cpus=2)
    child = in_child(begin_and_end_tasks, wait=False)
    nr_recoveries = 0
    while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        exit_cy.recover_queues()
        nr_recoveries += 1
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert nr_recoveries
    assert percpu_cy.cpu_info(1)["nr_queued"] == 0
