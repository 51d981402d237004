"""The tick as the timer device sees it: time slices, late requests, who keeps the time.

What needs no more than shared words the device does itself: it asks for a reschedule when a
task has used its slice and others wait, asks again for softirqs that a round left behind, and
nudges by a host signal the process of a CPU that has not served a request for a tick. A halted
CPU is looked at and left alone.
"""

import cython
from cython.cimports.cpus import percpu_cy, segment_cy
from cython.cimports.cpus.atomic import atomic32_store, atomic64_load, futex_wait, low_half
from cython.cimports.cpus.percpu_cy import (
    CPU_ONLINE,
    KIND_CPU,
    PENDING_RESCHED,
    PENDING_SOFTIRQ,
    SLOT_LIVE,
    set_pending,
)
from cython.cimports.cpus.runqueue_cy import runqueues
from cython.cimports.cpus.segment_cy import machine_ns
from cython.cimports.interrupts.irq_cy import global_irqs
from cython.cimports.interrupts.timer_cy import jiffies_now, timers
from cython.cimports.libc.signal import SIGUSR1
from cython.cimports.posix.signal import kill


def wait_tick(last: cython.ulonglong) -> int:
    """Wait for the tick after `last` and return its number: the jiffies; 0 at power-off.

    While every CPU is halted, ticks are left out, until a timer is added.
    """
    tick_ns: u64 = 1000000000 // segment_cy.header.hz
    now: u64
    if all_halted():
        atomic32_store(cython.address(timers.asleep), 1)
        now = machine_ns()
        if now < (last + IDLE_TICKS) * tick_ns and timers.next_expires > last + IDLE_TICKS:
            futex_wait(cython.address(timers.asleep), 1, (last + IDLE_TICKS) * tick_ns - now)
        atomic32_store(cython.address(timers.asleep), 0)
    while atomic64_load(cython.address(segment_cy.header.powered_off)) == 0:
        now = machine_ns()
        if now >= (last + 1) * tick_ns:
            return now // tick_ns
        futex_wait(
            low_half(cython.address(segment_cy.header.powered_off)),
            0,
            (last + 1) * tick_ns - now,
        )
    return 0


def all_halted():
    cpu: u64
    for cpu in range(segment_cy.header.nr_cpus):
        if (
            atomic64_load(cython.address(percpu_cy.cpu_areas[cpu].state)) == CPU_ONLINE
            and atomic64_load(cython.address(percpu_cy.cpu_areas[cpu].halted)) == 0
        ):
            return False
    return True


def look_at_cpus() -> int:
    """Do the tick's work for every CPU; return the one to keep the time, -1 when none is up.

    That is the first that runs, else the first that is halted.
    """
    c: cython.pointer[percpu_cy.cpu_area]
    now: u64 = jiffies_now()
    cpu: u64
    keeper: s32 = -1
    halted: s32 = -1
    for cpu in range(segment_cy.header.nr_cpus):
        c = cython.address(percpu_cy.cpu_areas[cpu])
        if atomic64_load(cython.address(c.state)) != CPU_ONLINE:
            continue
        if c.softirq_pending != 0 and c.pending & PENDING_SOFTIRQ == 0:
            set_pending(c, PENDING_SOFTIRQ)
        if atomic64_load(cython.address(c.halted)) != 0:
            if halted < 0:
                halted = cython.cast(s32, cpu)
            continue
        if keeper < 0 and c.irqs_off == 0:
            keeper = cython.cast(s32, cpu)
        account(c, cpu, now)
    return keeper if keeper >= 0 else halted


def account(c, cpu, now):
    """Count the tick of a running CPU: its task's slice, its late requests."""
    state: cython.pointer[tick_state] = cython.address(states[cpu])
    tick_ns: u64 = 1000000000 // segment_cy.header.hz
    pid: u32
    due: u64
    global_irqs.local_timer[cpu] += 1
    if state.switches != c.nr_switches or c.current == 0:
        state.switches = c.nr_switches
        state.since = now
    elif now - state.since >= SLICE_TICKS and c.nr_queued != 0:
        set_pending(c, PENDING_RESCHED)
    if c.nr_messages != 0:
        set_pending(c, PENDING_RESCHED)  # a task to begin, or a signal
    due = runqueues[cpu].next_wake_ns
    if due != 0 and machine_ns() >= due:
        set_pending(c, PENDING_RESCHED)  # a task's time-out has ended
    if (
        c.pending & (PENDING_RESCHED | PENDING_SOFTIRQ)
        and machine_ns() > c.requested_ns + tick_ns
    ):
        pid = own_pid(cpu)
        if pid != 0:
            kill(pid, SIGUSR1)


def own_pid(cpu):
    """Return the host's number of a CPU's own process, 0 when it has none."""
    i: cython.int
    for i in range(percpu_cy.NR_SLOTS):
        if (
            percpu_cy.process_slots[i].state == SLOT_LIVE
            and percpu_cy.process_slots[i].kind == KIND_CPU
            and percpu_cy.process_slots[i].cpu == cpu
        ):
            return percpu_cy.process_slots[i].pid
    return 0
