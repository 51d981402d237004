"""The process of an interrupt line: it becomes the CPU that takes the interrupt.

1. Wait for an edge while the line is enabled, as no CPU.
2. Choose a CPU and take it through its gate: its own process stands still.
3. Run the chain of actions, with interrupts on unless the first has SA_INTERRUPT; other lines
   may nest then, this one never does.
4. Give the CPU back. Softirqs that were raised run in the CPU's own process.
"""

import traceback
from typing import Final

from cpus import bug, context_cy, event_cy, lock_cy, percpu_cy, segment_cy, worker
from cpus.errors import KernelBug, KernelPanic
from interrupts import irq_cy
from interrupts.callbacks import function_at

WAIT_NS: Final = 1_000_000_000  # then the process looks whether the machine still runs
KERN_ALERT: Final = 1


def handler_main(slot: int, inbox: int, outbox: int, line: int) -> None:
    """Serve the interrupts of `line` until the machine ends: the life of a handler process."""
    worker.begin(inbox, outbox)
    serve_line(line)


def serve_line(line: int) -> None:
    """Take the interrupts of `line` until the machine is powered off."""
    irq_cy.handler_ready(line)
    while not segment_cy.powered_off():
        if irq_cy.wait_edge(line, WAIT_NS):
            take_interrupt(line)


def take_interrupt(line: int) -> None:
    """Be a CPU for one interrupt; nothing happens when the line was disabled meanwhile."""
    cpu = irq_cy.choose_cpu(line)
    if cpu < 0 or not percpu_cy.become_cpu(cpu):
        return
    try:
        if irq_cy.begin_irq(line):
            irq_cy.end_irq(line, not run_actions(line))
    finally:
        percpu_cy.leave_cpu()


def run_actions(line: int) -> bool:
    """Call every handler of the chain; true when one of them returned."""
    handled = False
    actions = irq_cy.actions(line)
    if actions and not actions[0][2] & irq_cy.INTERRUPT:
        context_cy.local_irq_enable()
    for address, dev_id, _, name in actions:
        handled |= call_handler(
            lambda a=address, d=dev_id: function_at(a)(line, d, None), name
        )
    context_cy.local_irq_disable()
    return handled


def call_handler(call, name: str) -> bool:
    """Call a function of an interrupt; what it leaves behind is given back. False: it raised.

    Its exception is reported and goes no further: the line, or softirq, stays alive.
    """
    count, irqs_off = context_cy.preempt_count(), context_cy.local_save_flags()
    nr_held = len(lock_cy.held_locks())  # a softirq's CPU may have locks of its task
    try:
        call()
        failed = False
    except KernelPanic:
        raise
    except Exception as error:
        failed = True
        report_exception(name, error)
    if len(lock_cy.held_locks()) > nr_held:
        if not failed:
            report_left_locked(name)
        lock_cy.give_back(nr_held)
    if failed:
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
