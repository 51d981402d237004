"""The process of an interrupt line: it becomes the CPU that takes the interrupt.

1. Wait for an edge while the line is enabled, as no CPU; load functions that are new to it.
2. Choose a CPU and take it through its gate: its own process stands still.
3. Run the chain of actions, with interrupts on unless the first has SA_INTERRUPT; other lines
   may nest then, this one never does.
4. Give the CPU back. Softirqs that were raised run in the CPU's own process.
"""

import contextlib
from typing import Final

from cpus import context_cy, gate_cy, host_cy, kill_cy, segment_cy, worker
from interrupts import irq_cy
from interrupts.callbacks import call_text, function_at
from interrupts.guard import call_guarded

_loaded: set[int] = set()  # addresses that this process has tried to load

WAIT_NS: Final = 1_000_000_000  # then the process looks whether the machine still runs


def handler_main(slot: int, line: int) -> None:
    """Serve the interrupts of `line` until the machine ends: the life of a handler process."""
    worker.begin()
    host_cy.be_prompt()
    serve_line(line)


def serve_line(line: int) -> None:
    """Take the interrupts of `line` until the machine is powered off."""
    irq_cy.handler_ready(line)
    while not segment_cy.powered_off():
        if irq_cy.wait_edge(line, WAIT_NS):
            load_handlers(line)
            take_interrupt(line)


def load_handlers(line: int) -> None:
    """Load the functions of the chain, once each, while no CPU stands still for it."""
    for address, *_ in irq_cy.actions(line):
        if address not in _loaded:
            _loaded.add(address)
            with contextlib.suppress(Exception):  # its call, as a CPU, reports it
                function_at(address)


def take_interrupt(line: int) -> None:
    """Be a CPU for one interrupt; nothing happens when the line was disabled meanwhile."""
    cpu = irq_cy.choose_cpu(line)
    if cpu < 0 or not gate_cy.become_cpu(cpu):
        return
    try:
        if irq_cy.begin_irq(line):
            irq_cy.end_irq(line, not run_actions(line))
    finally:
        gate_cy.leave_cpu()


def run_actions(line: int) -> bool:
    """Call every handler of the chain; true when one of them returned."""
    handled = False
    actions = irq_cy.actions(line)
    if actions and not actions[0][2] & irq_cy.INTERRUPT:
        context_cy.local_irq_enable()
    for address, dev_id, _, name in actions:
        kill_cy.pass_point("irq_handler")
        handled |= call_guarded(name, call_text, address, line, dev_id, None)
    context_cy.local_irq_disable()
    return handled
