"""Waiting in task context for something that another context does."""

import time
from typing import Final

from cpus import context_cy, percpu_cy, task_calls_cy

PAUSE_S: Final = 0.001
TASK_UNINTERRUPTIBLE: Final = 2


def pause() -> None:
    """Let others run for a tick or less: handlers, softirqs, and the tasks of this CPU."""
    if _has_task() and not context_cy.in_atomic() and not context_cy.irqs_disabled():
        task_calls_cy.set_current_state(TASK_UNINTERRUPTIBLE)
        task_calls_cy.schedule_timeout(1)
        return
    percpu_cy.preemption_point()
    time.sleep(PAUSE_S)
    percpu_cy.preemption_point()


def _has_task() -> bool:
    return percpu_cy.cpu_info(percpu_cy.own_cpu())["current"] != 0
