"""What a dead process leaves in the vmalloc space: put right, and reported by call site.

An area that was on its way, there or back, is taken apart. A live area stays: who else has
its address may use and free it.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from cpus import callsite_cy, event_cy, percpu_cy
from smpmm.mm import page_cy, pgtable_cy, slab_cy, slab_state_cy, vm_state_cy, vmalloc_cy

KERN_WARNING: Final = 4
LIVE: Final = 2


def recover(slot: int, kind: int, cpu: int) -> None:
    """Finish the areas of a dead process; a kernel task, after its death. May sleep."""
    live: Counter[int] = Counter()
    pages: Counter[int] = Counter()
    for number, state in vm_state_cy.numbers_of(slot):
        if state != LIVE:
            vmalloc_cy.finish_area(number, slot)
            continue
        area = vm_state_cy.area_info(number)
        live[area["caller"]] += 1
        pages[area["caller"]] += area["pages"]
    free_orphans(slot)
    if not live:
        return
    name = percpu_cy.slot_info(slot)["name"]
    event_cy.log(f"smpmm: {name} died with {live.total()} vmalloc areas:", KERN_WARNING)
    for site, number in live.most_common():
        event_cy.log(
            f"smpmm:  {number} areas of {pages[site]} pages, at {callsite_cy.site_text(site)}",
            KERN_WARNING,
        )


def free_orphans(slot: int) -> None:
    """Free pages and structs that were on their way to an area or to a table."""
    own = (vmalloc_cy.own_site(), pgtable_cy.own_site())
    for pfn, _order, site, _pid in page_cy.pages_of_slot(slot):
        if site in own:
            vmalloc_cy.free_orphan(pfn)
    for found in slab_state_cy.allocated_objects():
        if found["slot"] == slot and found["site"] == own[0]:
            slab_cy.kfree(found["address"])
