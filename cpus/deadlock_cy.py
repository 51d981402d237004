"""The search for a cycle of waiters that cannot move: a deadlock."""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import (
    atomic32_load,
    atomic64_cmpxchg,
    atomic64_load,
    atomic64_store,
)
from cython.cimports.cpus.percpu_cy import (
    HELD_LOCKS,
    NR_SLOTS,
    SLOT_LIVE,
    owner_dead,
    owner_slot,
    process_slot,
    process_slots,
    this_owner,
    this_process,
)
from cython.cimports.cpus.waiting_cy import WAITERS


def regions(config: object = None) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {"deadlock": 64}


def attach(config: object = None) -> None:
    """Find this module's region in the attached segment."""
    global deadlock_claim
    deadlock_claim = cython.cast(cython.pointer[u64], segment_cy.region_at(b"deadlock"))


def find_deadlock():
    """Whether this process's wait closes a cycle of waiters that cannot move.

    Waiters search one at a time, so of several in one cycle the first to look is told,
    withdraws, and the others then find no cycle. The walk is made twice: each waiter in it has
    waited all the time in between (`wait_seq`), so no owner in it can have let go.
    """
    found: cython.bint = False
    first: u64
    if atomic64_cmpxchg(deadlock_claim, 0, this_owner) != 0:
        if owner_dead(cython.cast(u32, atomic64_load(deadlock_claim))):
            atomic64_store(deadlock_claim, 0)
        return False
    first = walk_cycle()
    if first != 0:
        found = walk_cycle() == first
    atomic64_store(deadlock_claim, 0)
    return found


def walk_cycle():
    """Follow who waits for whom from this process; a hash of the walk, 0: no cycle."""
    hash_: u64 = 0
    at: cython.pointer[process_slot] = this_process
    _steps: cython.int
    for _steps in range(NR_SLOTS):
        at = blocked_by(at)
        if at == cython.NULL:
            return 0
        hash_ = (hash_ * 31 + cython.cast(u64, at - process_slots)) * 31 + at.wait_seq + 1
        if at == this_process:
            return hash_
    return 0


def blocked_by(slot):
    """Return the process that `slot` cannot go on without, or NULL when it can."""
    lock: u64 = atomic64_load(cython.address(slot.waiting_lock))
    word: u32
    i: cython.int
    if lock != 0:
        word = atomic32_load(cython.cast(cython.pointer[u32], lock)) & ~cython.cast(
            u32, WAITERS
        )
        if word != 0:
            return owner_slot(word)
        if slot.waiting_flags & 2:
            return reader_of(lock, slot)
        return cython.NULL
    for i in range(NR_SLOTS):
        if (
            process_slots[i].state == SLOT_LIVE
            and process_slots[i].interrupted == cython.cast(u64, slot - process_slots) + 1
        ):
            return cython.address(process_slots[i])
    return cython.NULL


def reader_of(lock, besides):
    """Return a live process that holds the read side of `lock`, or NULL."""
    i: cython.int
    k: u32
    s: cython.pointer[process_slot]
    for i in range(NR_SLOTS):
        s = cython.address(process_slots[i])
        if s.state == SLOT_LIVE and s != besides:
            for k in range(s.nr_held if s.nr_held < HELD_LOCKS else HELD_LOCKS):
                if s.held[k].lock == lock:
                    return s
    return cython.NULL
