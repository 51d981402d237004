"""Calls of kernel code in interrupts, whose exceptions and left-overs go no further."""

import traceback
from collections.abc import Callable
from typing import Any, Final

from cpus import bug, context_cy, event_cy, lock_cy
from cpus.errors import KernelBug, KernelPanic

KERN_ALERT: Final = 1


def call_guarded(name: str, call: Callable[..., Any], *arguments: Any) -> bool:
    """Call a function of an interrupt or softirq; false when it raised.

    The context goes on: its spinlocks are released, its interrupt flag and count put back.
    """
    count, irqs_off = context_cy.preempt_count(), context_cy.local_save_flags()
    nr_held = len(lock_cy.held_locks())  # a softirq's CPU may have locks of its task
    failed = False
    try:
        call(*arguments)
    except KernelPanic:
        raise
    except Exception as error:
        failed = True
        report_exception(name, error)
    if len(lock_cy.held_locks()) > nr_held:
        if not failed:
            report_left_locked(name)
        lock_cy.give_back(nr_held)
    if context_cy.preempt_count() != count or context_cy.local_save_flags() != irqs_off:
        context_cy.set_context(count, irqs_off)
    return not failed


def report_exception(name: str, error: Exception) -> None:
    """Put an exception that ended an interrupt context into the log."""
    if isinstance(error, KernelBug):
        return  # reported where it was raised
    text = "".join(traceback.format_exception(error)).rstrip()
    event_cy.log(f"{name}: exception in interrupt\n{text}", KERN_ALERT)


def report_left_locked(name: str) -> None:
    try:
        bug.left_locked(f"{name}: the handler returned with spinlocks held")
    except KernelBug:
        pass  # it is in the log; the interrupt is over
