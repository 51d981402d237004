"""Contexts: the interrupt flag, bottom halves, preemption, and the predicates that read them.

Each function is one kernel call, in any context. `preempt_count` has the layout of Linux 2.6
(include/linux/hardirq.h): preemption in bits 0-7, softirq 8-15, hardirq 16-27. Kernels up to
2.4 show the same words as local_irq_count and local_bh_count.
"""

import cython
from cython.cimports.cpus.percpu_cy import (
    HARDIRQ_MASK,
    PREEMPT_OFFSET,
    SOFTIRQ_MASK,
    SOFTIRQ_OFFSET,
    enter,
    enter_sleeping,
    irq_restore,
    leave,
    this_cpu,
)
from cython.cimports.cpus.whole import whole


def local_irq_disable() -> None:
    """Turn interrupts off on this CPU; any context, idempotent."""
    enter()
    this_cpu.irqs_off = 1
    leave()


def local_irq_enable() -> None:
    """Turn interrupts on; what is pending is taken before anything else. Any context."""
    enter()
    irq_restore(0)
    leave()


def local_irq_save() -> int:
    """Turn interrupts off and return the old flag for `local_irq_restore`. Any context."""
    enter()
    flags: cython.ulonglong = this_cpu.irqs_off
    this_cpu.irqs_off = 1
    leave()
    return flags


def local_save_flags() -> int:
    """Return the interrupt flag: 0 on, 1 off."""
    enter()
    flags: cython.ulonglong = this_cpu.irqs_off
    leave()
    return flags


def local_irq_restore(flags: object) -> None:
    """Put the interrupt flag back to what `local_irq_save` returned. Any context."""
    c_flags: cython.longlong = whole(flags, b"local_irq_restore", b"flags")
    enter()
    irq_restore(1 if c_flags else 0)
    leave()


def local_bh_disable() -> None:
    """Keep softirqs off this CPU; nests, any context."""
    enter()
    this_cpu.preempt_count += SOFTIRQ_OFFSET
    leave()


def local_bh_enable() -> None:
    """Undo one `local_bh_disable`; pending softirqs run now when this was the last."""
    enter()
    if this_cpu.preempt_count & SOFTIRQ_MASK:
        this_cpu.preempt_count -= SOFTIRQ_OFFSET
    leave()
    enter()
    leave()


def preempt_disable() -> None:
    """Keep the running task on this CPU; nests. Any context."""
    enter()
    this_cpu.preempt_count += PREEMPT_OFFSET
    leave()


def preempt_enable() -> None:
    """Undo one `preempt_disable`. Any context."""
    enter()
    if this_cpu.preempt_count & 0xFF:
        this_cpu.preempt_count -= PREEMPT_OFFSET
    leave()


def preempt_count() -> int:
    """Return the count of this context."""
    enter()
    count: cython.ulonglong = this_cpu.preempt_count
    leave()
    return count


def in_interrupt() -> bool:
    """Return whether this is a hardirq or softirq, or bottom halves are off."""
    enter()
    count: cython.ulonglong = this_cpu.preempt_count
    leave()
    return count & (HARDIRQ_MASK | SOFTIRQ_MASK) != 0


def in_irq() -> bool:
    """Return whether this is a hardirq. Any context."""
    enter()
    count: cython.ulonglong = this_cpu.preempt_count
    leave()
    return count & HARDIRQ_MASK != 0


def in_softirq() -> bool:
    """Return whether this is a softirq, or bottom halves are off."""
    enter()
    count: cython.ulonglong = this_cpu.preempt_count
    leave()
    return count & SOFTIRQ_MASK != 0


def in_atomic() -> bool:
    """Return whether this context must not sleep by its count (irqs_disabled is separate).

    Any context.
    """
    enter()
    count: cython.ulonglong = this_cpu.preempt_count
    leave()
    return count != 0


def irqs_disabled() -> bool:
    """Return whether interrupts are off on this CPU. Any context."""
    enter()
    off: cython.ulonglong = this_cpu.irqs_off
    leave()
    return off != 0


def might_sleep() -> None:
    """Report when this context must not sleep: the head of everything that may.

    Called where the code may sleep.
    """
    enter_sleeping(b"might_sleep")
    leave()


def smp_processor_id() -> int:
    """Return the number of the CPU that runs this context. Any context."""
    enter()
    number: cython.ulonglong = this_cpu.number
    leave()
    return number


def add_count(offset: cython.longlong) -> None:
    """Add to preempt_count: the entry and exit of an interrupt or softirq context."""
    enter()
    this_cpu.preempt_count += offset
    leave()


def set_context(count: cython.ulonglong, irqs_off: cython.ulonglong) -> None:
    """Put count and interrupt flag to known values: a context ended by an exception."""
    enter()
    this_cpu.preempt_count = count
    irq_restore(irqs_off)
    leave()
