"""Devices: processes that raise interrupts. The timer is one, the synthetic device another."""

import random
import time
from typing import Final

from cpus import gate_cy, host_cy, segment_cy, worker
from interrupts import globalirq_cy, irq_cy, tasklet_cy, tick_cy, timer_cy, tqueue_cy

TIMER_BH: Final = 0
TQUEUE_BH: Final = 1
GATE_NS: Final = 2_000_000  # how long the tick waits for a CPU to let it in
LATE_S: Final = 0.05  # a synthetic device that is later than this starts anew
TAKEN_S: Final = 0.001  # how long a late edge waits for the one before it
LOOK_S: Final = 0.00005


def timer_main(slot: int) -> None:
    """Be the timer device: a tick HZ times a second."""
    worker.begin()
    host_cy.be_prompt()
    tick = timer_cy.timer_jiffies()
    while tick := tick_cy.wait_tick(tick):
        do_tick()


def do_tick() -> None:
    """Look at every CPU; interrupt the one that keeps the time when something is due.

    Each tick counts as an interrupt of line 0 there, also one that need not interrupt it.
    """
    keeper = tick_cy.look_at_cpus()
    if keeper < 0:
        return
    globalirq_cy.count_timer_irq(keeper)
    if not (timer_cy.due() or tqueue_cy.nr_queued(tqueue_cy.TIMER)):
        return
    if not gate_cy.try_become_cpu(keeper, GATE_NS):
        return  # its interrupts are off: the next tick tries again
    try:
        if timer_cy.due():
            tasklet_cy.mark_bh(TIMER_BH)
        if tqueue_cy.nr_queued(tqueue_cy.TIMER):
            tasklet_cy.mark_bh(TQUEUE_BH)
    finally:
        gate_cy.leave_cpu()


def synthetic_main(slot: int, line: int, rate: float, seed: int) -> None:
    """Be a device that raises `line`, `rate` times a second on average, with random gaps."""
    worker.begin()
    host_cy.be_prompt()
    run_synthetic(line, rate, seed)


def run_synthetic(line: int, rate: float, seed: int, nr_edges: int | None = None) -> None:
    """Raise edges with exponential gaps until the machine ends, or `nr_edges` of them."""
    gaps = random.Random(f"{seed} irq {line}")
    due = time.monotonic()
    while nr_edges != 0 and not segment_cy.powered_off():
        due += gaps.expovariate(rate)
        wait = due - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        else:
            wait_taken(line)
            if wait < -LATE_S:
                due = time.monotonic()
        irq_cy.raise_irq(line)
        if nr_edges is not None:
            nr_edges -= 1


def wait_taken(line: int) -> None:
    """Wait a moment until the last edge is taken: who is late would merge this one with it.

    On a busy host the device is not run for milliseconds, and then several edges are due.
    """
    until = time.monotonic() + TAKEN_S
    while irq_cy.is_pending(line) and time.monotonic() < until:
        time.sleep(LOOK_S)
