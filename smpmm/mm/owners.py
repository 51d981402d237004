"""What a dead process had allocated and nobody freed: for the kernel log."""

from __future__ import annotations

from collections import Counter
from typing import Final

from cpus import callsite_cy, event_cy, monitor
from smpmm.mm import slab_state_cy, zone_cy

KERN_WARNING: Final = 4
MOST_LINES: Final = 20
PAGE_BYTES: Final = 4096


def allocated_by(slot: int) -> Counter[tuple[str, int, int]]:
    """Return {(what, bytes of one, call site): number} of what a slot's process allocated.

    Without lock: an allocation that is freed meanwhile may still be in it. O(pages + objects).
    """
    found: Counter[tuple[str, int, int]] = Counter()
    for each in slab_state_cy.allocated_objects():
        if each["kind"] == "allocated" and each["slot"] == slot:
            found[f"object of {each['cache']}", each["objsize"], each["site"]] += 1
    for _pfn, order, site, _pid in zone_cy.pages_of_slot(slot):
        found[f"block of order {order}", PAGE_BYTES << order, site] += 1
    return found


def report(slot: int, kind: int, cpu: int) -> None:
    """Log what the dead process of `slot` had allocated, by call site; a task on a live CPU.

    It stays allocated: who else has the address may use and free it.
    """
    what = f"CPU {cpu}" if kind == monitor.KIND_CPU else f"the process of slot {slot}"
    found = allocated_by(slot).most_common()
    for (kind_of, size, site), number in found[:MOST_LINES]:
        event_cy.log(
            f"smpmm: {what} died with {number} × {kind_of} ({size} bytes) "
            f"from {callsite_cy.site_text(site)}",
            KERN_WARNING,
        )
    if len(found) > MOST_LINES:
        event_cy.log(f"smpmm: … and of {len(found) - MOST_LINES} more call sites", KERN_WARNING)
