"""vmalloc and vfree (mm/vmalloc.c): contiguous addresses over pages from anywhere.

1. vmalloc takes a vm_struct from kmalloc, a place in the vmalloc space (`vm_area_cy`), and
   maps single pages there, high memory first (`pgtable_cy`); the area is live with one store.
2. vfree claims the area: from then on its address names nothing. It hides the pages: their
   entries keep the frame and lose the present bit.
3. It waits until every other CPU has left the call that it was in (`flush_cy`): nobody holds
   a pointer into the pages. No lock is held meanwhile.
4. The pages go back to the page allocator one by one, each entry is cleared after its page,
   then the vm_struct and the place are given back.

Killed anywhere in between, 2 to 4 are done by a CPU that lives: the area's truth says that it
is on its way, the entries say which pages it has, and each page's truth says whose it is.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.callsite_cy import call_site
from cython.cimports.cpus.event_cy import log_text
from cython.cimports.cpus.flush_cy import flush_others, others_outside
from cython.cimports.cpus.handle_cy import int_or_address_of
from cython.cimports.cpus.kill_cy import (
    KILL_AREA_BUILT,
    KILL_AREA_DYING,
    KILL_AREA_EMPTY,
    KILL_AREA_FLUSHED,
    KILL_AREA_MAPPED,
    kill_point,
)
from cython.cimports.cpus.percpu_cy import (
    enter,
    enter_quietly,
    enter_sleeping,
    leave,
    may_sleep_here,
)
from cython.cimports.cpus.whole import whole
from cython.cimports.libc.string import memcpy
from cython.cimports.smpmm.mm import page_cy
from cython.cimports.smpmm.mm.page_alloc_cy import alloc_pages
from cython.cimports.smpmm.mm.page_cy import (
    PAGE_ALLOC,
    PAGE_MASK,
    PAGE_SHIFT,
    PAGE_SIZE,
    PAGE_VMALLOC,
    TRUTH_SITE_SHIFT,
    TRUTH_SLOT_SHIFT,
    TRUTH_WHO_SHIFT,
    page_to_pfn,
    pfn_to_page,
    truth_kind,
)
from cython.cimports.smpmm.mm.pgtable_cy import (
    pte_alloc,
    pte_at,
    pte_bytes,
    pte_hidden,
    pte_load,
    pte_of_page,
    pte_pfn,
    pte_present,
    pte_store,
    starts_table,
)
from cython.cimports.smpmm.mm.slab_cy import (
    general_cache,
    kmem_cache_alloc_inside,
    kmem_cache_free_inside,
)
from cython.cimports.smpmm.mm.slab_grow_cy import free_kernel_object, set_kernel_object
from cython.cimports.smpmm.mm.vm_area_cy import (
    AREA_FREE,
    AREA_LIVE,
    VM_ALLOC,
    VM_IOREMAP,
    area_claim,
    area_commit,
    area_end,
    area_place,
    area_release,
    area_state,
    vm_info,
    vm_infos,
    vm_struct,
)
from cython.cimports.smpmm.mm.zone_cy import free_block, set_page_kind, set_page_vmalloc

from cpus import bug, callsite_cy, monitor
from smpmm.mm import memmap, pgtable_cy, vm_area_cy, vm_report
from smpmm.mm.pgtable_cy import vmalloc_end, vmalloc_start
from smpmm.mm.vmalloc_profile import vmalloc_profile

__all__ = ["vfree", "vmalloc", "vmalloc_end", "vmalloc_start"]
SPARSE_REGIONS = vm_area_cy.SPARSE_REGIONS
TABLES = (pgtable_cy, vm_area_cy)

profile: object = None


def regions(config: object) -> dict:
    """Return the regions of the segment that this layer needs, name → bytes."""
    return {name: size for table in TABLES for name, size in table.regions(config).items()}


def attach(config: object) -> None:
    """Find the tables, take the version's figures; the monitor, before it forks."""
    global profile, gfp_kernel, gfp_pages, vm_site, vm_struct_bytes, no_space_length
    for table in TABLES:
        table.attach(config)
    profile = vmalloc_profile(config)
    gfp = memmap.memory_profile(config).gfp
    gfp_kernel = gfp["GFP_KERNEL"]
    gfp_pages = 0
    for name in profile.gfp:
        gfp_pages |= gfp.get(name, 0)
    vm_struct_bytes = max(cython.sizeof(vm_struct), profile.sizeof_vm_struct)
    vm_site = callsite_cy.site_named("vmalloc", "get_vm_area")
    text: bytes = profile.no_space_text.encode()
    no_space_length = min(len(text), NO_SPACE_BYTES)
    memcpy(no_space_text, cython.cast(cython.p_const_char, text), no_space_length)
    bug.register(describe_address=vm_report.describe)
    monitor.register_recovery("smpmm.mm.vm_recover:recover")


def init(config: object) -> None:
    """Format the tables of a fresh segment; the monitor."""
    for table in TABLES:
        table.init(config)


def vmalloc(size: object):
    """Allocate `size` bytes, whole pages, of contiguous addresses; 0 on failure. May sleep.

    The pages lie anywhere in RAM. Behind them one page of addresses is never mapped.
    """
    c_size: u64 = cython.cast(u64, whole(size, b"vmalloc", b"size"))
    site: u32 = call_site()
    address: u64 = 0
    bad: cython.bint
    enter_sleeping(b"vmalloc")
    bad = c_size == 0 or c_size > page_cy.nr_pages << PAGE_SHIFT
    if not bad:
        address = vmalloc_inside((c_size + PAGE_MASK) & ~cython.cast(u64, PAGE_MASK), site)
    leave()
    if bad and profile.bad_size_is_bug:
        vm_report.bad_size(c_size, page_cy.nr_pages << PAGE_SHIFT)
    return address


def vmalloc_inside(size, site):
    number: u32 = get_vm_area(size, PAGE_SIZE, VM_ALLOC, 0, site)
    mapped: cython.bint
    if number == 0:
        return 0
    try:
        mapped = map_pages(number, size)
    except BaseException:
        enter_quietly()
        take_apart(number, NOBODY, site)
        leave()
        raise
    if not mapped:
        take_apart(number, NOBODY, site)
        return 0
    kill_point(KILL_AREA_BUILT)
    area_commit(number)
    return vm_infos[number].addr


def get_vm_area(size, align, flags, phys, site):
    number: u32
    vm: u64 = kmem_cache_alloc_inside(
        general_cache(vm_struct_bytes, False), gfp_kernel, vm_site
    )
    if vm == 0:
        return 0
    number = area_place(
        size + PAGE_SIZE,
        align,
        flags,
        cython.cast(cython.pointer[vm_struct], segment_cy.native(vm, vm_struct_bytes)),
        phys,
        site,
    )
    if number != 0:
        set_kernel_object(vm, number)
    else:
        kmem_cache_free_inside(cython.NULL, vm, vm_site)
        if no_space_length != 0:
            log_text(no_space_text, no_space_length, KERN_WARNING_LEVEL)
    return number


def map_pages(number, size):
    """Map a page at each address of an area; 0: no memory, some may be mapped."""
    address: u64 = vm_infos[number].addr
    end: u64 = address + size
    at: cython.pointer[u8] = cython.NULL
    p: cython.pointer[page]
    while address < end:
        if at == cython.NULL or starts_table(address):
            at = pte_alloc(address, vm_site)
            if at == cython.NULL:
                return 0
        p = alloc_pages(gfp_pages, 0, vm_site)
        if p == cython.NULL:
            return 0
        pte_store(at, pte_of_page(page_to_pfn(p)))
        kill_point(KILL_AREA_MAPPED)
        set_page_vmalloc(p, number)
        at += pte_bytes
        address += PAGE_SIZE
    return 1


def hide_pages(number):
    """Let the addresses of an area name nothing; the entries keep their frames."""
    each_entry(number, ENTRY_HIDE, NOBODY)


def release_pages(number, dead_slot):
    """Give back the pages of a hidden area, and clear each entry after its page."""
    each_entry(number, ENTRY_RELEASE, dead_slot)


def each_entry(number, what, dead_slot):
    a: cython.pointer[vm_info] = vm_infos + number
    address: u64 = a.addr
    end: u64 = area_end(a) - PAGE_SIZE
    at: cython.pointer[u8] = cython.NULL
    entry: u64
    while address < end:
        if at == cython.NULL or starts_table(address):
            at = pte_at(address)
        if at == cython.NULL:
            # The maker got no table: nothing of an area is mapped behind a missing one.
            return
        entry = pte_load(at)
        if what == ENTRY_HIDE:
            if pte_present(entry):
                pte_store(at, pte_hidden(entry))
        elif entry != 0:
            if a.flags & VM_IOREMAP == 0 and pte_pfn(entry) < page_cy.nr_pages:
                release_page(pfn_to_page(pte_pfn(entry)), number, dead_slot)
            pte_store(at, 0)
        at += pte_bytes
        address += PAGE_SIZE


def release_page(p, number, dead_slot):
    """Give back a page if its truth says that it is the area's.

    A process that was killed may have freed it already. `dead_slot` (slot + 1): a page that
    its maker was killed with on its way into the area goes back too.
    """
    truth: u64 = p.truth
    if truth_kind(truth) == PAGE_ALLOC:
        if (
            dead_slot != NOBODY
            and (truth >> TRUTH_SLOT_SHIFT) & 0xFF == dead_slot
            and (truth >> TRUTH_SITE_SHIFT) & 0xFFFF == vm_site
        ):
            free_block(p, 0, PAGE_ALLOC, vm_site)
    elif truth_kind(truth) == PAGE_VMALLOC and truth >> TRUTH_WHO_SHIFT == number:
        if p.count > 1:
            # Somebody else keeps it (get_page): it is an ordinary page from now on.
            set_page_kind(p, PAGE_ALLOC)
            free_block(p, 0, PAGE_ALLOC, vm_site)
        else:
            free_block(p, 0, PAGE_VMALLOC, vm_site)


def flush():
    """Wait until nobody points into hidden pages; inside a call, which it may leave."""
    task: cython.bint
    if others_outside():
        return
    task = may_sleep_here()
    leave()
    flush_others(task)
    enter_quietly()


def take_apart(number, dead_slot, site):
    vm: u64 = segment_cy.kernel_address(vm_infos[number].vm)
    hide_pages(number)
    kill_point(KILL_AREA_DYING)
    flush()
    kill_point(KILL_AREA_FLUSHED)
    release_pages(number, dead_slot)
    kill_point(KILL_AREA_EMPTY)
    free_kernel_object(vm, number, site)
    area_release(number, site)


def vfree(addr: object) -> None:
    """Free an area by its first address; 0 is ignored. Task context: not in an interrupt.

    Waits until no other processor uses the area any more. May sleep, in the sense that a
    spinlock must not be held and interrupts must be on.
    """
    address: u64 = int_or_address_of(addr)
    site: u32 = call_site()
    number: u32 = 0
    if address == 0:
        return
    enter_sleeping(b"vfree")
    if address & PAGE_MASK == 0:
        number = area_claim(address, site)
        if number != 0:
            take_apart(number, NOBODY, site)
    leave()
    if number == 0:
        vm_report.bad_vfree(address, address & PAGE_MASK != 0)


def finish_area(number: cython.uint, slot: cython.ulonglong) -> None:
    """Take apart an area that the process of `slot` was killed with; a kernel task."""
    enter()
    if area_state(number) != AREA_LIVE and area_state(number) != AREA_FREE:
        take_apart(number, slot + 1, vm_site)
    leave()


def free_orphan(pfn: cython.ulonglong) -> None:
    """Free a page that a process was killed with before any entry led to it."""
    enter()
    free_block(pfn_to_page(pfn), 0, PAGE_ALLOC, vm_site)
    leave()


def own_site() -> int:
    """Return the call site of what is on its way into an area."""
    return vm_site
