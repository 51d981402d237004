"""The task queue calls of drivers, and who runs the queues.

tq_timer is run by TQUEUE_BH in the tick after, tq_immediate by IMMEDIATE_BH when a driver
marks that, keventd's queue by a kernel thread, in a context that may sleep.
"""

from collections.abc import Callable
from typing import Any, Final, cast

from cpus import context_cy, worker
from interrupts import tqueue_cy
from interrupts.callbacks import call_text
from interrupts.guard import call_guarded
from interrupts.tasklet_cy import mark_bh
from interrupts.waiting import pause

__all__ = ["flush_scheduled_tasks", "mark_bh", "queue_task", "run_task_queue", "schedule_task"]

TIMER_BH: Final = 0
TQUEUE_BH: Final = 1
IMMEDIATE_BH_NUMBER: Final = 9


def tq_timer() -> int:
    """Return what queue_task calls tq_timer."""
    return tqueue_cy.TIMER


def tq_immediate() -> int:
    """Return what queue_task calls tq_immediate."""
    return tqueue_cy.IMMEDIATE


def IMMEDIATE_BH() -> int:
    """Return the number of the bottom half that runs tq_immediate."""
    return IMMEDIATE_BH_NUMBER


def queue_task(task: Any, queue: int) -> int:
    """Queue a task on tq_timer or tq_immediate; 1, or 0 when it is queued. Any context."""
    return tqueue_cy.queue_on(task, int(queue), "queue_task")


def run_task_queue(queue: int) -> None:
    """Call the routines of a queue, those that are queued now, in order."""
    last = tqueue_cy.last_queued()
    while due := tqueue_cy.next_task(queue, last):
        routine, data = cast(tuple[int, int], due)
        call_guarded("task queue", call_text, routine, data)
        tqueue_cy.finish_task(queue)


def tqueue_bh() -> None:
    run_task_queue(tqueue_cy.TIMER)


def immediate_bh() -> None:
    run_task_queue(tqueue_cy.IMMEDIATE)


def schedule_task(task: Any) -> int:
    """Queue a task for keventd; 1, or 0 when it is queued. Any context."""
    queued = tqueue_cy.queue_on(task, tqueue_cy.CONTEXT, "schedule_task")
    if queued:
        wake_keventd()
    return queued


def _ask_monitor() -> None:
    worker.request_monitor("keventd")


# How keventd is woken: function() -> None, which need not wait for it.
wake_keventd: Callable[[], None] = _ask_monitor


def run_context_queue() -> None:
    """Call the routines that schedule_task has queued: a task of the kernel's own."""
    run_task_queue(tqueue_cy.CONTEXT)


def flush_scheduled_tasks() -> None:
    """Wait until what schedule_task has queued so far has run; may sleep."""
    context_cy.might_sleep()
    last = tqueue_cy.last_queued()
    while not tqueue_cy.is_done(tqueue_cy.CONTEXT, last):
        pause()
