"""Who waits for whom, in words: the cycle that a refused lock call would have closed.

The search itself is compiled (deadlock_cy.find_deadlock); this walks the same edges once more
to name them. The words of the segment are read without a lock: the processes in a cycle stand
still.
"""

from cpus import callsite_cy, lockstat, percpu_cy
from cpus.segment_cy import native_word32

SLOT_LIVE = 1
NR_SLOTS = 224
OWNER_MASK = 0x7FFFFFFF


def interrupter_of(slot: int) -> int:
    """Return the slot of the handler that has interrupted the process of `slot`, or -1."""
    for other in range(NR_SLOTS):
        info = percpu_cy.slot_info(other)
        if info["state"] == SLOT_LIVE and info["interrupted"] == slot + 1:
            return other
    return -1


def owner_of(lock: int) -> int:
    """Return the slot that owns the lock at a native address, or -1."""
    return (native_word32(lock) & 0xFF) - 1


def walk(start: int, lock: int) -> list[tuple[int, int, int]]:
    """Follow the edges from `start`, which waits for the lock at native address `lock`.

    Returns (slot, lock it waits for or 0 when it is interrupted, slot it waits for) per edge,
    until the walk comes back to `start` or ends.
    """
    edges = []
    at = start
    for _ in range(NR_SLOTS):
        after = owner_of(lock) if lock else interrupter_of(at)
        if after < 0:
            break
        edges.append((at, lock, after))
        if after == start:
            break
        at = after
        lock = percpu_cy.slot_info(at)["waiting_lock"]
    return edges


def describe(edge: tuple[int, int, int]) -> str:
    """Put one edge into words."""
    slot, lock, other = edge
    name = percpu_cy.slot_info(slot)["name"]
    owner = percpu_cy.slot_info(other)["name"]
    if not lock:
        return f"{name} stands still until the interrupt in {owner} has finished"
    held = [site for at, site, _ in percpu_cy.slot_info(other)["held"] if at == lock]
    where = f", taken at {callsite_cy.site_text(held[0])}" if held else ""
    return f"{name} waits for {lockstat.lock_name(lock)}, held by {owner}{where}"
