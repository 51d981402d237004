"""Tasks sleep in order and are woken in order: run queue, semaphores, wait queues."""

import pytest

from cpus import (
    event_cy,
    exit_cy,
    runqueue_cy,
    rwsem_cy,
    semaphore_cy,
    task_calls_cy,
    task_cy,
    wait_cy,
)
from cpus.errors import Deadlock
from tests.unit.cpus.tasks import RAM, Tasks

EINTR = 4


@pytest.fixture
def tasks() -> Tasks:
    return Tasks()


def test_a_semaphore_lets_waiters_in_by_the_order_of_their_coming(tasks):
    semaphore_cy.sema_init(RAM, 1)

    def section(name):
        semaphore_cy.down(RAM)
        tasks.log.append(f"{name} in")
        task_calls_cy.yield_()
        tasks.log.append(f"{name} out")
        semaphore_cy.up(RAM)

    for name in "abc":
        tasks.spawn(section, name)
    assert tasks.run() == ["a in", "a out", "b in", "b out", "c in", "c out"]
    assert tasks.asleep() == []
    assert not tasks.errors


def test_down_interruptible_ends_with_a_signal_and_leaves_the_queue(tasks):
    semaphore_cy.sema_init(RAM, 0)
    at = tasks.spawn(lambda: tasks.log.append(semaphore_cy.down_interruptible(RAM)), pid=7)
    tasks.run()
    assert tasks.asleep() == [7]
    runqueue_cy.signal_at(at, False)
    assert tasks.run() == [-EINTR]
    semaphore_cy.up(RAM)
    assert semaphore_cy.down_trylock(RAM) == 0


def switches() -> list[tuple[int, int]]:
    return [(e["a"], e["b"]) for e in event_cy.read_events(0) if e["type"] == "sched_switch"]


def test_a_switch_is_recorded_with_the_task_that_leaves_and_the_one_that_comes(tasks):
    for pid in (7, 8):
        tasks.spawn(task_calls_cy.yield_, pid=pid)
    tasks.run()
    assert switches() == [(0, 7), (7, 8), (8, 7), (7, 8)]
    runqueue_cy.note_idle()
    runqueue_cy.note_idle()
    assert switches()[-1] == (8, 0)
    tasks.spawn(task_calls_cy.yield_, pid=9)  # it is its own successor: no switch
    tasks.run()
    assert switches()[5:] == [(0, 9)]


def test_a_wait_that_closes_a_cycle_is_refused_with_both_tasks_named(tasks):
    first, second = RAM, RAM + 128
    semaphore_cy.sema_init(first, 1)
    semaphore_cy.sema_init(second, 1)

    def take(a, b):
        semaphore_cy.down(a)
        task_calls_cy.yield_()
        try:
            semaphore_cy.down(b)
            semaphore_cy.up(b)
        finally:
            semaphore_cy.up(a)
        tasks.log.append("done")

    tasks.spawn(take, first, second, pid=1)
    tasks.spawn(take, second, first, pid=2)
    assert tasks.run() == ["done"]
    (error,) = tasks.errors
    assert isinstance(error, Deadlock)
    assert "task 2 waits" in error.report
    assert "held by task 1" in error.report


def test_a_wake_up_takes_every_shared_sleeper_and_one_exclusive(tasks):
    wait_cy.init_waitqueue_head(RAM)

    def sleeper(exclusive):
        wait_cy.prepare_to_wait(RAM, 2, exclusive)
        task_calls_cy.schedule()
        wait_cy.finish_wait(RAM)

    for pid, exclusive in ((1, False), (2, True), (3, True), (4, False)):
        tasks.spawn(sleeper, exclusive, pid=pid)
    tasks.run()
    assert tasks.asleep() == [1, 2, 3, 4]
    wait_cy.wake_up(RAM)
    tasks.run()
    assert tasks.asleep() == [3]
    wait_cy.wake_up_all(RAM)
    tasks.run()
    assert tasks.asleep() == []
    assert not tasks.errors


def test_a_wait_for_a_condition_sleeps_through_wake_ups_that_do_not_make_it_true(tasks):
    wait_cy.init_waitqueue_head(RAM)
    ready = []
    tasks.spawn(lambda: wait_cy.wait_event(RAM, lambda: len(ready) > 1), pid=5)
    tasks.run()
    for _ in range(2):
        assert tasks.asleep() == [5]
        ready.append(True)
        wait_cy.wake_up(RAM)
        tasks.run()
    assert tasks.asleep() == []


def test_a_completion_lets_as_many_go_on_as_it_was_completed(tasks):
    wait_cy.init_completion(RAM)
    for pid in (1, 2, 3):
        tasks.spawn(wait_cy.wait_for_completion, RAM, pid=pid)
    tasks.run()
    wait_cy.complete(RAM)
    tasks.run()
    assert tasks.asleep() == [2, 3]
    wait_cy.complete_all(RAM)
    tasks.run()
    tasks.spawn(wait_cy.wait_for_completion, RAM, pid=4)
    tasks.run()
    assert tasks.asleep() == []


def test_readers_share_and_a_writer_is_alone(tasks):
    rwsem_cy.init_rwsem(RAM)

    def read(name):
        rwsem_cy.down_read(RAM)
        tasks.log.append(f"{name}+")
        task_calls_cy.yield_()
        tasks.log.append(f"{name}-")
        rwsem_cy.up_read(RAM)

    def write(name):
        rwsem_cy.down_write(RAM)
        tasks.log.append(f"{name}+")
        task_calls_cy.yield_()
        tasks.log.append(f"{name}-")
        rwsem_cy.up_write(RAM)

    for name, call in (("r", read), ("s", read), ("W", write), ("t", read)):
        tasks.spawn(call, name)
    log = tasks.run()
    assert log[:2] == ["r+", "s+"]
    at = log.index("W+")
    assert log[at + 1] == "W-"
    assert sorted(log) == sorted(f"{n}{sign}" for n in "rsWt" for sign in "+-")


def test_a_queue_is_rebuilt_from_what_the_tasks_say(tasks):
    for name in "abc":
        tasks.spawn(tasks.log.append, name)
    exit_cy.recover_queues()
    assert sorted(tasks.run()) == ["a", "b", "c"]


def test_a_time_out_is_noted_for_the_timer(tasks):
    def sleep():
        task_calls_cy.set_current_state(2)
        task_calls_cy.schedule_timeout(5)

    at = tasks.spawn(sleep, pid=9)
    tasks.run()
    (task,) = task_cy.all_tasks()
    assert task["wake_ns"] > 0
    runqueue_cy.wake_at(at)
    tasks.run()
    assert task_cy.all_tasks() == []
