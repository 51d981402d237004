"""What locks that tasks sleep for count: each side, who waited, how long it was held."""

import os

import pytest

from cpus import lockstat, percpu_cy, runqueue_cy, rwsem_cy, semaphore_cy, task_calls_cy
from tests.support import KIND_CPU, in_child
from tests.unit.cpus.tasks import RAM, Tasks


@pytest.fixture
def tasks() -> Tasks:
    return Tasks(cpus=2)


def only() -> lockstat.LockClass:
    """Return the statistics of the one class of sleeping locks."""
    (one,) = (c for c in lockstat.gather().classes if c.kind == "semaphore")
    return one


def section(take, give):
    take(RAM)
    task_calls_cy.yield_()
    give(RAM)


def test_readers_and_writers_are_counted_apart_with_their_hold_times(tasks):
    rwsem_cy.init_rwsem(RAM)
    tasks.spawn(section, rwsem_cy.down_write, rwsem_cy.up_write)
    tasks.spawn(section, rwsem_cy.down_read, rwsem_cy.up_read)
    tasks.spawn(section, rwsem_cy.down_read, rwsem_cy.up_read)
    tasks.run()
    assert not tasks.errors
    one = only()
    assert (one.write.acquisitions, one.write.contentions, one.write.nr_timed) == (1, 0, 1)
    assert (one.read.acquisitions, one.read.contentions, one.read.nr_timed) == (2, 2, 2)
    assert one.read.wait_total_ns >= one.write.hold_total_ns > 0
    assert [p.contentions for p in one.points] == [2]
    text = lockstat.proc_text(lockstat.gather())
    assert f"{one.name}-W:" in text and f"{one.name}-R:" in text


@pytest.mark.parametrize(
    ("init", "take", "give"),
    [
        (semaphore_cy.init_MUTEX, semaphore_cy.down, semaphore_cy.up),
        (rwsem_cy.init_rwsem, rwsem_cy.down_write, rwsem_cy.up_write),
    ],
)
def test_a_wait_for_what_another_cpu_took_last_is_a_bounce(tasks, init, take, give):
    init(RAM)

    def use_on_cpu_1():
        percpu_cy.take_slot(1, KIND_CPU, "cpu1", 1)
        percpu_cy.become(1, os.getpid())
        take(RAM)

    in_child(use_on_cpu_1)
    tasks.spawn(take, RAM)
    tasks.spawn(give, RAM)
    tasks.run()
    assert not tasks.errors
    one = only()
    assert (one.con_bounces, one.acq_bounces, one.contentions) == (1, 1, 1)
    assert one.descheduled_ns <= one.wait_total_ns
    assert one.parked_ns == 0


def test_a_wait_that_a_signal_ends_is_no_contention(tasks):
    semaphore_cy.init_MUTEX(RAM)
    tasks.spawn(semaphore_cy.down, RAM)
    at = tasks.spawn(semaphore_cy.down_interruptible, RAM)
    tasks.run()
    runqueue_cy.signal_at(at, False)
    tasks.run()
    assert (only().acquisitions, only().contentions) == (1, 0)
