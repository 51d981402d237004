"""Softirqs: what an interrupt leaves to be done with interrupts on (kernel/softirq.c of
2.4.5).

A softirq is raised on the CPU that runs the caller and is run by that CPU's own process at its
next preemption point, with SOFTIRQ_OFFSET in preempt_count. The restart rule of 2.4: a round
takes all pending ones; those that were raised meanwhile and were not in an earlier round make
another; what is left stays pending until the next interrupt of this CPU.
"""

import cython
from cython.cimports.cpus import percpu_cy, segment_cy
from cython.cimports.cpus.atomic import (
    atomic64_fetch_and,
    atomic64_load,
    atomic64_store,
    atomic64_xchg,
    gate_publish,
)
from cython.cimports.cpus.event_cy import EVENT_SOFTIRQ, trace_event
from cython.cimports.cpus.kill_cy import KILL_SOFTIRQ, kill_point
from cython.cimports.cpus.percpu_cy import (
    HARDIRQ_MASK,
    PENDING_SOFTIRQ,
    SOFTIRQ_MASK,
    SOFTIRQ_OFFSET,
    enter,
    leave,
    must_stand_still,
    raise_softirq_pending,
    stand_still,
)

HI: int = HI_SOFTIRQ
NET_TX: int = NET_TX_SOFTIRQ
NET_RX: int = NET_RX_SOFTIRQ
TASKLET: int = TASKLET_SOFTIRQ


def regions(config: object = None) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {"softirqs": cython.sizeof(softirq_area)}


def attach(config: object = None) -> None:
    """Find this module's regions in the attached segment."""
    global softirqs
    softirqs = cython.cast(cython.pointer[softirq_area], segment_cy.region_at(b"softirqs"))


def raise_softirq(nr: cython.uint) -> None:
    """Have softirq `nr` run on this CPU; any context."""
    if nr >= NR_SOFTIRQS:
        raise ValueError(f"no softirq {nr}: 0 to {NR_SOFTIRQS - 1}")
    enter()
    raise_softirq_pending(nr)
    leave()


def set_vector(nr: cython.uint, function: cython.ulonglong) -> None:
    """Say which function of the kernel's text runs softirq `nr`."""
    if nr >= NR_SOFTIRQS:
        raise ValueError(f"no softirq {nr}: 0 to {NR_SOFTIRQS - 1}")
    softirqs.vec[nr] = function


def vector(nr: cython.uint) -> int:
    """Return the address of the function of softirq `nr`, 0 = none."""
    return softirqs.vec[nr]


def begin_softirqs() -> int:
    """Begin the first round on this CPU: the mask of what is pending, 0 when it may not run.

    Outside of any call. Interrupts that want the CPU come first; unlike `enter` this serves no
    softirq itself.
    """
    pending: u64
    gate_publish(cython.address(percpu_cy.this_process.inside))
    if must_stand_still():
        stand_still()
    atomic64_fetch_and(
        cython.address(percpu_cy.this_cpu.pending), ~cython.cast(u64, PENDING_SOFTIRQ)
    )
    pending = 0
    if (
        percpu_cy.this_cpu.preempt_count & (SOFTIRQ_MASK | HARDIRQ_MASK) == 0
        and percpu_cy.this_cpu.irqs_off == 0
    ):
        pending = take_pending(percpu_cy.this_cpu.number)
        if pending != 0:
            percpu_cy.this_cpu.preempt_count += SOFTIRQ_OFFSET
    leave()
    return pending


def take_pending(cpu):
    """Take the pending softirqs of this CPU; inside a call."""
    pending: u64
    nr: cython.int
    softirqs.taken[cpu] |= atomic64_load(cython.address(percpu_cy.this_cpu.softirq_pending))
    pending = atomic64_xchg(cython.address(percpu_cy.this_cpu.softirq_pending), 0)
    for nr in range(NR_SOFTIRQS):
        if (pending >> nr) & 1:
            softirqs.counts[cpu][nr] += 1
            trace_event(EVENT_SOFTIRQ, nr, 0, 0, 0)
    kill_point(KILL_SOFTIRQ)
    return pending


def next_softirqs(done: cython.ulonglong) -> int:
    """End a round; return the mask of the next one, 0 when there is none: then it is all over.

    `done`: what was in the rounds so far.
    """
    pending: u64 = 0
    enter()
    if atomic64_load(cython.address(percpu_cy.this_cpu.softirq_pending)) & ~done:
        pending = take_pending(percpu_cy.this_cpu.number)
    else:
        percpu_cy.this_cpu.preempt_count -= SOFTIRQ_OFFSET
        softirqs.taken[percpu_cy.this_cpu.number] = 0
        # The rest is for the next interrupt: the request does not stand any more.
        atomic64_fetch_and(
            cython.address(percpu_cy.this_cpu.pending), ~cython.cast(u64, PENDING_SOFTIRQ)
        )
    leave()
    return pending


def softirq_counts(cpu: cython.uint) -> list:
    """Return how often each softirq ran on a CPU."""
    return [softirqs.counts[cpu][nr] for nr in range(4)]


def adopt_softirqs(cpu: cython.uint) -> None:
    """Raise on this CPU what a dead CPU had pending or begun; a kernel task on a live one."""
    c: cython.pointer[percpu_cy.cpu_area] = cython.address(percpu_cy.cpu_areas[cpu])
    pending: u64
    nr: cython.int
    enter()
    pending = atomic64_load(cython.address(c.softirq_pending)) | softirqs.taken[cpu]
    for nr in range(NR_SOFTIRQS):
        if (pending >> nr) & 1:
            raise_softirq_pending(nr)
    # Behind it: killed in between, another one raises them once more.
    softirqs.taken[cpu] = 0
    atomic64_store(cython.address(c.softirq_pending), 0)
    leave()
