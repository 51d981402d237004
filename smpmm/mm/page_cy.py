"""mem_map: one struct page for each frame of RAM, and what each frame is.

Models mem_map of 2.4 (include/linux/mm.h). `truth` says what a block is: free of some order,
allocated by whom and where, part of a slab, reserved. It stands in the first page of the
block; the words of the other pages are 0. All indexes (free lists, counters) can be rebuilt
from it.

The version's own mem_map lies in RAM and costs what it costs there. Ours is in its place where
it fits, else in a region of the segment; the address of an entry is the version's either way.

Invariant: walking from a zone's first page by the orders that the truth words say, each step
lands on the first page of a block.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import atomic64_load

from smpmm.mm import memmap


def regions(config: object) -> dict:
    """Return the region of mem_map, if the version's own has no room for ours in RAM."""
    memory = memmap.memory_map_of(config)
    size: u64 = cython.sizeof(page) * memory.nr_pages
    return {"mem_map": size} if size > memory.mem_map_bytes else {}


def attach(memory: object, page_offset: cython.ulonglong) -> None:
    """Find mem_map; `memory` is a memmap.MemoryMap. The monitor, before it forks."""
    global mem_map, nr_pages, max_low_pfn, mem_map_address, struct_page_bytes
    start: u64 = memory.mem_map_start
    nr_pages = memory.nr_pages
    max_low_pfn = memory.max_low_pfn
    mem_map_address = page_offset + start
    struct_page_bytes = cython.sizeof(page)
    mem_map = cython.cast(
        cython.pointer[page], cython.cast(cython.ulonglong, segment_cy.ram) + start
    )
    if struct_page_bytes * nr_pages > memory.mem_map_bytes:
        struct_page_bytes = memory.mem_map_bytes // (nr_pages + 1)
        mem_map = cython.cast(cython.pointer[page], segment_cy.region_at(b"mem_map"))


def truth_at(pfn: cython.ulonglong) -> int:
    """Return the truth word of a frame, for reports and tests."""
    check_pfn(pfn)
    return atomic64_load(cython.address(mem_map[pfn].truth))


def poke_truth(pfn: cython.ulonglong, truth: cython.ulonglong) -> None:
    """Overwrite the truth word of a frame: tests damage RAM with it."""
    check_pfn(pfn)
    mem_map[pfn].truth = truth


def check_pfn(pfn: u64) -> None:
    if pfn >= nr_pages:
        raise ValueError(f"pfn {pfn:#x} is beyond the last frame {nr_pages - 1:#x}")


def page_info(pfn: cython.ulonglong) -> dict:
    """Return the words of a struct page, for reports. Any process; takes no lock."""
    check_pfn(pfn)
    p: cython.pointer[page] = mem_map + pfn
    t: u64 = atomic64_load(cython.address(p.truth))
    return {
        "pfn": pfn,
        "kind": t & TRUTH_KIND,
        "order": truth_order(t),
        "slot": ((t >> TRUTH_SLOT_SHIFT) & 0xFF) - 1,
        "site": (t >> TRUTH_SITE_SHIFT) & 0xFFFF,
        "who": t >> TRUTH_WHO_SHIFT,
        "count": p.count,
        "flags": p.flags,
        "virtual": p.virtual,
    }


def nr_page_frames() -> int:
    """Return how many page frames the machine has."""
    return nr_pages


def sizeof_page() -> int:
    """Return the bytes of our struct page."""
    return cython.sizeof(page)


def native_address(pfn: cython.ulonglong) -> int:
    """Return the native address of a struct page; tests damage RAM with it."""
    check_pfn(pfn)
    return cython.cast(cython.ulonglong, mem_map + pfn)


def pages_of_slot(slot: cython.ulonglong) -> list:
    """Return what the process of `slot` has allocated: (pfn, order, call site, pid).

    After the process's death. Slab pages are their cache's, not listed. O(pages).
    """
    return list_allocated(slot + 1)


def allocated_pages() -> list:
    """Return what anybody has allocated: (pfn, order, call site, pid). O(pages)."""
    return list_allocated(0)


def list_allocated(holder: u64) -> list:
    """List the allocated blocks of a holder (slot + 1), of all with 0; takes no lock."""
    found = []
    pfn: u64 = 0
    t: u64
    while pfn < nr_pages:
        t = pfn_to_page(pfn).truth
        if truth_kind(t) == PAGE_ALLOC and (
            holder == 0 or ((t >> TRUTH_SLOT_SHIFT) & 0xFF) == holder
        ):
            found.append(
                (pfn, truth_order(t), (t >> TRUTH_SITE_SHIFT) & 0xFFFF, t >> TRUTH_WHO_SHIFT)
            )
        pfn += cython.cast(u64, 1) << truth_order(t)
    return found
