"""The stress of the interrupt gate, compiled: what only `enter` and `leave` keep apart.

Each CPU has a cell of plain words: a counter, an array of objects as in a slab cache, sums and
a ring. A section is one kernel call that changes them all and marks the cell as busy
meanwhile. CPUs do sections in a loop, handlers do the same as interrupts of those CPUs, with
interrupts going on and off inside calls and between them. An overlap is a section that finds
the cell busy; a lost update shows when the counters of the cells and the sums of the tallies
differ.
"""

import cython
from cython.cimports.cpus import percpu_cy, segment_cy
from cython.cimports.cpus.atomic import compiler_barrier, cpu_relax
from cython.cimports.cpus.gate_cy import gate_acquire, gate_release
from cython.cimports.cpus.percpu_cy import (
    enter,
    irq_restore,
    irq_save,
    leave,
)
from cython.cimports.cpython.exc import PyErr_CheckSignals


def regions(config: object = None) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {
        "gate_cells": segment_cy.NR_CPUS * cython.sizeof(gate_cell),
        "gate_tallies": segment_cy.NR_SLOTS * cython.sizeof(gate_tally),
    }


def section(c, t, work):
    """Change the cell's words: inside a call as its CPU. `work` pauses lie in the middle."""
    me: u64 = percpu_cy.this_slot
    counter: u64
    _i: u64
    if c.busy != 0:
        t.overlaps += 1
    c.busy = me
    compiler_barrier()
    counter = c.counter
    if c.avail > NR_ENTRIES or (c.avail != 0 and c.entries[c.avail - 1] != c.avail):
        t.broken += 1
        c.avail = 0
    if counter & 1 and c.avail != 0:
        c.avail -= 1
        c.entries[c.avail] = 0
    elif c.avail < NR_ENTRIES:
        c.entries[c.avail] = c.avail + 1
        c.avail += 1
    for _i in range(work):
        cpu_relax()
    compiler_barrier()
    c.sums[counter & 7] += 1
    if c.head != 0 and c.ring[(c.head - 1) % NR_RING] != c.head:
        t.broken += 1
    c.ring[c.head % NR_RING] = c.head + 1
    c.head += 1
    compiler_barrier()
    c.counter = counter + 1
    if c.busy != me:
        t.overlaps += 1
    c.busy = 0
    compiler_barrier()
    t.sections += 1


def run_sections(nr: cython.ulonglong) -> int:
    """Do `nr` sections as this process's own CPU. Returns the calls that were interrupted."""
    c: cython.pointer[gate_cell] = cython.address(cells[percpu_cy.this_cpu.number])
    t: cython.pointer[gate_tally] = cython.address(tallies[percpu_cy.this_slot - 1])
    _i: u64
    flags: u64
    dice: u64 = percpu_cy.this_slot * cython.cast(u64, 0x9E3779B97F4A7C15)
    for _i in range(nr):
        dice ^= dice << 13
        dice ^= dice >> 7
        dice ^= dice << 17
        if dice & 63 == 0:
            PyErr_CheckSignals()
        enter()
        if dice & 0x7000 == 0:
            flags = irq_save()
            section(c, t, dice & 3)
            section(c, t, 0)
            irq_restore(flags)
            section(c, t, 0)
        elif dice & 0x7F000 == 0x1000:  # off over several calls, then on inside a call
            irq_save()
            leave()
            enter()
            section(c, t, 0)
            leave()
            enter()
            irq_restore(0)
            section(c, t, 0)
        else:
            section(c, t, 0)
        leave()
    return percpu_cy.this_cpu.nr_calls_interrupted


def run_interrupts(
    nr: cython.ulonglong, nr_cpus: cython.ulonglong, gap: cython.ulonglong
) -> None:
    """Take `nr` interrupts on random CPUs, `gap` pauses apart at most; some let others in."""
    t: cython.pointer[gate_tally] = cython.address(tallies[percpu_cy.this_slot - 1])
    c: cython.pointer[gate_cell]
    _i: u64
    _j: u64
    dice: u64 = percpu_cy.this_slot * cython.cast(u64, 0x9E3779B97F4A7C15)
    for _i in range(nr):
        dice ^= dice << 13
        dice ^= dice >> 7
        dice ^= dice << 17
        for _j in range((dice >> 20) % (gap + 1)):
            cpu_relax()
        if gate_acquire((dice >> 8) % nr_cpus) != 0:
            continue  # that CPU is not online
        c = cython.address(cells[percpu_cy.this_cpu.number])
        enter()
        section(c, t, dice & 7)
        leave()
        if dice & 0x30000 == 0:
            enter()
            irq_restore(0)  # others may nest from here on
            section(c, t, dice & 15)
            leave()
            for _j in range(dice & 31):
                cpu_relax()
            enter()
            if dice & 0x40000:
                irq_save()
                section(c, t, 0)
            section(c, t, 0)
            leave()
        gate_release()
        t.interrupts += 1


def attach(config: object = None) -> None:
    """Find this module's regions in the attached segment."""
    global cells, tallies
    cells = cython.cast(cython.pointer[gate_cell], segment_cy.region_at(b"gate_cells"))
    tallies = cython.cast(cython.pointer[gate_tally], segment_cy.region_at(b"gate_tallies"))


def forget(slot: cython.ulonglong) -> None:
    """Take a process that was killed off the cells that it was in; before it is reaped."""
    i: cython.int
    for i in range(segment_cy.NR_CPUS):
        if cells[i].busy == slot + 1:
            cells[i].busy = 0
            cells[i].avail = 0
            cells[i].head = 0


def interrupts_taken() -> int:
    """Return how many interrupts have ended."""
    i: cython.int
    taken: u64 = 0
    for i in range(segment_cy.NR_SLOTS):
        taken += tallies[i].interrupts
    return taken


def count_signal() -> None:
    """Count a host signal that this process has served."""
    tallies[percpu_cy.this_slot - 1].signals += 1


def result() -> dict:
    """Return the totals: done by the processes, found in the cells, overlaps, broken words."""
    i: cython.int
    totals = dict.fromkeys(
        (
            "sections",
            "interrupts",
            "overlaps",
            "broken",
            "signals",
            "counted",
            "summed",
            "ring",
        ),
        0,
    )
    for i in range(segment_cy.NR_SLOTS):
        totals["sections"] += tallies[i].sections
        totals["interrupts"] += tallies[i].interrupts
        totals["overlaps"] += tallies[i].overlaps
        totals["broken"] += tallies[i].broken
        totals["signals"] += tallies[i].signals
    for i in range(segment_cy.NR_CPUS):
        totals["counted"] += cells[i].counter
        totals["summed"] += sum(cells[i].sums[j] for j in range(8))
        totals["ring"] += cells[i].head
    totals["lost"] = totals["sections"] - totals["counted"]
    return totals
