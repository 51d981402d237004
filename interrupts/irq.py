"""The interrupt calls of drivers, and /proc/interrupts (arch/i386/kernel/irq.c)."""

from collections.abc import Callable
from typing import Any, Final

from cpus import event_cy, segment_cy, worker
from cpus.handle_cy import address_of
from interrupts import irq_cy, irq_manage_cy
from interrupts.callbacks import function_address
from interrupts.globalirq_cy import cli, restore_flags, save_flags, sti, timer_counts
from interrupts.irq_cy import raise_irq
from interrupts.waiting import pause

__all__ = [
    "cli",
    "disable_irq",
    "disable_irq_nosync",
    "enable_irq",
    "free_irq",
    "interrupts_text",
    "raise_irq",
    "request_irq",
    "restore_flags",
    "save_flags",
    "sti",
    "synchronize_irq",
]

ENOMEM: Final = 12
EINVAL: Final = 22
START_TRIES: Final = 2000  # of some ms: until a handler process must be ready
KERN_WARNING: Final = 4

# Lines whose interrupts come through the old controller, and its name in /proc/interrupts.
CONTROLLERS: Final = {2: "XT-PIC"}
CONTROLLER: Final = "IO-APIC-edge"


def _ask_monitor(line: int) -> None:
    worker.request_monitor("irq_handler", line)


# How a line's handler process is started: function(line), which need not wait for it.
start_handler: Callable[[int], None] = _ask_monitor


def request_irq(irq: int, handler: Any, flags: int, name: str, dev_id: Any) -> int:
    """Have `handler(irq, dev_id, regs)` called for interrupts of a line; 0 or -errno.

    May sleep: the line's handler process is started, and ready when this returns. -EINVAL: no
    such line, no handler, or SA_SHIRQ without a dev_id; -EBUSY: the line is taken and not
    shared; -ENOMEM: the host has no room for the handler process.
    """
    irq_manage_cy.enter_request()
    device = address_of(dev_id)
    if flags & irq_cy.SHIRQ and not device:
        event_cy.log(f"Bad boy: {name} called us without a dev_id!", KERN_WARNING)
        return -EINVAL
    if not 0 <= irq < irq_cy.NR_LINES or not handler:
        return -EINVAL
    address = function_address(handler)
    if not start_line(irq):
        return -ENOMEM
    return irq_manage_cy.add_action(
        irq, address, flags & 0xFFFFFFFF, name.encode()[:31], device
    )


def start_line(irq: int) -> bool:
    """Start the handler process of a line unless it has one, and wait until it is ready.

    False when the host refuses it; the log says why.
    """
    refused = irq_manage_cy.nr_refused(irq)
    tries = 0
    while not irq_manage_cy.has_handler(irq):
        if irq_manage_cy.nr_refused(irq) != refused:
            return False
        if tries == 0:
            start_handler(irq)
        if tries == START_TRIES:
            raise RuntimeError(f"irq {irq}: its handler process did not start")
        irq_manage_cy.wait_handler(irq)
        if tries:
            pause()  # not the first millisecond: mostly it is ready then
        tries += 1
    return True


def free_irq(irq: int, dev_id: Any) -> None:
    """Take a handler off a line and wait until it has finished. Not from its handler."""
    if not 0 <= irq < irq_cy.NR_LINES:
        return
    if not irq_manage_cy.remove_action(irq, address_of(dev_id)):
        event_cy.log(f"Trying to free free IRQ{irq}", KERN_WARNING)


def disable_irq_nosync(irq: int) -> None:
    """Keep a line off, without waiting for its handlers; nests. Any context."""
    if 0 <= irq < irq_cy.NR_LINES:
        irq_manage_cy.disable_line(irq, False)


def disable_irq(irq: int) -> None:
    """Keep a line off and wait until its handlers have finished; nests. Not from a handler."""
    if 0 <= irq < irq_cy.NR_LINES:
        irq_manage_cy.disable_line(irq, True)


def enable_irq(irq: int) -> None:
    """Undo one `disable_irq`; an edge that came meanwhile is taken now. Any context."""
    if 0 <= irq < irq_cy.NR_LINES and not irq_manage_cy.enable_line(irq):
        event_cy.log(f"enable_irq({irq}) unbalanced", KERN_WARNING)


def synchronize_irq(irq: int | None = None) -> None:
    """Wait until no handler of a line, or of any line, runs.

    Any context but a handler of the line.
    """
    for line in range(irq_cy.NR_LINES) if irq is None else (irq,):
        irq_manage_cy.synchronize_line(line)


def interrupts_text() -> str:
    """Return /proc/interrupts in the layout of 2.4."""
    cpus = range(segment_cy.nr_cpus())
    lines = [" " * 11 + "".join(f"CPU{cpu}       " for cpu in cpus)]
    for irq in range(irq_cy.NR_LINES):
        names = [action[3] for action in irq_cy.actions(irq)]
        if irq == 0:
            names.insert(0, "timer")
        if not names:
            continue
        counts = "".join(f"{count:10} " for count in irq_cy.line_info(irq)["counts"])
        controller = CONTROLLERS.get(irq, CONTROLLER)
        lines.append(f"{irq:3}: {counts} {controller:>14}  {', '.join(names)}")
    lines.append("NMI: " + "".join(f"{0:10} " for _ in cpus))
    lines.append("LOC: " + "".join(f"{count:10} " for count in timer_counts()))
    lines.append(f"ERR: {0:10}")
    return "\n".join(lines) + "\n"
