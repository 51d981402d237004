"""bigphysarea: one contiguous area of physical memory, taken at boot, handed out in pages.

Models the bigphysarea patch for 2.2 and 2.4: `bigphysarea=PAGES` on the command line. The
area comes from bootmem and is divided by first fit among drivers that need more than the page
allocator's largest block.

One chain of ranges covers the area in the order of addresses; where the next begins, a range
ends. Truth: the chain, and each range's `used`. A split is one store (the new range is linked,
free as its neighbour), a merge is one store (a free range is unlinked behind a free one), so a
CPU that dies in between leaves nothing to put right.

Locks: the semaphore of the area guards the chain. Nothing here may be called in an interrupt.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from cpus import event_cy
from cpus.context_cy import might_sleep
from cpus.handle_cy import address_of
from cpus.semaphore_cy import down, sema_init, up
from smpmm import symbols
from smpmm.kstruct import KStruct, ptr, sizeof, u32
from smpmm.mm import bootmem_calls, slab_cy, window_cy
from smpmm.sync import semaphore

KERN_WARNING: Final = 4
KERN_INFO: Final = 6


class Range(KStruct):
    """A part of the area."""

    next: ptr  # 0: the last
    base: ptr
    used: u32


class BigPhysArea(KStruct):
    """The area; `first` is its lowest range."""

    lock: semaphore
    first: Range
    end: ptr
    nr_pages: u32


_area: Any = None  # set before the CPUs are forked; None: there is no area


def setup(config: Any) -> None:
    """Take the area from bootmem, if the command line asks for one; the monitor, at boot."""
    global _area
    nr_pages = config.option("bigphysarea", 0) if hasattr(config, "option") else 0
    if not nr_pages:
        return
    nr_bytes = nr_pages << page_shift()
    base = bootmem_calls.alloc_bootmem_low_pages(nr_bytes)
    _area = BigPhysArea.at(window_cy.window_alloc(sizeof(BigPhysArea)))
    sema_init(_area.lock, 1)
    _area.nr_pages = nr_pages
    _area.end = base + nr_bytes
    _area.first.base = base
    event_cy.log(f"bigphysarea: Allocated {nr_pages} pages at 0x{base:08x}.", KERN_INFO)


def page_shift() -> int:
    """Return the machine's PAGE_SHIFT."""
    return symbols.resolve("PAGE_SHIFT")


def ranges() -> Iterator[tuple[Any, int]]:
    """Yield each range and its bytes in the order of addresses; the semaphore is held."""
    part = _area.first
    while True:
        following = part.next
        end = Range.at(following).base if following else _area.end
        yield part, end - part.base
        if not following:
            return
        part = Range.at(following)


def bigphysarea_alloc_pages(count: int, align: int, priority: int) -> int:
    """Return the address of `count` pages at a multiple of `align` pages (0: of one), or 0.

    `priority` is the mask with which the bookkeeping is allocated. May sleep.
    """
    might_sleep()
    if _area is None or count <= 0:
        return 0
    down(_area.lock)
    try:
        return _take(count << page_shift(), max(1, align) << page_shift(), priority)
    finally:
        up(_area.lock)


def _take(nr_bytes: int, align: int, priority: int) -> int:
    for part, room in ranges():
        base = -(-part.base // align) * align
        if part.used or base + nr_bytes > part.base + room:
            continue
        if base + nr_bytes < part.base + room and not _split(part, base + nr_bytes, priority):
            return 0
        if base > part.base:
            if not _split(part, base, priority):
                _merge(part)
                return 0
            part = Range.at(part.next)
        part.used = 1
        return base
    return 0


def _split(part: Any, at: int, priority: int) -> bool:
    """Divide a free range; false without memory for the second one."""
    address = slab_cy.kmalloc(sizeof(Range), priority)
    if not address:
        return False
    second = Range.at(address)
    second.next, second.base, second.used = part.next, at, 0
    part.next = address
    return True


def _merge(part: Any) -> None:
    """Join a free range with the free ones behind it."""
    while part.next and not Range.at(part.next).used:
        behind = part.next
        part.next = Range.at(behind).next
        slab_cy.kfree(behind)


def bigphysarea_free_pages(base: object) -> None:
    """Give back what `bigphysarea_alloc_pages` returned; another address is logged.

    May sleep.
    """
    might_sleep()
    address = address_of(base)
    if _area is not None:
        down(_area.lock)
        try:
            if _give_back(address):
                return
        finally:
            up(_area.lock)
    event_cy.log(f"bigphysarea_free_pages(0x{address:08x}), not allocated!", KERN_WARNING)


def _give_back(address: int) -> bool:
    free_before = None
    for part, _size in ranges():
        if part.base == address and part.used:
            part.used = 0
            _merge(free_before or part)
            return True
        free_before = None if part.used else free_before or part
    return False


def bigphysarea_alloc(size: int) -> int:
    """Return the address of `size` bytes in whole pages, or 0. May sleep."""
    page = 1 << page_shift()
    return bigphysarea_alloc_pages(-(-size // page), 1, symbols.resolve("GFP_KERNEL"))


def bigphysarea_free(addr: object, size: int) -> None:
    """Give back what `bigphysarea_alloc` returned; `size` is not looked at. May sleep."""
    bigphysarea_free_pages(addr)


def proc_read() -> str:
    """Return /proc/bigphysarea. May sleep."""
    if _area is None:
        return "No big physical area allocated!\n"
    sizes: dict[bool, list[int]] = {False: [], True: []}
    down(_area.lock)
    try:
        for part, size in ranges():
            sizes[bool(part.used)].append(size >> 10)
    finally:
        up(_area.lock)
    free, used = sizes[False], sizes[True]
    largest = [max(one, default=0) for one in (free, used)]
    return (
        f"Big physical area, size {sum(free) + sum(used)} kB\n"
        "                       free list:             used list:\n"
        f"number of blocks:      {len(free):8d}               {len(used):8d}\n"
        f"size of largest block: {largest[0]:8d} kB            {largest[1]:8d} kB\n"
        f"total:                 {sum(free):8d} kB            {sum(used):8d} kB\n"
    )
