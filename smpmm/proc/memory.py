"""/proc/meminfo, /proc/buddyinfo, /proc/iomem: physical memory as text.

Figures are read without locks, as a kernel does. Any process that has attached the segment.
"""

from __future__ import annotations

from typing import NamedTuple

from smpmm.mm import iomem_cy, memmap, page_alloc_cy, zone_cy

PAGE_SIZE = 4096
KIB_PER_PAGE = 4
HIGHMEM = 2


class Totals(NamedTuple):
    """What meminfo counts, in pages."""

    total: int
    free: int
    high_total: int
    high_free: int
    buffers: int
    active: int
    inactive_dirty: int
    inactive_clean: int
    inactive_target: int


def totals() -> Totals:
    """Count the pages of all zones."""
    zones = [zone_cy.zone_info(index) for index in range(3)]
    vm = page_alloc_cy.vm_counters()
    return Totals(
        total=sum(zone["present_pages"] for zone in zones),
        free=sum(zone["free_pages"] for zone in zones),
        high_total=zones[HIGHMEM]["present_pages"],
        high_free=zones[HIGHMEM]["free_pages"],
        buffers=vm["nr_buffer_pages"],
        active=vm["nr_active"],
        inactive_dirty=vm["nr_inactive_dirty"],
        inactive_clean=vm["nr_inactive_clean"],
        inactive_target=sum(zone["pages_high"] for zone in zones),
    )


def meminfo() -> str:
    """Return /proc/meminfo of 2.4.5: a table in bytes, then lines in kB. There is no swap."""
    t = totals()
    figures = [t.total, t.total - t.free, t.free, 0, t.buffers, 0]
    table = [
        "        total:    used:    free:  shared: buffers:  cached:",
        "Mem:  " + " ".join(f"{pages * PAGE_SIZE:8d}" for pages in figures),
        "Swap: " + " ".join(f"{0:8d}" for _ in range(3)),
    ]
    lines = {
        "MemTotal": t.total,
        "MemFree": t.free,
        "MemShared": 0,
        "Buffers": t.buffers,
        "Cached": 0,
        "Active": t.active,
        "Inact_dirty": t.inactive_dirty,
        "Inact_clean": t.inactive_clean,
        "Inact_target": t.inactive_target,
        "HighTotal": t.high_total,
        "HighFree": t.high_free,
        "LowTotal": t.total - t.high_total,
        "LowFree": t.free - t.high_free,
        "SwapTotal": 0,
        "SwapFree": 0,
    }
    tagged = [f"{name + ':':<14}{pages * KIB_PER_PAGE:8d} kB" for name, pages in lines.items()]
    return "\n".join([*table, *tagged]) + "\n"


def buddyinfo() -> str:
    """Return /proc/buddyinfo, free blocks by order; 2.4 itself has no such file."""
    lines = []
    for index in range(3):
        zone = zone_cy.zone_info(index)
        if zone["present_pages"]:
            counts = "".join(f"{count:6d} " for count in zone["nr_free"])
            lines.append(f"Node 0, zone {zone['name']:>8} {counts}\n")
    return "".join(lines)


def iomem() -> str:
    """Return /proc/iomem: what lies where in physical memory."""
    devices = tuple(
        memmap.Resource(start, start + size, name) for name, start, size in iomem_cy.io_table()
    )
    return iomem_text((*page_alloc_cy.boot_memory_map().resources, *devices))


def iomem_text(resources: tuple[memmap.Resource, ...]) -> str:
    """Write resources as Linux does: two blanks per level, eight digits, inclusive ends."""
    return "".join(
        f"{'  ' * r.level}{r.start:08x}-{r.end - 1:08x} : {r.name}\n" for r in resources
    )
