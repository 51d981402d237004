"""What a dead process had allocated of slab objects and nobody freed: for the kernel log.

It stays allocated: who else has the address may use and free it. Pages: `orphans`.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from cpus import callsite_cy, event_cy, percpu_cy
from smpmm.mm import slab_state_cy

KERN_WARNING: Final = 4
MOST_LINES: Final = 20


def objects_of(slot: int) -> Counter[tuple[str, int]]:
    """Return {(cache, call site): objects} of what a slot's process has allocated.

    Without lock: one that is freed meanwhile may still be counted. O(pages + objects).
    """
    return Counter(
        (each["cache"], each["site"])
        for each in slab_state_cy.allocated_objects()
        if each["slot"] == slot
    )


def recover(slot: int, kind: int, cpu: int) -> None:
    """Report the objects of a dead process; a kernel task, after its death. May sleep."""
    found = objects_of(slot).most_common()
    if not found:
        return
    name = percpu_cy.slot_info(slot)["name"]
    total = sum(number for _, number in found)
    event_cy.log(f"smpmm: {name} died with {total} objects allocated:", KERN_WARNING)
    for (cache, site), number in found[:MOST_LINES]:
        event_cy.log(
            f"smpmm:  {number} of {cache}, at {callsite_cy.site_text(site)}", KERN_WARNING
        )
    if len(found) > MOST_LINES:
        event_cy.log(f"smpmm:  … at {len(found) - MOST_LINES} more places", KERN_WARNING)
