"""check() of the vmalloc space: the table of areas against list, tree, page tables and pages.

All of it under vmlist_lock: no area becomes live or ceases to be. What an area that is just
being made or freed has mapped is in motion and only must not be another's.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.percpu_cy import enter, leave
from cython.cimports.smpmm.mm import page_cy
from cython.cimports.smpmm.mm.page_cy import (
    PAGE_ALLOC,
    PAGE_SHIFT,
    PAGE_SIZE,
    PAGE_SLAB,
    PAGE_TABLE,
    PAGE_VMALLOC,
    TRUTH_WHO_SHIFT,
    page_native,
    pfn_to_page,
    truth_kind,
    truth_order,
)
from cython.cimports.smpmm.mm.pgtable_cy import (
    level_mask,
    level_shift,
    nr_levels,
    page_tables,
    pte_at,
    pte_bytes,
    pte_is_io,
    pte_load,
    pte_pfn,
    pte_present,
    root,
    table_page,
    vm_bytes,
    vm_start,
)
from cython.cimports.smpmm.mm.slab_grow_cy import truth_of
from cython.cimports.smpmm.mm.slab_list_cy import (
    OBJECT_ALLOC,
    OBJECT_KERNEL,
    OBJECT_KIND,
    OBJECT_PID_SHIFT,
    OBJECT_SITE_SHIFT,
    caches,
    slab,
    slabs,
    truths,
)
from cython.cimports.smpmm.mm.vm_area_cy import (
    AREA_DYING,
    AREA_FREE,
    AREA_KIND,
    AREA_LIVE,
    VM_IOREMAP,
    area_end,
    area_holding,
    area_state,
    lock_to_read,
    unlock_read,
    vm_info,
    vm_infos,
    vm_struct,
    vmem,
)
from cython.cimports.smpmm.mm.vmalloc_cy import vm_site

from cpus.errors import CorruptionError

INVARIANTS = {
    BAD_ORDER: "vmlist is sorted by address, and no area begins in another or its guard page.",
    BAD_PLACE: "An area lies in the vmalloc space, on whole pages.",
    BAD_INFO: "An entry of vmlist says of itself what the table of areas says.",
    BAD_LISTED: "Every area that is made or live is on vmlist, no other.",
    BAD_TREE: "A node of the tree of areas knows its subtree, by address.",
    BAD_NR_AREAS: "The tree holds every area that has a place, and nr_areas counts them.",
    BAD_FREE_INFO: "A free entry of the table of areas is on the list of free ones.",
    BAD_STRUCT: "The vm_struct of an area is an allocated object of the slab allocator's.",
    BAD_LOST_STRUCT: "Every vm_struct that kmalloc has given out is an area's.",
    BAD_UNMAPPED: "Every page of a live area is mapped.",
    BAD_FRAME: "A mapped frame of RAM is a page of the area that maps it.",
    BAD_GUARD: "The guard page of an area is not mapped.",
    BAD_STRAY: "Nothing is mapped outside of areas.",
    BAD_PAGE_SUM: "Every page of a live area by its truth is mapped in it, once.",
    BAD_PAGE_AREA: "A page of an area by its truth is of an area that has a place.",
    BAD_TABLE: "An entry above the last level leads to a page table.",
    BAD_TABLE_COUNT: "Every page table is found by one entry, and nr_tables counts them.",
}


def check_vmalloc() -> None:
    """Walk every invariant of the vmalloc space; CorruptionError names one that is broken."""
    code: cython.int
    enter()
    lock_to_read(0)
    code = check_all()
    unlock_read()
    leave()
    if code != SOUND:
        raise CorruptionError(
            f"{INVARIANTS[code]} At {found_at:#x}: found {found_has:#x}, "
            f"should be {found_should:#x}"
        )


def fault(code, at, has, should):
    """Note a broken invariant and return its code."""
    global found_at, found_has, found_should
    found_at = at
    found_has = has
    found_should = should
    return code


def check_all():
    code: cython.int = check_list()
    number: u32
    mapped: u64 = 0
    nr: u64 = 0
    live: u64
    if code == SOUND:
        code = check_infos()
    if code == SOUND:
        code = check_structs()
    if code == SOUND:
        code = check_tree(vmem.tree, cython.address(nr))
    if code == SOUND and nr != vmem.nr_areas:
        code = fault(BAD_NR_AREAS, 0, nr, vmem.nr_areas)
    if code == SOUND:
        code = check_tables()
    while code == SOUND:
        mapped = 0
        live = nr_live()
        for number in range(1, vmem.nr_infos + 1):
            if code == SOUND and area_state(number) == AREA_LIVE:
                code = check_area(number, cython.address(mapped))
        if code == SOUND:
            code = check_pages(mapped)
        # The one change that needs no lock: an area that was being made became live.
        if code != BAD_PAGE_SUM or nr_live() == live:
            break
        code = SOUND
    return code


def nr_live():
    """Count the live areas."""
    number: u32
    nr: u64 = 0
    for number in range(1, vmem.nr_infos + 1):
        if area_state(number) == AREA_LIVE:
            nr += 1
    return nr


def check_list():
    """Walk vmlist: in order, apart, and each entry the one that the table has."""
    vm: cython.pointer[vm_struct] = vmem.vmlist
    a: cython.pointer[vm_info]
    end: u64 = vm_start
    nr: u64 = 0
    number: u32
    listed: u64 = 0
    while vm != cython.NULL:
        # In order up to here, so no entry comes twice and the walk ends.
        if segment_cy.kernel_address(vm) == 0 or vm.info == 0 or vm.info > vmem.nr_infos:
            return fault(BAD_INFO, cython.cast(u64, vm), 0, vmem.nr_infos)
        a = vm_infos + vm.info
        if a.vm != vm or a.addr != vm.addr or a.size != vm.size or a.flags != vm.flags:
            return fault(BAD_INFO, vm.addr, vm.info, a.addr)
        if vm.addr < end:
            return fault(BAD_ORDER, vm.addr, vm.addr, end)
        if (vm.addr | vm.size) & (PAGE_SIZE - 1) or vm.size < PAGE_SIZE:
            return fault(BAD_PLACE, vm.addr, vm.size, PAGE_SIZE)
        if vm.addr - vm_start >= vm_bytes or vm.size > vm_bytes - (vm.addr - vm_start):
            return fault(BAD_PLACE, vm.addr, vm.size, vm_bytes)
        if area_state(vm.info) == AREA_FREE or area_state(vm.info) == AREA_DYING:
            return fault(BAD_LISTED, vm.addr, a.truth, AREA_LIVE)
        end = area_end(a)
        listed += 1
        vm = vm.next
    for number in range(1, vmem.nr_infos + 1):
        if area_state(number) != AREA_FREE and area_state(number) != AREA_DYING:
            nr += 1
    return SOUND if nr == listed else fault(BAD_LISTED, 0, listed, nr)


def check_infos():
    """Compare the table with its list of free entries, and areas with their structs."""
    number: u32
    object_: u64
    free: u64 = 0
    listed: u64 = 0
    truth: cython.pointer[u64]
    for number in range(1, vmem.nr_infos + 1):
        if area_state(number) == AREA_FREE:
            free += 1
            continue
        if area_state(number) != AREA_LIVE:
            continue
        object_ = segment_cy.kernel_address(vm_infos[number].vm)
        truth = truth_of(object_) if object_ != 0 else cython.NULL
        if truth == cython.NULL or (
            truth[0] & OBJECT_KIND != OBJECT_KERNEL and truth[0] & OBJECT_KIND != OBJECT_ALLOC
        ):
            return fault(BAD_STRUCT, vm_infos[number].addr, object_, OBJECT_KERNEL)
    number = vmem.free_infos
    while number != 0 and listed <= free:
        if number > vmem.nr_infos or area_state(number) != AREA_FREE:
            return fault(BAD_FREE_INFO, number, vm_infos[number].truth, AREA_FREE)
        listed += 1
        number = vm_infos[number].left
    return SOUND if listed == free else fault(BAD_FREE_INFO, 0, listed, free)


def check_structs():
    """Look for an object that was a vm_struct and is no area's any more."""
    pfn: u64
    nr: u64
    truth: u64
    what: u64
    s: cython.pointer[slab]
    for pfn in range(page_cy.nr_pages):
        s = slabs + pfn
        if truth_kind(pfn_to_page(pfn).truth) != PAGE_SLAB or pfn_to_page(pfn).slab == 0:
            continue
        for nr in range(caches[s.cache].num):
            truth = truths[s.truth + nr]
            what = truth >> OBJECT_PID_SHIFT
            if truth & OBJECT_KIND != OBJECT_KERNEL:
                continue
            if (truth >> OBJECT_SITE_SHIFT) & 0xFFFF != vm_site:
                continue
            if what == 0 or what > vmem.nr_infos or area_state(what) == AREA_FREE:
                return fault(BAD_LOST_STRUCT, pfn << PAGE_SHIFT, truth, 0)
    return SOUND


def check_tree(tree, nr):
    a: cython.pointer[vm_info] = vm_infos + tree
    b: cython.pointer[vm_info]
    code: cython.int
    lowest: u64 = a.addr
    end: u64 = area_end(a)
    gap: u64 = 0
    if tree == 0:
        return SOUND
    if tree > vmem.nr_infos or a.truth & AREA_KIND == AREA_FREE or nr[0] > vmem.nr_areas:
        return fault(BAD_TREE, tree, nr[0], vmem.nr_areas)
    nr[0] += 1
    if a.left != 0:
        b = vm_infos + a.left
        code = check_tree(a.left, nr)
        if code != SOUND:
            return code
        if b.end > a.addr:
            return fault(BAD_TREE, a.addr, b.end, a.addr)
        lowest = b.lowest
        gap = max(b.gap, a.addr - b.end)
    if a.right != 0:
        b = vm_infos + a.right
        code = check_tree(a.right, nr)
        if code != SOUND:
            return code
        if b.lowest < end:
            return fault(BAD_TREE, a.addr, b.lowest, end)
        gap = max(gap, max(b.gap, b.lowest - end))
        end = b.end
    if a.lowest != lowest or a.end != end or a.gap != gap:
        return fault(BAD_TREE, a.addr, a.gap, gap)
    return SOUND


def check_area(number, mapped):
    """Check that a live area's pages are mapped, its own, and its guard page is not."""
    a: cython.pointer[vm_info] = vm_infos + number
    address: u64 = a.addr
    end: u64 = area_end(a) - PAGE_SIZE
    at: cython.pointer[u8]
    while address < end:
        at = pte_at(address)
        if at == cython.NULL or not pte_present(pte_load(at)):
            return fault(BAD_UNMAPPED, address, 0 if at == cython.NULL else pte_load(at), 1)
        if a.flags & VM_IOREMAP == 0:
            mapped[0] += mix(pte_pfn(pte_load(at)))
        address += PAGE_SIZE
    at = pte_at(end)
    if at != cython.NULL and pte_load(at) != 0:
        return fault(BAD_GUARD, end, pte_load(at), 0)
    return SOUND


def check_entry(number, address, entry):
    """Check what a present entry of the last level maps, of an area or of none."""
    p: cython.pointer[page]
    if number == 0:
        return fault(BAD_STRAY, address, entry, 0)
    if pte_is_io(entry):
        if vm_infos[number].flags & VM_IOREMAP:
            return SOUND
        return fault(BAD_FRAME, address, entry, 0)
    if pte_pfn(entry) >= page_cy.nr_pages:
        return fault(BAD_FRAME, address, pte_pfn(entry), page_cy.nr_pages)
    p = pfn_to_page(pte_pfn(entry))
    if truth_kind(p.truth) == PAGE_VMALLOC and p.truth >> TRUTH_WHO_SHIFT == number:
        return SOUND
    # A page that is just being mapped is not yet named by its truth.
    if area_state(number) != AREA_LIVE and truth_kind(p.truth) == PAGE_ALLOC:
        return SOUND
    return fault(BAD_FRAME, address, p.truth, cython.cast(u64, number) << TRUTH_WHO_SHIFT)


def check_pages(mapped):
    """Compare the pages whose truth names a live area with what the areas map."""
    pfn: u64 = 0
    nr: u64 = 0
    truth: u64
    number: u64
    while pfn < page_cy.nr_pages:
        truth = pfn_to_page(pfn).truth
        if truth_kind(truth) == PAGE_VMALLOC:
            number = truth >> TRUTH_WHO_SHIFT
            if number == 0 or number > vmem.nr_infos or area_state(number) == AREA_FREE:
                return fault(BAD_PAGE_AREA, pfn << PAGE_SHIFT, truth, 0)
            if area_state(number) == AREA_LIVE:
                nr += mix(pfn)
        pfn += cython.cast(u64, 1) << truth_order(truth)
    return SOUND if nr == mapped else fault(BAD_PAGE_SUM, 0, nr, mapped)


def check_tables():
    """Walk the tables: each entry leads to a page table or, at the end, to an area's page."""
    nr: u64 = 0
    pages: u64 = 0
    pfn: u64 = 0
    code: cython.int = walk_table(root, 0, 0, cython.address(nr))
    if code != SOUND:
        return code
    while pfn < page_cy.nr_pages:
        if truth_kind(pfn_to_page(pfn).truth) == PAGE_TABLE:
            pages += 1
        pfn += cython.cast(u64, 1) << truth_order(pfn_to_page(pfn).truth)
    # One that is just being placed is counted with or without its entry.
    if nr != page_tables.nr_tables or nr != pages:
        if page_tables.placing == 0:
            return fault(BAD_TABLE_COUNT, pages, nr, page_tables.nr_tables)
    return SOUND


def walk_table(table, level, address, nr):
    i: u64
    entry: u64
    here: u64
    code: cython.int
    p: cython.pointer[page]
    for i in range(level_mask[level] + 1):
        entry = pte_load(table + i * pte_bytes)
        here = address | i << level_shift[level]
        if not pte_present(entry):
            continue
        if level == nr_levels - 1:
            # The bits of an address above the tables are those of the vmalloc space.
            here |= vm_start & ~((level_mask[0] + 1 << level_shift[0]) - 1)
            code = check_entry(area_holding(here), here, entry)
        else:
            p = table_page(entry)
            if p == cython.NULL or truth_kind(p.truth) != PAGE_TABLE:
                return fault(BAD_TABLE, here, entry, PAGE_TABLE)
            nr[0] += 1
            code = walk_table(page_native(p), level + 1, here, nr)
        if code != SOUND:
            return code
    return SOUND
