"""Waiting in task context for something that another context does."""

import time
from collections.abc import Callable
from typing import Any

from cpus import context_cy, percpu_cy

PAUSE_S = 0.001

_sleep: Callable[[int], Any] | None = None


def register_sleep(function: Callable[[int], Any]) -> None:
    """Say how the running task sleeps for some ticks while others run: function(ticks)."""
    global _sleep
    _sleep = function


def pause() -> None:
    """Let others run for a tick or less: handlers, softirqs, and the tasks of this CPU."""
    if _sleep is not None and not context_cy.in_atomic() and _has_task():
        _sleep(1)
        return
    percpu_cy.preemption_point()
    time.sleep(PAUSE_S)
    percpu_cy.preemption_point()


def _has_task() -> bool:
    return percpu_cy.cpu_info(percpu_cy.own_cpu())["current"] != 0
