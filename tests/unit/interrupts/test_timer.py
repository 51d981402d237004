"""Kernel timers: when they run, in which order, and how they are taken off."""

import signal

import pytest

from cpus import context_cy, event_cy, kill_cy, percpu_cy
from interrupts import devices, tasklet_cy, tasklet_deaths_cy, timer_cy
from tests.unit.interrupts.rig import KIND_CPU, Rig, native_view, rig, wait_until

__all__ = ["rig"]

TIMER, OTHER = 0xC0001000, 0xC0001100
EXPIRES, FUNCTION, DATA = 2, 3, 4


def set_timer(rig: Rig, address: int, function, data: int = 0, expires: int = 0) -> None:
    timer_cy.init_timer(address)
    words = native_view(address, 40)
    words[EXPIRES], words[FUNCTION], words[DATA] = expires, rig.register(function), data


def tick() -> None:
    """Do what the timer device makes of a tick, on this CPU."""
    tasklet_cy.mark_bh(devices.TIMER_BH)
    percpu_cy.preemption_point()


def test_a_timer_runs_once_when_it_is_due(rig: Rig) -> None:
    runs = []
    set_timer(rig, TIMER, lambda data: runs.append((data, context_cy.in_softirq())), 5)
    timer_cy.add_timer(TIMER)
    assert timer_cy.timer_pending(TIMER) == 1
    assert timer_cy.due()
    tick()
    tick()
    assert runs == [(5, True)]
    assert timer_cy.timer_pending(TIMER) == 0
    assert not timer_cy.due()


def test_a_timer_of_the_future_waits(rig: Rig) -> None:
    runs: list = []
    set_timer(rig, TIMER, runs.append, expires=timer_cy.timer_jiffies() + 1000)
    timer_cy.add_timer(TIMER)
    tick()
    assert runs == [] and not timer_cy.due()
    assert timer_cy.mod_timer(TIMER, timer_cy.timer_jiffies()) == 1
    tick()
    assert runs == [0]
    assert timer_cy.mod_timer(TIMER, timer_cy.timer_jiffies() + 1000) == 0
    assert timer_cy.del_timer(TIMER) == 1
    assert timer_cy.del_timer(TIMER) == 0


def test_timers_run_in_the_order_of_expiry_then_of_adding(rig: Rig) -> None:
    runs: list = []
    for i, expires in enumerate((2, 0, 1, 0)):
        set_timer(rig, TIMER + 64 * i, runs.append, i, expires)
        timer_cy.add_timer(TIMER + 64 * i)
    wait_until(lambda: timer_cy.timer_jiffies() >= 2)
    tick()
    assert runs == [1, 3, 2, 0]


def test_adding_a_pending_timer_is_reported(rig: Rig) -> None:
    set_timer(rig, TIMER, print, expires=1 << 40)
    timer_cy.add_timer(TIMER)
    timer_cy.add_timer(TIMER)
    assert "bug: kernel timer added twice at c0001000." in event_cy.dmesg()


def test_a_timer_may_add_itself_again(rig: Rig) -> None:
    runs = []

    def again(data: int) -> None:
        runs.append(data)
        if len(runs) < 3:
            timer_cy.mod_timer(TIMER, timer_cy.timer_jiffies())

    set_timer(rig, TIMER, again)
    timer_cy.add_timer(TIMER)
    for _ in range(4):
        tick()
    assert len(runs) == 3
    assert timer_cy.del_timer_sync(TIMER) == 0


def test_the_device_raises_what_is_due(rig: Rig) -> None:
    runs: list = []
    set_timer(rig, TIMER, runs.append, 3)
    timer_cy.add_timer(TIMER)
    rig.fork(3, "timer", devices.do_tick)
    wait_until(lambda: runs)
    assert runs == [3]


@pytest.mark.parametrize("rig", [2], indirect=True)
def test_a_timer_whose_cpu_dies_before_it_begins_is_put_back(rig: Rig) -> None:
    def die() -> None:
        kill_cy.arm("timer")
        tick()
        signal.pause()

    runs: list = []
    set_timer(rig, TIMER, runs.append, 9)
    timer_cy.add_timer(TIMER)
    slot = rig.fork(KIND_CPU, "cpu1", die, cpu=1)
    wait_until(lambda: kill_cy.hits()["timer"])
    rig.kill(slot)
    tasklet_cy.release_bh_lock(1)
    tasklet_deaths_cy.adopt_tasklets(1, 0)
    timer_cy.adopt_timers(1)
    tick()
    assert runs == [9]


@pytest.mark.parametrize("rig", [2], indirect=True)
def test_a_pending_timer_stays_when_who_moves_it_dies(rig: Rig) -> None:
    def die() -> None:
        kill_cy.arm("timer_moved")
        timer_cy.mod_timer(TIMER, 0)

    runs: list = []
    set_timer(rig, TIMER, runs.append, 4, expires=1 << 40)
    timer_cy.add_timer(TIMER)
    slot = rig.fork(KIND_CPU, "cpu1", die, cpu=1)
    wait_until(lambda: kill_cy.hits()["timer_moved"])
    rig.kill(slot)
    assert timer_cy.timer_pending(TIMER) == 1
    assert timer_cy.due()
    tick()
    assert runs == [4]
