"""What a dead process had taken of CPUs is put back; the monitor only.

A process can be killed while it is some CPU's runner, while runners above it have pushed it
aside, or while it counts itself in a CPU's `pending`. Its slot says which: `interrupted`,
`saved_preempt`, `counted_cpu`.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import (
    atomic64_cmpxchg,
    atomic64_fetch_sub,
    atomic64_load,
    atomic64_store,
    atomic64_xchg,
    futex_wake,
    low_half,
)
from cython.cimports.cpus.percpu_cy import (
    COUNT_MOVING,
    CPU_DEAD,
    KIND_CPU,
    NR_SLOTS,
    PENDING_HANDLERS,
    RUNNER_SLOT,
    SLOT_DEAD,
    SLOT_FREE,
    SLOT_LIVE,
    cpu_area,
    cpu_areas,
    process_slot,
    process_slots,
    runner_word,
)
from cython.cimports.posix.unistd import usleep


def reap_slot(slot: int) -> bool:
    """Put back what the dead process of `slot` had taken of CPUs; the monitor only.

    A dead process that was some CPU's runner gives it back to what it interrupted; a dead CPU
    is taken from the handlers. False when another handler still runs above it, or counts
    itself: call again when that has gone on; until True, what the slot says must stay.
    """
    s: cython.pointer[process_slot] = cython.address(process_slots[slot])
    i: cython.int
    counted: u64
    if s.kind == KIND_CPU:
        atomic64_store(cython.address(cpu_areas[s.cpu].state), CPU_DEAD)
    # Nobody pushes a dead process aside from here on.
    atomic64_xchg(cython.address(s.inside), 1)
    for i in range(cython.cast(cython.int, segment_cy.header.nr_cpus)):
        if not reap_runner(cython.cast(u64, i), s, cython.cast(u64, slot) + 1):
            return False
    counted = s.counted_cpu
    if counted & COUNT_MOVING:
        if not recount_handlers((counted & ~cython.cast(u64, COUNT_MOVING)) - 1):
            return False
    elif counted != 0:
        atomic64_fetch_sub(cython.address(cpu_areas[counted - 1].pending), 1)
        s.counted_cpu = 0
        futex_wake(low_half(cython.address(cpu_areas[counted - 1].pending)), 64)
    s.interrupted = 0
    s.saved_preempt = 0
    atomic64_store(cython.address(s.inside), 0)
    futex_wake(low_half(cython.address(s.inside)), 64)
    return True


def reap_runner(cpu, s, me):
    """Take the dead process `me` (slot + 1) off the runners of `cpu`; false: it is below."""
    c: cython.pointer[cpu_area] = cython.address(cpu_areas[cpu])
    word: u64 = atomic64_load(cython.address(c.runner))
    if word & RUNNER_SLOT != me:
        return not is_runner_below(cpu, me)
    if s.kind == KIND_CPU and s.cpu == cpu:
        return atomic64_cmpxchg(cython.address(c.runner), word, runner_word(word, 0)) == word
    # A new number first: who has looked at the word before `inside` was 1 starts again.
    if atomic64_cmpxchg(cython.address(c.runner), word, runner_word(word, me)) != word:
        return False
    if s.saved_preempt != 0:
        c.preempt_count = s.saved_preempt - 1
        s.saved_preempt = 0
    atomic64_store(cython.address(c.irqs_off), 0)
    atomic64_store(cython.address(c.runner), runner_word(c.runner, s.interrupted))
    s.interrupted = 0
    futex_wake(low_half(cython.address(c.irqs_off)), 64)
    return True


def is_runner_below(cpu, me):
    """Whether the process `me` (slot + 1) is pushed aside on the runners of `cpu`."""
    c: cython.pointer[cpu_area] = cython.address(cpu_areas[cpu])
    word: u64
    at: u64
    r: cython.pointer[process_slot]
    found: cython.bint
    while True:
        word = atomic64_load(cython.address(c.runner))
        at = word & RUNNER_SLOT
        found = False
        while at != 0 and not found:
            found = at == me
            r = cython.address(process_slots[at - 1])
            at = 0 if r.kind == KIND_CPU and r.cpu == cpu else r.interrupted
        if found or atomic64_load(cython.address(c.runner)) == word:
            return found


def recount_handlers(cpu):
    """Make the count in `pending` agree with the slots that say they are in it.

    A process that was killed while it counted itself leaves the two apart. Waits until no live
    one is at it; false when that does not come to an end.
    """
    c: cython.pointer[cpu_area] = cython.address(cpu_areas[cpu])
    before: u64
    counted: u64
    _tries: cython.int
    for _tries in range(200):
        before = atomic64_load(cython.address(c.pending))
        counted = nr_counted(cpu)
        if counted == NR_SLOTS or nr_counted(cpu) != counted:
            usleep(50)
            continue
        counted |= before & ~cython.cast(u64, PENDING_HANDLERS)
        if atomic64_cmpxchg(cython.address(c.pending), before, counted) == before:
            futex_wake(low_half(cython.address(c.pending)), 64)
            forget_moving(cpu)
            return True
    return False


def nr_counted(cpu):
    """Count the slots that are in the `pending` of `cpu`; NR_SLOTS: a live one changes it."""
    n: u64 = 0
    i: cython.int
    counted: u64
    for i in range(NR_SLOTS):
        counted = atomic64_load(cython.address(process_slots[i].counted_cpu))
        if counted == cpu + 1 and process_slots[i].state != SLOT_FREE:
            n += 1
        elif counted == ((cpu + 1) | COUNT_MOVING) and process_slots[i].state == SLOT_LIVE:
            return NR_SLOTS
    return n


def forget_moving(cpu):
    """Take those who died while they changed the count of `cpu` for not counted."""
    i: cython.int
    for i in range(NR_SLOTS):
        if process_slots[i].state == SLOT_DEAD and process_slots[i].counted_cpu == (
            (cpu + 1) | COUNT_MOVING
        ):
            process_slots[i].counted_cpu = 0
