"""The search for a deadlock: a cycle of processes that cannot move.

A process cannot move without the owner of the lock that it waits for; if it wants to write,
without any of the readers; if a handler has interrupted it, without that handler; and if it
sends an inter-processor interrupt, without the process that is that CPU with interrupts off.
It needs all of them, so every cycle of such edges is a deadlock, and a walk over all finds it.

Words are read without a lock while processes go on. The walk is made twice and must be the
same: each waiter in it has then waited for the same lock all the time in between (`wait_seq`),
so none can have let go of what it owns. Waiters search one at a time and the one that finds a
cycle gives its wait up before the next searches: of several in a cycle exactly one is told.

Sleeping locks have a search of their own: who sleeps holds no spinlock.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import (
    atomic32_load,
    atomic32_load_acquire,
    atomic64_cmpxchg,
    atomic64_load,
    atomic64_load_acquire,
    atomic64_store,
)
from cython.cimports.cpus.percpu_cy import (
    COUNT_MOVING,
    HELD_LOCKS,
    NR_SLOTS,
    RUNNER_SLOT,
    SLOT_LIVE,
    cpu_area,
    cpu_areas,
    owner_dead,
    owner_slot,
    process_slot,
    process_slots,
    this_owner,
    this_slot,
)
from cython.cimports.cpus.waiting_cy import WAIT_READ, WAIT_WRITE, WAITERS, end_wait
from cython.cimports.libc.string import memset


def regions(config: object = None) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {"deadlock": 64}


def attach(config: object = None) -> None:
    """Find this module's region in the attached segment."""
    global deadlock_claim
    deadlock_claim = cython.cast(cython.pointer[u64], segment_cy.region_at(b"deadlock"))


def closes_cycle(w):
    held: u64 = atomic64_cmpxchg(deadlock_claim, 0, this_owner)
    first: u64
    found: cython.bint
    w.search_again = held != 0
    if held != 0:
        if owner_dead(cython.cast(u32, held)):
            atomic64_cmpxchg(deadlock_claim, held, 0)
        return False
    first = walk()
    found = first != 0 and walk() == first
    w.search_again = first != 0 and not found
    if found:
        end_wait()
    atomic64_store(deadlock_claim, 0)
    return found


def walk():
    """Walk from this process; a hash of the cycle that leads back to it, 0 when none does."""
    global nr_cycle, cycle_hash
    nr_cycle = 0
    cycle_hash = 1
    memset(cycle_seen, 0, cython.sizeof(cycle_seen))
    if leads_back(cython.cast(u32, this_slot) - 1):
        return cycle_hash
    return 0


def leads_back(slot):
    """Whether the process of `slot` waits, perhaps through others, for this process."""
    s: cython.pointer[process_slot] = cython.address(process_slots[slot])
    lock: u64 = atomic64_load(cython.address(s.waiting_lock))
    owner: cython.pointer[process_slot] = owner_for(s, lock)
    other: u32
    cycle_seen[slot] = 1
    for other in range(NR_SLOTS):
        if other == slot or not blocks(other, slot, lock, owner):
            continue
        if other == cython.cast(u32, this_slot) - 1 or (
            cycle_seen[other] == 0 and leads_back(other)
        ):
            if stands_still_for(slot, other):
                lock = 0
            elif at_gate_of(slot, other):
                lock = GATE
            add_edge(slot, lock)
            return True
    return False


def owner_for(s, lock):
    """Return the process whose ownership keeps `s` from the lock, or NULL.

    Who has the word and waits for the lock all the same, or does not list it among those that
    it holds, is about to go on, or to give the word back: it passes no safe point before that.
    """
    owner: cython.pointer[process_slot]
    if lock == 0:
        return cython.NULL
    owner = owner_slot(
        atomic32_load(cython.cast(cython.pointer[u32], lock)) & ~cython.cast(u32, WAITERS)
    )
    if owner == cython.NULL or atomic64_load(cython.address(owner.waiting_lock)) == lock:
        return cython.NULL
    # Beyond HELD_LOCKS nothing is listed.
    if atomic32_load(cython.address(owner.nr_held)) <= HELD_LOCKS and not lists(
        owner, lock, 0
    ):
        return cython.NULL
    return owner


def blocks(other, slot, lock, owner):
    """Whether the process of `slot`, waiting for `lock`, needs the process of `other`."""
    s: cython.pointer[process_slot] = cython.address(process_slots[other])
    if atomic32_load(cython.address(s.state)) != SLOT_LIVE:
        return False
    if stands_still_for(slot, other) or at_gate_of(slot, other):
        return True
    if lock == 0:
        return False
    return s == owner or (process_slots[slot].waiting_flags == WAIT_WRITE and reads(s, lock))


def stands_still_for(slot, other):
    """Whether `other` interrupted the process of `slot` where that runs now.

    A CPU that sends an interrupt runs as the CPU that it sends it to: what comes in on its own
    CPU meanwhile it meets when it is back. So two may be each other's CPU, and both go on.
    """
    s: cython.pointer[process_slot] = cython.address(process_slots[other])
    return atomic64_load(cython.address(s.interrupted)) == slot + 1 and cpu_now(s) == cpu_now(
        cython.address(process_slots[slot])
    )


def cpu_now(s):
    """Return the number of the CPU that a process is: its own, or whose gate it has taken."""
    counted: u64 = atomic64_load(cython.address(s.counted_cpu)) & ~cython.cast(
        u64, COUNT_MOVING
    )
    if counted != 0 and atomic64_load(cython.address(s.interrupted)) != 0:
        return counted - 1
    return s.cpu


def at_gate_of(slot, other):
    # Two senders with interrupts off would wait for each other's gate without waiting for a
    # lock, and nobody would search. It cannot happen: a CPU sends to drain another one's
    # arrays only, with cache_chain_sem held, one at a time; recovery sends with interrupts on.
    s: cython.pointer[process_slot] = cython.address(process_slots[slot])
    counted: u64 = atomic64_load(cython.address(s.counted_cpu))
    c: cython.pointer[cpu_area]
    if counted == 0 or counted & COUNT_MOVING or atomic64_load(cython.address(s.interrupted)):
        return False
    c = cython.address(cpu_areas[counted - 1])
    return (
        atomic64_load(cython.address(c.irqs_off)) != 0
        and atomic64_load(cython.address(c.runner)) & RUNNER_SLOT == other + 1
    )


def reads(s, lock):
    return lists(s, lock, WAIT_READ)


def lists(s, lock, flags):
    """Whether a lock is on the list of held locks, with one of `flags` unless they are 0."""
    # From the newest to the oldest: entries move towards the oldest only, so that one which is
    # there all the time is met.
    n: u32 = atomic32_load(cython.address(s.nr_held))
    if n > HELD_LOCKS:
        n = HELD_LOCKS
    while n != 0:
        n -= 1
        if atomic64_load_acquire(cython.address(s.held[n].lock)) == lock and (
            flags == 0 or atomic32_load_acquire(cython.address(s.held[n].flags)) & flags
        ):
            return True
    return False


def add_edge(slot, lock):
    """Note that the process of `slot` is in the cycle, with what it waits for."""
    global nr_cycle, cycle_hash
    cycle_slot[nr_cycle] = slot
    cycle_lock[nr_cycle] = lock
    nr_cycle += 1
    cycle_hash = (cycle_hash * 31 + slot) * 31 + lock
    cycle_hash = cycle_hash * 31 + process_slots[slot].wait_seq + 1
    cycle_hash |= 1


def note_own_cycle(lock):
    global nr_cycle
    nr_cycle = 1
    cycle_slot[0] = cython.cast(u32, this_slot) - 1
    cycle_lock[0] = lock


def cycle() -> list:
    """Return the cycle that refused this process's last wait, from this process on.

    Each edge is (slot, native address of the lock, slot it waits for); in place of the
    lock 0 when interrupted, 1 at the gate of the other's CPU.
    """
    n: u32 = nr_cycle
    order = [(cycle_slot[n - 1 - i], cycle_lock[n - 1 - i]) for i in range(n)]
    return [
        (order[i][0], order[i][1], order[(i + 1) % len(order)][0]) for i in range(len(order))
    ]
