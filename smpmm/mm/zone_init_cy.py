"""The zones of a fresh machine: what is free at first, the watermarks, the host's memory.

Models free_area_init_core and free_all_bootmem (mm/page_alloc.c). The monitor, as CPU 0,
before it forks: no locks.
"""

import os

import cython
from cython.cimports.cpus.spinlock_cy import (
    CLASS_SPIN,
    RECOVER_ZONE,
    lock_class_named,
    spinlock_init,
)
from cython.cimports.libc.string import memset, strncpy
from cython.cimports.smpmm.mm import zone_cy
from cython.cimports.smpmm.mm.page_cy import (
    PAGE_FREE,
    PAGE_RESERVED,
    PAGE_SHIFT,
    TRUTH_ORDER_SHIFT,
    pfn_to_page,
)
from cython.cimports.smpmm.mm.zone_cy import (
    NR_ZONES,
    area_add,
    back_block,
    backed,
    backed_pages,
    nr_orders,
    zone_at,
)

from cpus.errors import MachineError
from smpmm.config import RESERVED_BYTES
from smpmm.mm import memmap
from smpmm.profiles import watermarks


def init(profile: object, memory: object) -> None:
    """Format the zones of a fresh segment: everything that is not reserved becomes free."""
    class_: cython.ushort = lock_class_named(b"zone->lock", CLASS_SPIN, RECOVER_ZONE)
    memset(zone_cy.zones, 0, NR_ZONES * cython.sizeof(zone))
    for index, span in enumerate(memory.zones):
        z: cython.pointer[zone] = zone_at(index)
        spinlock_init(cython.address(z.lock), class_)
        z.index = index
        encoded: bytes = span.name.encode()
        strncpy(z.name, encoded, 15)
        z.zone_start_pfn = span.start_pfn
        z.spanned_pages = span.end_pfn - span.start_pfn
        init_zone_pages(z, memory.reserved)
        z.present_pages = z.free_pages
    for index in range(len(memory.zones), NR_ZONES):  # that the architecture does not have
        spinlock_init(cython.address(zone_at(index).lock), class_)
        zone_at(index).index = index
        zone_at(index).zone_start_pfn = memory.nr_pages
    set_watermarks(profile, memory)
    init_backing(memory.nr_pages, RESERVED_BYTES >> PAGE_SHIFT)


def init_backing(pages: u64, reserved_pages: u64) -> None:
    """Back the RAM that is not made of free blocks of the highest order; the rest comes later.

    Boot has reserved all of a machine of up to `reserved_pages`.
    """
    pfn: u64
    whole: u64 = PAGE_FREE | (nr_orders - 1) << TRUTH_ORDER_SHIFT
    for pfn in range(0, pages, backed_pages):
        backed[pfn // backed_pages] = 1
        if pages <= reserved_pages:
            continue
        if (
            backed_pages == cython.cast(u64, 1) << (nr_orders - 1)
            and pfn_to_page(pfn).truth == whole
        ):
            backed[pfn // backed_pages] = 0
        elif not back_block(pfn):
            raise MachineError(
                f"the host has no memory for page frames {pfn:#x} to {pfn + backed_pages:#x}: "
                f"{os.strerror(zone_cy.backing_error)}"
            )


def init_zone_pages(z, reserved):
    """Write the truth of a zone's pages: reserved frames one by one, the rest free."""
    pfn: u64 = z.zone_start_pfn
    end: u64 = z.zone_start_pfn + z.spanned_pages
    first: u64
    last: u64
    for span in reserved:
        first = min(max(span[0], pfn), end)
        last = min(max(span[1], pfn), end)
        init_free_range(z, pfn, first)
        for pfn in range(first, last):
            pfn_to_page(pfn).truth = PAGE_RESERVED
            pfn_to_page(pfn).count = 1
        pfn = last
    init_free_range(z, pfn, end)


def init_free_range(z, pfn, end):
    """Free the frames [pfn, end) in the largest aligned blocks."""
    order: u64
    while pfn < end:
        order = nr_orders - 1
        while pfn & ((cython.cast(u64, 1) << order) - 1) or pfn + (1 << order) > end:
            order -= 1
        pfn_to_page(pfn).truth = PAGE_FREE | order << TRUTH_ORDER_SHIFT
        area_add(cython.address(z.free_area[order]), pfn_to_page(pfn))
        z.free_pages += cython.cast(u64, 1) << order
        pfn += cython.cast(u64, 1) << order


def set_watermarks(profile: object, memory: object) -> None:
    """Compute the marks of all zones by the version's formula."""
    z: cython.pointer[zone]
    wanted: cython.int
    spans = memory.zones
    facts = [
        watermarks.Zone(
            zone_at(index).spanned_pages,
            zone_at(index).present_pages,
            span.name == memmap.HIGHMEM,
        )
        for index, span in enumerate(spans)
    ]
    for index, marks in enumerate(profile.watermarks.marks(facts, profile.page_shift)):
        z = zone_at(index)
        if z.spanned_pages == 0:
            continue
        z.pages_min = marks.min
        z.pages_low = marks.low
        z.pages_high = marks.high
        z.pages_fast = marks.low + profile.fast_margin
        for wanted in range(len(spans)):
            z.reserve[wanted] = marks.reserve[wanted]
