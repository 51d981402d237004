"""What a dead process leaves allocated: reported by call site.

Pages that a driver allocated may be linked into structs that live on, so they stay; a page
that was on its way into the buffer cache is nobody's, and goes back.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from cpus import callsite_cy, event_cy, percpu_cy
from smpmm.mm import buffer_cy, page_cy

KERN_WARNING: Final = 4


def recover(slot: int, kind: int, cpu: int) -> None:
    """Report the pages of a dead process; a kernel task, after its death. May sleep.

    The buffers that it used are given up, as the semaphores that it took.
    """
    name = percpu_cy.slot_info(slot)["name"]
    if used := buffer_cy.give_up_users(slot):
        event_cy.log(f"smpmm: {name} died with {used} buffers in use: given up", KERN_WARNING)
    pages: Counter[int] = Counter()
    blocks: Counter[int] = Counter()
    for pfn, order, site, _pid in page_cy.pages_of_slot(slot):
        if site == buffer_cy.own_site():
            buffer_cy.free_orphan(pfn)
            continue
        pages[site] += 1 << order
        blocks[site] += 1
    if not pages:
        return
    event_cy.log(
        f"smpmm: {name} died with {pages.total()} pages allocated in {blocks.total()} blocks:",
        KERN_WARNING,
    )
    for site, number in pages.most_common():
        event_cy.log(
            f"smpmm:  {number} pages in {blocks[site]} blocks, "
            f"at {callsite_cy.site_text(site)}",
            KERN_WARNING,
        )
