"""Flushing what other processors remember: the end of every call that is under way.

A call translates a kernel address once and uses the pointer until it leaves or passes a safe
point. Who changes a translation stores it, then waits here: a CPU that is outside (its
runner's `inside` is 0) will translate anew. This is the interrupt of flush_tlb_all, done by
its sender: only a CPU that stays inside for long is interrupted through its gate.

`enter`'s exchange and the fence here are sequentially consistent: of a call that begins and
a store that is flushed, either the call sees the store, or it is seen here.
"""

import cython
from cython.cimports.cpus import percpu_cy, segment_cy
from cython.cimports.cpus.atomic import (
    atomic64_load,
    cpu_relax,
    futex_wait,
    low_half,
    memory_fence,
)
from cython.cimports.cpus.gate_cy import gate_acquire, gate_release
from cython.cimports.cpus.percpu_cy import (
    CPU_ONLINE,
    RUNNER_SLOT,
    SPINS,
    WAIT_NS,
    cpu_area,
    cpu_areas,
    process_slots,
)


def is_outside(c):
    word: u64 = atomic64_load(cython.address(c.runner)) & RUNNER_SLOT
    if word == 0 or atomic64_load(cython.address(c.state)) != CPU_ONLINE:
        return True
    return atomic64_load(cython.address(process_slots[word - 1].inside)) == 0


def others_outside():
    cpu: u64
    c: cython.pointer[cpu_area]
    memory_fence()
    for cpu in range(segment_cy.header.nr_cpus):
        c = cython.address(cpu_areas[cpu])
        if c != percpu_cy.this_cpu and not is_outside(c):
            return False
    return True


def flush_others(task):
    cpu: u64
    c: cython.pointer[cpu_area]
    own: cython.pointer[cpu_area] = percpu_cy.this_cpu
    memory_fence()
    for cpu in range(segment_cy.header.nr_cpus):
        c = cython.address(cpu_areas[cpu])
        if c != own and not is_outside(c):
            wait_outside(c, cpu, task)


def wait_outside(c, cpu, task):
    """Wait until the CPU's runner has left its call; another runner came when it had."""
    word: u64 = atomic64_load(cython.address(c.runner))
    turns: cython.int = 0
    while atomic64_load(cython.address(c.runner)) == word and not is_outside(c):
        turns += 1
        if turns < SPINS:
            cpu_relax()
        elif task:
            if gate_acquire(cpu) == 0:
                gate_release()
            return
        else:
            futex_wait(
                low_half(cython.address(process_slots[(word & RUNNER_SLOT) - 1].inside)),
                1,
                WAIT_NS,
            )
