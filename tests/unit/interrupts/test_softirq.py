"""Softirqs, tasklets and bottom halves: where, when and how often they run."""

import signal

import pytest

from cpus import context_cy, event_cy, kill_cy, percpu_cy
from interrupts import irq, softirq, softirq_cy, tasklet_cy, tasklet_deaths_cy
from tests.unit.interrupts.rig import KIND_CPU, Rig, rig, wait_until

__all__ = ["rig"]

TASKLET, OTHER = 0xC0001000, 0xC0001100
SCHED, RUN = 1, 2


@pytest.fixture
def ran(rig: Rig) -> list:
    """Return what the tasklet of `TASKLET` saw: (data, preempt_count) of each run."""
    seen: list = []
    tasklet_cy.tasklet_init(
        TASKLET, lambda data: seen.append((data, context_cy.preempt_count())), 7
    )
    return seen


def test_a_tasklet_runs_once_at_the_preemption_point(ran: list) -> None:
    context_cy.local_bh_disable()
    tasklet_cy.tasklet_schedule(TASKLET)
    tasklet_cy.tasklet_schedule(TASKLET)
    percpu_cy.preemption_point()
    assert ran == []
    assert tasklet_cy.tasklet_info(TASKLET)["state"] == SCHED
    context_cy.local_bh_enable()
    assert ran == [(7, 0x100)]
    assert tasklet_cy.tasklet_info(TASKLET)["state"] == 0
    assert context_cy.preempt_count() == 0


def test_a_tasklet_waits_for_interrupts_to_be_enabled(ran: list) -> None:
    context_cy.local_irq_disable()
    tasklet_cy.tasklet_schedule(TASKLET)
    percpu_cy.preemption_point()
    assert ran == []
    context_cy.local_irq_enable()
    percpu_cy.preemption_point()
    assert len(ran) == 1


def test_a_tasklet_that_schedules_itself_runs_again_at_the_next_interrupt(rig: Rig) -> None:
    runs = []

    def again(data: int) -> None:
        runs.append(data)
        tasklet_cy.tasklet_schedule(TASKLET)

    tasklet_cy.tasklet_init(TASKLET, again, 0)
    tasklet_cy.tasklet_schedule(TASKLET)
    percpu_cy.preemption_point()
    percpu_cy.preemption_point()
    assert len(runs) == 1  # the restart rule: its vector was in this round
    assert percpu_cy.cpu_info(0)["softirq_pending"] == 1 << softirq_cy.TASKLET
    irq.request_irq(5, lambda *_: None, 0, "tick", 0)
    irq.raise_irq(5)
    wait_until(lambda: len(runs) == 2)


def test_a_vector_that_is_new_makes_another_round(rig: Rig, ran: list) -> None:
    tasklet_cy.tasklet_init(OTHER, lambda data: tasklet_cy.tasklet_hi_schedule(TASKLET), 0)
    tasklet_cy.tasklet_schedule(OTHER)
    percpu_cy.preemption_point()
    assert len(ran) == 1
    assert softirq_cy.softirq_counts(0) == [1, 0, 0, 1]


def test_a_disabled_tasklet_waits(ran: list) -> None:
    tasklet_cy.tasklet_disable(TASKLET)
    tasklet_cy.tasklet_disable_nosync(TASKLET)
    tasklet_cy.tasklet_schedule(TASKLET)
    percpu_cy.preemption_point()
    tasklet_cy.tasklet_enable(TASKLET)
    softirq_cy.raise_softirq(softirq_cy.TASKLET)
    percpu_cy.preemption_point()
    assert ran == []
    tasklet_cy.tasklet_enable(TASKLET)
    softirq_cy.raise_softirq(softirq_cy.TASKLET)
    percpu_cy.preemption_point()
    assert len(ran) == 1


def test_a_handler_leaves_its_tasklet_to_the_cpu_it_interrupted(rig: Rig, ran: list) -> None:
    def handler(line, dev_id, regs):
        tasklet_cy.tasklet_schedule(TASKLET)

    assert irq.request_irq(5, handler, 0, "tick", 0) == 0
    irq.raise_irq(5)
    wait_until(lambda: ran)
    assert ran == [(7, 0x100)]


def test_an_exception_in_a_tasklet_ends_that_tasklet_only(rig: Rig, ran: list) -> None:
    tasklet_cy.tasklet_init(OTHER, lambda data: {}["missing"], 0)
    tasklet_cy.tasklet_schedule(OTHER)
    tasklet_cy.tasklet_schedule(TASKLET)
    percpu_cy.preemption_point()
    assert len(ran) == 1
    assert "KeyError: 'missing'" in event_cy.dmesg()
    assert tasklet_cy.tasklet_info(OTHER)["state"] == 0
    assert context_cy.preempt_count() == 0


def test_killing_a_tasklet_waits_until_it_has_run(ran: list) -> None:
    tasklet_cy.tasklet_schedule(TASKLET)
    tasklet_cy.tasklet_kill(TASKLET)
    assert len(ran) == 1


def test_bottom_halves_run_one_at_a_time(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []

    def inner() -> None:
        runs.append("inner")

    def outer() -> None:
        runs.append("outer")
        assert not tasklet_cy.begin_bh(9)  # what another CPU would find: marked again

    monkeypatch.setitem(softirq.bottom_halves, 9, inner)
    monkeypatch.setitem(softirq.bottom_halves, 1, outer)
    tasklet_cy.mark_bh(1)
    percpu_cy.preemption_point()
    assert runs == ["outer"]
    softirq_cy.raise_softirq(softirq_cy.HI)
    percpu_cy.preemption_point()
    assert runs == ["outer", "inner"]


def test_a_registered_softirq_runs_with_its_number(rig: Rig) -> None:
    runs: list = []
    softirq.open_softirq(softirq_cy.NET_RX, runs.append)
    softirq_cy.raise_softirq(softirq_cy.NET_RX)
    percpu_cy.preemption_point()
    assert runs == [softirq_cy.NET_RX]
    with pytest.raises(ValueError, match="no softirq 4"):
        softirq_cy.raise_softirq(4)


@pytest.mark.parametrize("rig", [2], indirect=True)
@pytest.mark.parametrize("point", [None, "tasklet", "softirq"])
def test_a_live_cpu_adopts_the_tasklets_of_a_dead_one(rig: Rig, ran: list, point) -> None:
    def die() -> None:
        context_cy.local_bh_disable()
        tasklet_cy.tasklet_schedule(OTHER)
        tasklet_cy.tasklet_schedule(TASKLET)
        if point:
            kill_cy.arm(point)
            context_cy.local_bh_enable()
        rig.shared[0] = 1
        signal.pause()

    tasklet_cy.tasklet_init(OTHER, lambda data: ran.append(data), 8)
    slot = rig.fork(KIND_CPU, "cpu1", die, cpu=1)
    while not (rig.shared[0] or point and kill_cy.hits()[point]):
        pass
    rig.kill(slot)
    assert tasklet_deaths_cy.adopt_tasklets(1, 0) == 2
    percpu_cy.preemption_point()
    assert [each for each in ran if each != 8] == [(7, 0x100)] and 8 in ran
    assert tasklet_cy.tasklet_info(TASKLET)["state"] == 0


@pytest.mark.parametrize("rig", [2], indirect=True)
def test_a_tasklet_that_is_due_again_elsewhere_when_its_cpu_dies_runs_once(
    rig: Rig, ran: list
) -> None:
    def stay(data: int) -> None:
        rig.shared[0] = 1
        signal.pause()

    def die() -> None:
        tasklet_cy.tasklet_schedule(OTHER)
        percpu_cy.preemption_point()

    tasklet_cy.tasklet_init(OTHER, stay, 0)
    slot = rig.fork(KIND_CPU, "cpu1", die, cpu=1)
    while not rig.shared[0]:
        pass
    runs: list = []
    rig.functions[tasklet_cy.tasklet_info(OTHER)["func"]] = runs.append
    context_cy.local_bh_disable()
    tasklet_cy.tasklet_schedule(TASKLET)
    tasklet_cy.tasklet_schedule(OTHER)  # it is on the list of this CPU, and runs on the other
    rig.kill(slot)
    assert tasklet_deaths_cy.adopt_tasklets(1, 0) == 0
    context_cy.local_bh_enable()
    percpu_cy.preemption_point()
    assert (runs, len(ran)) == ([0], 1)
    assert tasklet_cy.tasklet_info(OTHER)["state"] == 0
