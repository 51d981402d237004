"""Task queues: once each, in order, by whom."""

from cpus import context_cy, percpu_cy
from interrupts import tasklet_cy, tqueue, tqueue_cy
from tests.unit.interrupts.rig import Rig, native_view, rig

__all__ = ["rig"]

TASK = 0xC0001000
SYNC, ROUTINE, DATA = 2, 3, 4


def set_task(rig: Rig, address: int, routine, data: int) -> memoryview:
    words = native_view(address, 40)
    words[ROUTINE], words[DATA] = rig.register(routine), data
    return words


def test_tq_immediate_runs_in_order_when_its_bottom_half_is_marked(rig: Rig) -> None:
    runs: list = []
    for i in range(3):
        set_task(rig, TASK + 64 * i, runs.append, i)
        assert tqueue.queue_task(TASK + 64 * i, tqueue.tq_immediate()) == 1
    assert tqueue.queue_task(TASK, tqueue.tq_immediate()) == 0
    percpu_cy.preemption_point()
    assert runs == []
    tqueue.mark_bh(tqueue.IMMEDIATE_BH())
    percpu_cy.preemption_point()
    assert runs == [0, 1, 2]


def test_a_task_may_queue_itself_for_the_next_run(rig: Rig) -> None:
    runs = []

    def again(data: int) -> None:
        runs.append(words[SYNC])
        tqueue.queue_task(TASK, tqueue.tq_timer())

    words = set_task(rig, TASK, again, 0)
    tqueue.queue_task(TASK, tqueue.tq_timer())
    tasklet_cy.mark_bh(1)
    percpu_cy.preemption_point()
    assert runs == [0] and words[SYNC] == 1
    assert tqueue_cy.nr_queued(tqueue.tq_timer()) == 1


def test_schedule_task_runs_where_it_may_sleep(rig: Rig, monkeypatch) -> None:
    wanted: list = []
    runs: list = []
    monkeypatch.setattr(tqueue, "wake_keventd", lambda: wanted.append(1))
    set_task(rig, TASK, lambda data: runs.append((data, context_cy.in_interrupt())), 4)
    assert tqueue.schedule_task(TASK) == 1
    assert tqueue.schedule_task(TASK) == 0
    assert wanted == [1]
    assert not tqueue_cy.is_done(tqueue_cy.CONTEXT, tqueue_cy.last_queued())
    tqueue.run_context_queue()
    assert runs == [(4, False)]
    tqueue.flush_scheduled_tasks()
