"""Time as kernel code reads and spends it: jiffies and the busy delays (linux/delay.h).

Jiffies come from the clock, not from a tick. A delay keeps the CPU: it passes safe points, so
interrupts arrive, but the task does not give way.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import clock_ns, cpu_relax
from cython.cimports.cpus.percpu_cy import enter, leave, stand_still_point
from cython.cimports.cpus.segment_cy import machine_ns
from cython.cimports.cpus.whole import whole_count
from cython.cimports.cpython.exc import PyErr_CheckSignals

SIGNALS_NS = 1000000
JIFFIES_MASK: int = 0xFFFFFFFF


def jiffies() -> int:
    """Return the ticks since boot, a 32-bit number; any context."""
    enter()
    ticks: u64 = machine_ns() // (1000000000 // segment_cy.header.hz)
    leave()
    return ticks & 0xFFFFFFFF


def delay(ns):
    until: u64 = clock_ns() + ns
    signals: u64 = clock_ns() + 1000000
    now: u64
    enter()
    while True:
        now = clock_ns()
        if now >= until:
            break
        stand_still_point()
        if now >= signals:
            # A Python signal handler makes kernel calls of its own.
            leave()
            PyErr_CheckSignals()
            enter()
            signals = now + 1000000
        cpu_relax()
    leave()
    return 0


def udelay(usecs: object) -> None:
    """Keep this CPU busy for `usecs` microseconds; any context."""
    c_usecs: u64 = cython.cast(u64, whole_count(usecs, b"udelay", b"usecs"))
    delay(c_usecs * 1000)


def mdelay(msecs: object) -> None:
    """Keep this CPU busy for `msecs` milliseconds; any context."""
    c_msecs: u64 = cython.cast(u64, whole_count(msecs, b"mdelay", b"msecs"))
    delay(c_msecs * 1000000)
