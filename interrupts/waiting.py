"""Waiting in task context for something that another context does."""

import time

from cpus import percpu_cy

PAUSE_S = 0.001


def pause() -> None:
    """Let others run for a tick or less: handlers, softirqs, and the tasks of this CPU."""
    percpu_cy.preemption_point()
    time.sleep(PAUSE_S)
    percpu_cy.preemption_point()
