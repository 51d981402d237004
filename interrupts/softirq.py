"""The softirq rounds of a CPU's own process, called at its preemption point."""

from typing import Any, cast

from cpus import percpu_cy
from interrupts import softirq_cy, tasklet_cy
from interrupts.callbacks import call_text, function_address
from interrupts.guard import call_guarded


def register() -> None:
    """Have the preemption point run softirqs; in the monitor before it forks."""
    percpu_cy.register_hooks(softirq=do_softirq)


def open_softirq(nr: int, function: Any) -> None:
    """Have softirq `nr` call function(nr); HI and TASKLET are the tasklets' own."""
    softirq_cy.set_vector(nr, function_address(function))


def do_softirq() -> None:
    """Run what is pending on this CPU, if softirqs may run here; outside of any call."""
    pending = softirq_cy.begin_softirqs()
    done = pending
    while pending:
        for nr in range(4):
            if pending >> nr & 1:
                run_softirq(nr)
        pending = softirq_cy.next_softirqs(done)
        done |= pending


def run_softirq(nr: int) -> None:
    if nr in (softirq_cy.HI, softirq_cy.TASKLET):
        run_tasklets(nr)
    elif address := softirq_cy.vector(nr):
        call_guarded(f"softirq {nr}", call_text, address, nr)


def run_tasklets(nr: int) -> None:
    """Run the tasklets that were scheduled on this CPU (tasklet_action, tasklet_hi_action)."""
    tasklet_cy.take_list(nr)
    while entry := tasklet_cy.next_tasklet(nr):
        function, data = cast(tuple[int, int], entry)
        if function < tasklet_cy.BOTTOM_HALVES:
            call_guarded(f"bottom half {function}", bottom_half, function)
        else:
            call_guarded("tasklet", call_text, function, data)
        tasklet_cy.finish_tasklet()


# What a bottom half does; registered in the monitor before it forks. Number → function().
bottom_halves: dict[int, Any] = {}


def bottom_half(nr: int) -> None:
    """Run an old bottom half: one at a time on the whole machine (bh_action)."""
    if not tasklet_cy.begin_bh(nr):
        return
    try:
        if nr in bottom_halves:
            bottom_halves[nr]()
    finally:
        tasklet_cy.end_bh()
