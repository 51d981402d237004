"""How long a dead owner's lock stays taken: measured by who waits for it."""

from __future__ import annotations

from typing import Any


def hold_and_die(lock: int, killed_at: int) -> None:
    """Take a spinlock, wait until another process waits for it, note the time, die."""
    import os
    import signal

    from cpus import lock_cy, percpu_cy, segment_cy
    from smpmm.mm import access_cy

    lock_cy.spin_lock(lock)
    access_cy.poke(killed_at + 8, b"held")
    wanted = segment_cy.native_address(lock, 1)
    while all(percpu_cy.slot_info(slot)["waiting_lock"] != wanted for slot in range(NR_SLOTS)):
        pass
    access_cy.poke(killed_at, segment_cy.uptime_ns().to_bytes(8, "little"))
    os.kill(os.getpid(), signal.SIGKILL)


NR_SLOTS = 224  # of a machine (segment_cy)


def wait_for_lock(lock: int, killed_at: int) -> int:
    """Take the lock that a process dies with; returns ns from its death to that."""
    from cpus import lock_cy, segment_cy
    from smpmm.mm import access_cy

    while access_cy.peek(killed_at + 8, 4) != b"held":
        pass
    lock_cy.spin_lock(lock)
    now = segment_cy.uptime_ns()
    lock_cy.spin_unlock(lock)
    return now - int.from_bytes(access_cy.peek(killed_at, 8), "little")


def make_lock() -> int:
    """Return the address of a spinlock, with room for the words of a measurement behind it."""
    from cpus import lock_cy
    from smpmm.mm.page_calls_cy import get_zeroed_page

    place = get_zeroed_page(7)
    lock_cy.spin_lock_init(place)
    return place


def takeover_ns(machine: Any, victim: int, waiter: int) -> int:
    """Kill CPU `victim` with a lock that CPU `waiter` waits for; ns until that has it."""
    from cpus.errors import CpuDied

    lock = machine.run(make_lock, cpu=waiter)
    waiting = machine.spawn(wait_for_lock, lock, lock + 256, cpu=waiter)
    holder = machine.spawn(hold_and_die, lock, lock + 256, cpu=victim)
    try:
        holder.result(30)
    except CpuDied:
        pass
    return waiting.result(30)
