"""A task dies with its CPU in a sleeping lock: what it held is given back, once."""

import os
import signal
from collections.abc import Callable

import pytest

from cpus import exit_cy, kill_cy, percpu_cy, reap_cy, rwsem_cy, semaphore_cy, task_calls_cy
from tests.support import KIND_CPU, in_child
from tests.unit.cpus.tasks import RAM, Tasks


@pytest.fixture
def tasks() -> Tasks:
    return Tasks(cpus=2)


def die_on_cpu1(tasks: Tasks, function: Callable, point: str = "") -> None:
    """Run a task on CPU 1, in a process that dies at a kill point or after it."""
    percpu_cy.take_slot(1, KIND_CPU, "cpu1", 1)

    def body() -> None:
        function()
        os.kill(os.getpid(), signal.SIGKILL)

    def cpu() -> None:
        percpu_cy.become(1, os.getpid())
        tasks.spawn(body, pid=200)
        if point:
            kill_cy.arm(point)
        tasks.run()

    in_child(cpu, expect=signal.SIGKILL)
    if point:
        assert kill_cy.hits()[point] == 1
    percpu_cy.mark_dead(1)
    reap_cy.reap_slot(1)


def free_count() -> int:
    """Take all that is free of the semaphore; returns how much that was."""
    taken = 0
    while semaphore_cy.down_trylock(RAM) == 0:
        taken += 1
    return taken


def write(tasks: Tasks) -> None:
    rwsem_cy.down_write(RAM)
    tasks.log.append("written")
    rwsem_cy.up_write(RAM)


def test_a_dead_reader_does_not_cost_the_one_who_buries_it_its_own_note(tasks: Tasks) -> None:
    rwsem_cy.init_rwsem(RAM)

    def bury() -> None:
        rwsem_cy.down_read(RAM)
        tasks.log.append(len(exit_cy.bury_tasks(1)[0][2]))
        task_calls_cy.set_current_state(2)
        task_calls_cy.schedule()

    die_on_cpu1(tasks, lambda: rwsem_cy.down_read(RAM))
    tasks.spawn(bury, pid=7)
    tasks.run()
    assert tasks.log == [1]
    ((pid, _, held),) = exit_cy.bury_tasks(0)
    assert (pid, len(held)) == (7, 1)


@pytest.mark.parametrize("point", ["sem_down", ""])
def test_the_read_side_of_one_who_died_in_taking_it_is_free(tasks: Tasks, point: str) -> None:
    rwsem_cy.init_rwsem(RAM)
    die_on_cpu1(tasks, lambda: rwsem_cy.down_read(RAM), point)
    ((_, _, held),) = exit_cy.bury_tasks(1)
    assert len(held) == 1
    tasks.spawn(write, tasks)
    assert tasks.run() == ["written"]


def test_a_reader_who_arrives_before_the_burial_does_not_hide_the_dead_one(
    tasks: Tasks,
) -> None:
    rwsem_cy.init_rwsem(RAM)
    die_on_cpu1(tasks, lambda: rwsem_cy.down_read(RAM), "sem_down")

    def read() -> None:
        rwsem_cy.down_read(RAM)
        rwsem_cy.up_read(RAM)

    tasks.spawn(read)
    tasks.run()
    assert len(exit_cy.bury_tasks(1)[0][2]) == 1
    tasks.spawn(write, tasks)
    assert tasks.run() == ["written"]


def test_the_read_side_of_one_who_died_in_giving_it_back_is_given_once(tasks: Tasks) -> None:
    rwsem_cy.init_rwsem(RAM)

    def read() -> None:
        rwsem_cy.down_read(RAM)
        task_calls_cy.set_current_state(2)
        task_calls_cy.schedule()

    def read_and_leave() -> None:
        rwsem_cy.down_read(RAM)
        rwsem_cy.up_read(RAM)

    tasks.spawn(read, pid=7)
    tasks.run()
    die_on_cpu1(tasks, read_and_leave, "sem_up")
    assert exit_cy.bury_tasks(1)[0][2] == []
    tasks.spawn(write, tasks, pid=8)
    assert tasks.run() == []
    assert tasks.asleep() == [7, 8]


def test_a_token_given_back_is_given_once(tasks: Tasks) -> None:
    semaphore_cy.sema_init(RAM, 2)

    def take_and_give() -> None:
        semaphore_cy.down(RAM)
        semaphore_cy.up(RAM)

    semaphore_cy.down_trylock(RAM)
    die_on_cpu1(tasks, take_and_give, "sem_up")
    assert exit_cy.bury_tasks(1)[0][2] == []
    assert free_count() == 1


def test_the_note_that_goes_with_a_token_is_that_of_who_gives_it(tasks: Tasks) -> None:
    """Also when another task took one after it."""
    semaphore_cy.sema_init(RAM, 2)

    def take_and_give() -> None:
        semaphore_cy.down(RAM)
        tasks.spawn(semaphore_cy.down, RAM, pid=201)
        task_calls_cy.yield_()
        semaphore_cy.up(RAM)

    die_on_cpu1(tasks, take_and_give)
    ((pid, _, held),) = exit_cy.bury_tasks(1)  # the other has ended, and keeps its token
    assert (pid, held) == (200, [])
    assert free_count() == 1


def test_a_dead_taker_of_one_of_two_tokens_had_it(tasks: Tasks) -> None:
    semaphore_cy.sema_init(RAM, 2)
    die_on_cpu1(tasks, lambda: semaphore_cy.down(RAM), "sem_down")
    assert semaphore_cy.down_trylock(RAM) == 0
    semaphore_cy.up(RAM)
    assert len(exit_cy.bury_tasks(1)[0][2]) == 1
    assert free_count() == 2
