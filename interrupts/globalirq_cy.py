"""cli and sti of 2.4: one CPU may keep interrupts off all the others.

`cli` from task context takes the global interrupt lock and waits until no handler runs on
another CPU; a handler that has become a CPU looks at the lock before it runs and lets go when
another CPU has it. In a handler, or with interrupts off already, cli and sti are this CPU's
own.
"""

import cython
from cython.cimports.cpus import percpu_cy, segment_cy
from cython.cimports.cpus.atomic import (
    atomic64_cmpxchg,
    atomic64_load,
    atomic64_store,
    futex_wait,
    low_half,
)
from cython.cimports.cpus.percpu_cy import HARDIRQ_MASK, enter, irq_restore, leave
from cython.cimports.cpus.whole import whole_int
from cython.cimports.cpython.exc import PyErr_CheckSignals
from cython.cimports.interrupts.irq_cy import (
    global_irqs,
    irq_descs,
    other_cpu_in_irq,
    release_irqlock,
)

WAIT_NS = 100000


def cli() -> None:
    """Turn interrupts off: from task context, with them on, on every CPU (__global_cli)."""
    cpu: u64
    owner: u64
    enter()
    cpu = percpu_cy.this_cpu.number
    if percpu_cy.this_cpu.irqs_off or percpu_cy.this_cpu.preempt_count & HARDIRQ_MASK:
        percpu_cy.this_cpu.irqs_off = 1
        leave()
        return
    while True:
        owner = atomic64_cmpxchg(cython.address(global_irqs.owner), 0, cpu + 1)
        if owner == 0:
            if not other_cpu_in_irq(cpu):
                break
            # Their handlers may want this CPU, or another cli: let go while waiting.
            atomic64_store(cython.address(global_irqs.owner), 0)
        leave()
        futex_wait(
            low_half(cython.address(global_irqs.owner)), cython.cast(u32, owner), WAIT_NS
        )
        PyErr_CheckSignals()
        enter()
    percpu_cy.this_cpu.irqs_off = 1
    leave()


def sti() -> None:
    """Turn interrupts on; from task context also those that `cli` kept off (__global_sti)."""
    enter()
    if percpu_cy.this_cpu.preempt_count & HARDIRQ_MASK == 0:
        release_irqlock(percpu_cy.this_cpu.number)
    irq_restore(0)
    leave()


def save_flags() -> int:
    """Return what `restore_flags` puts back: 0 global cli, 1 global sti, 2 off, 3 on here.

    Any context.
    """
    flags: cython.int
    enter()
    flags = 2 + (percpu_cy.this_cpu.irqs_off == 0)
    if percpu_cy.this_cpu.preempt_count & HARDIRQ_MASK == 0:
        if percpu_cy.this_cpu.irqs_off == 0:
            flags = 1
        if atomic64_load(cython.address(global_irqs.owner)) == percpu_cy.this_cpu.number + 1:
            flags = 0
    leave()
    return flags


def restore_flags(flags: object) -> None:
    """Put the interrupt state back to what `save_flags` returned. Any context."""
    c_flags: cython.int = whole_int(flags, b"restore_flags", b"flags")
    if c_flags == 0:
        cli()
    elif c_flags == 1:
        sti()
    else:
        enter()
        irq_restore(c_flags == 2)
        leave()


def count_timer_irq(cpu: cython.ulonglong) -> None:
    """Count an interrupt of line 0 on the CPU that keeps the time; the timer device."""
    irq_descs[0].counts[cpu] += 1


def timer_counts() -> list:
    """Return the local timer interrupts of each CPU."""
    nr: cython.int = segment_cy.header.nr_cpus
    return [global_irqs.local_timer[cpu] for cpu in range(nr)]
