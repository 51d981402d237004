"""The kernel's page tables (asm/pgtable.h, init_mm): what a vmalloc address is.

The tables lie in RAM, the root (swapper_pg_dir) in the kernel's image, the others in pages of
the page allocator that are never given back, as in 2.4. The walk through them in RAM decides
what an address is, in every process and at every access: a change is one store and takes
effect at once for whoever walks after it. `flush_cy` waits for those that walked before.

Levels, bits and flags are data: nothing here knows an architecture.

Truth: an entry that leads to a table, and the kind PAGE_TABLE of that page. `placing` names
the page between the two.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import compiler_barrier
from cython.cimports.cpus.kill_cy import KILL_PGTABLE, kill_point
from cython.cimports.cpus.segment_cy import ram
from cython.cimports.cpus.spinlock_cy import (
    CLASS_SPIN,
    lock_class_named,
    raw_spin_lock_irqsave,
    raw_spin_unlock_irqrestore,
    register_recovery,
    spinlock_init,
)
from cython.cimports.libc.string import memset
from cython.cimports.smpmm.mm import page_cy
from cython.cimports.smpmm.mm.page_alloc_cy import alloc_pages
from cython.cimports.smpmm.mm.page_cy import (
    PAGE_ALLOC,
    PAGE_MASK,
    PAGE_SHIFT,
    PAGE_SIZE,
    PAGE_TABLE,
    page_native,
    page_to_pfn,
    pfn_to_page,
    truth_kind,
)
from cython.cimports.smpmm.mm.zone_cy import free_block, set_page_kind

from cpus import callsite_cy
from smpmm.mm import memmap
from smpmm.mm.vmalloc_profile import vmalloc_profile

SWAPPER_PG_DIR = 0x1000  # from the start of the kernel's image


def regions(config: object) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {"page_tables": cython.sizeof(page_table_state)}


def attach(config: object) -> None:
    """Find the root, take the formats, see through the vmalloc space; before the forks."""
    global page_tables, root, vm_start, vm_bytes, gfp_table, table_site, translate_next
    memory = memmap.memory_profile(config)
    layout = memmap.memory_map_of(config)
    profile = vmalloc_profile(config)
    page_tables = cython.cast(
        cython.pointer[page_table_state], segment_cy.region_at(b"page_tables")
    )
    start, end = profile.bounds(
        memory.page_offset + (layout.max_low_pfn << memory.page_shift),
        memory.pkmap_base or memory.window_start,
        1 << memory.page_shift,
    )
    vm_start = start
    vm_bytes = end - start if end > start else 0
    set_format(profile.tables)
    place: u64 = memory.kernel_start + SWAPPER_PG_DIR
    root = ram + place
    gfp_table = memory.gfp["GFP_KERNEL"]
    table_site = callsite_cy.site_named("pgtable", "pte_alloc")
    if segment_cy.translate_further != translate_vm:
        translate_next = segment_cy.translate_further
        segment_cy.translate_further = translate_vm
    register_recovery(RECOVER_PGTABLE, recover_tables)


def set_format(tables: object) -> None:
    """Take the levels and the bits of a vmalloc_profile.TableFormat."""
    global nr_levels, pte_bytes, frame_mask, present, io_mark
    global table_flags, page_flags, io_flags
    if len(tables.levels) > MAX_LEVELS:
        raise ValueError(f"{len(tables.levels)} levels of page tables, at most {MAX_LEVELS}")
    nr_levels = len(tables.levels)
    i: cython.int
    for i, (shift, bits) in enumerate(tables.levels):
        level_shift[i] = shift
        level_mask[i] = (1 << bits) - 1
    if level_shift[nr_levels - 1] != PAGE_SHIFT:
        raise ValueError(f"pages of {1 << level_shift[nr_levels - 1]} bytes, not {PAGE_SIZE}")
    pte_bytes = tables.entry_bytes
    frame_mask = tables.frame_mask
    present = tables.present
    io_mark = tables.io_mark
    table_flags = tables.table_flags | tables.present
    page_flags = tables.page_flags
    io_flags = tables.io_flags | tables.io_mark


def init(config: object) -> None:
    """Format the lock of a fresh segment; the monitor. The root is empty."""
    class_: cython.ushort = lock_class_named(b"page_table_lock", CLASS_SPIN, RECOVER_PGTABLE)
    spinlock_init(cython.address(page_tables.lock), class_)


def table_page(entry):
    if entry & present == 0 or (entry & frame_mask) >> PAGE_SHIFT >= page_cy.nr_pages:
        return cython.NULL
    return pfn_to_page((entry & frame_mask) >> PAGE_SHIFT)


def pte_at(address):
    table: cython.pointer[u8] = root
    level: u32 = 0
    entry: u64
    while True:
        table += ((address >> level_shift[level]) & level_mask[level]) * pte_bytes
        level += 1
        if level == nr_levels:
            return table
        entry = pte_load(table)
        if entry & present == 0 or pte_pfn(entry) >= page_cy.nr_pages:
            return cython.NULL
        table = ram + (entry & frame_mask)


def pte_alloc(address, site):
    table: cython.pointer[u8] = root
    level: u32 = 0
    p: cython.pointer[page]
    while True:
        table += ((address >> level_shift[level]) & level_mask[level]) * pte_bytes
        level += 1
        if level == nr_levels:
            return table
        if pte_load(table) & present == 0:
            p = alloc_pages(gfp_table, 0, table_site)
            if p == cython.NULL:
                return cython.NULL
            memset(page_native(p), 0, PAGE_SIZE)
            if not place_table(table, p, site):
                free_block(p, 0, PAGE_ALLOC, table_site)
        table = ram + (pte_load(table) & frame_mask)


def place_table(at, p, site):
    """Let an entry lead to a fresh table; false when another process was first."""
    placed: cython.bint = False
    flags: u64 = raw_spin_lock_irqsave(cython.address(page_tables.lock), site)
    if pte_load(at) & present == 0:
        page_tables.placing = page_to_pfn(p) + 1
        compiler_barrier()
        set_page_kind(p, PAGE_TABLE)
        kill_point(KILL_PGTABLE)
        pte_store(at, page_to_pfn(p) << PAGE_SHIFT | table_flags)
        page_tables.nr_tables += 1
        compiler_barrier()
        page_tables.placing = 0
        placed = True
    raw_spin_unlock_irqrestore(cython.address(page_tables.lock), flags)
    return placed


def vm_span(address, n, length):
    at: cython.pointer[u8] = pte_at(address)
    got: u64 = PAGE_SIZE - (address & PAGE_MASK)
    pfn: u64
    last: u64
    entry: u64
    length[0] = 0
    if at == cython.NULL:
        return cython.NULL
    entry = pte_load(at)
    pfn = (entry & frame_mask) >> PAGE_SHIFT
    if entry & (present | io_mark) != present or pfn >= page_cy.nr_pages:
        return cython.NULL
    last = pfn
    while got < n:
        at = pte_at(address + got) if starts_table(address + got) else at + pte_bytes
        if at == cython.NULL:
            break
        entry = pte_load(at)
        last += 1
        if (
            entry & (present | io_mark) != present
            or (entry & frame_mask) >> PAGE_SHIFT != last
            or last >= page_cy.nr_pages
        ):
            break
        got += PAGE_SIZE
    length[0] = min(got, n)
    return ram + (pfn << PAGE_SHIFT) + (address & PAGE_MASK)


def translate_vm(address, len):
    got: u64
    at: cython.pointer[u8]
    offset: u64 = address - vm_start
    if offset < vm_bytes:
        at = vm_span(address, len, cython.address(got))
        return at if got >= len else cython.NULL
    if translate_next != cython.NULL:
        return translate_next(address, len)
    return cython.NULL


def finds_table(table, level, pfn):
    """Whether an entry of `table` or of one below leads to the frame `pfn`."""
    i: u64
    p: cython.pointer[page]
    for i in range(level_mask[level] + 1):
        p = table_page(pte_load(table + i * pte_bytes))
        if p == cython.NULL:
            continue
        if page_to_pfn(p) == pfn:
            return True
        if level + 2 < nr_levels and finds_table(page_native(p), level + 1, pfn):
            return True
    return False


def count_tables(table, level):
    """Count the tables below `table`."""
    i: u64
    n: u64 = 0
    p: cython.pointer[page]
    for i in range(level_mask[level] + 1):
        p = table_page(pte_load(table + i * pte_bytes))
        if p == cython.NULL:
            continue
        n += 1
        if level + 2 < nr_levels:
            n += count_tables(page_native(p), level + 1)
    return n


def recover_tables(lock):
    """Give back a table that its maker was killed with before an entry led to it."""
    p: cython.pointer[page]
    pfn: u64 = page_tables.placing
    if pfn != 0:
        p = pfn_to_page(pfn - 1)
        if truth_kind(p.truth) == PAGE_TABLE and not finds_table(root, 0, pfn - 1):
            free_block(p, 0, PAGE_TABLE, table_site)
        page_tables.placing = 0
    page_tables.nr_tables = count_tables(root, 0)


def own_site() -> int:
    """Return the call site of the tables' pages while they are on their way."""
    return table_site


def vmalloc_start() -> int:
    """Return VMALLOC_START."""
    return vm_start


def vmalloc_end() -> int:
    """Return VMALLOC_END, exclusive."""
    return vm_start + vm_bytes


def nr_tables() -> int:
    """Return how many pages are page tables, the root not counted."""
    return page_tables.nr_tables


def walk(address: cython.ulonglong) -> dict:
    """Return the entry of an address: its native place and its value; tests and reports."""
    at: cython.pointer[u8] = pte_at(address)
    if at == cython.NULL:
        return {"at": 0, "entry": 0, "present": False, "pfn": 0}
    entry: u64 = pte_load(at)
    return {
        "at": cython.cast(cython.ulonglong, at),
        "entry": entry,
        "present": pte_present(entry),
        "pfn": pte_pfn(entry),
    }


def root_at() -> int:
    """Return the native address of the root; tests damage RAM with it."""
    return cython.cast(cython.ulonglong, root)
