"""High memory: kmap and kmap_atomic (mm/highmem.c, asm-i386/highmem.h of 2.4).

A page of the HighMem zone has no kernel address of its own. kmap gives it one of the pkmap
window, shared by all its users, and sleeps while all entries are used; kmap_atomic gives it
one of a few slots of its CPU, in any context. Low pages have their direct address in both.

Departure: an entry is unmapped with its last kunmap, where 2.4 keeps it until the next
flush, so that a use after kunmap is an oops at once.

Truth: an entry's `page`. It is written before page.virtual and cleared after it, so
page.virtual can be put right from the entries.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import compiler_barrier
from cython.cimports.cpus.callsite_cy import call_site
from cython.cimports.cpus.kill_cy import KILL_KMAP, kill_point
from cython.cimports.cpus.percpu_cy import (
    enter,
    enter_sleeping,
    leave,
    may_sleep_here,
    this_cpu,
)
from cython.cimports.cpus.runqueue_cy import schedule_inside
from cython.cimports.cpus.segment_cy import NR_CPUS
from cython.cimports.cpus.spinlock_cy import (
    CLASS_SPIN,
    lock_class_named,
    raw_spin_lock_irqsave,
    raw_spin_unlock_irqrestore,
    register_recovery,
    spinlock_init,
)
from cython.cimports.cpus.task_cy import TASK_UNINTERRUPTIBLE
from cython.cimports.cpus.waitqueue_cy import (
    finish_wait,
    finish_wait_outside,
    init_wait_queue,
    prepare_to_wait,
    wait_queue_class,
    wake_up_queue,
)
from cython.cimports.cpus.whole import whole
from cython.cimports.smpmm.mm import page_cy
from cython.cimports.smpmm.mm.page_calls_cy import page_of
from cython.cimports.smpmm.mm.page_cy import (
    PAGE_MASK,
    PAGE_SHIFT,
    PAGE_SIZE,
    lowmem_page_address,
    page_native,
    page_to_pfn,
)

from cpus import context_cy
from cpus.handle_cy import address_of
from smpmm.mm import memmap, page_bug


def regions(config: object) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {
        "pkmap": cython.sizeof(pkmap_table),
        "kmap_atomic": NR_CPUS * NR_KMAP_TYPES * cython.sizeof(u64),
    }


def attach(config: object) -> None:
    """Find the tables, and see through the windows of kmap; the monitor, before it forks."""
    global pkmap, atomic_slots, pkmap_base, nr_pkmaps, kmap_atomic_base, nr_kmap_types
    global translate_next
    profile = memmap.memory_profile(config)
    pkmap = cython.cast(cython.pointer[pkmap_table], segment_cy.region_at(b"pkmap"))
    atomic_slots = cython.cast(
        cython.pointer[cython.pointer[page]], segment_cy.region_at(b"kmap_atomic")
    )
    pkmap_base = profile.pkmap_base
    nr_pkmaps = min(profile.nr_pkmaps, NR_PKMAPS)
    kmap_atomic_base = profile.kmap_atomic_base
    nr_kmap_types = min(profile.nr_kmap_types, NR_KMAP_TYPES)
    if segment_cy.translate_further != translate_kmap:
        translate_next = segment_cy.translate_further
        segment_cy.translate_further = translate_kmap
    register_recovery(RECOVER_KMAP, recover_kmap)


def init(config: object) -> None:
    """Format the lock and the wait queue of a fresh segment; the monitor."""
    class_: cython.ushort = lock_class_named(b"kmap_lock", CLASS_SPIN, RECOVER_KMAP)
    spinlock_init(cython.address(pkmap.lock), class_)
    init_wait_queue(cython.address(pkmap.wait), wait_queue_class(b"pkmap_map_wait.lock"))


def translate_kmap(address, len):
    p: cython.pointer[page] = cython.NULL
    if len > PAGE_SIZE or (address & PAGE_MASK) + len > PAGE_SIZE:
        # Neighbouring entries are no neighbouring frames.
        pass
    elif address >= pkmap_base and address < pkmap_base + (nr_pkmaps << PAGE_SHIFT):
        p = pkmap.entry[(address - pkmap_base) >> PAGE_SHIFT].page
    elif address >= kmap_atomic_base and address < kmap_atomic_base + (
        NR_CPUS * NR_KMAP_TYPES << PAGE_SHIFT
    ):
        p = atomic_slots[(address - kmap_atomic_base) >> PAGE_SHIFT]
    if p != cython.NULL:
        return page_native(p) + (address & PAGE_MASK)
    if translate_next != cython.NULL:
        return translate_next(address, len)
    return cython.NULL


def map_new_page(p):
    i: u64
    at: u64
    e: cython.pointer[pkmap_entry]
    for i in range(1, nr_pkmaps + 1):
        at = (pkmap.last + i) % nr_pkmaps
        e = cython.address(pkmap.entry[at])
        if e.page == cython.NULL:
            e.count = 0
            e.page = p
            kill_point(KILL_KMAP)
            p.virtual = pkmap_base + (at << PAGE_SHIFT)
            pkmap.last = at
            pkmap.nr_used += 1
            return p.virtual
    return 0


def entry_at(address):
    return cython.address(pkmap.entry[(address - pkmap_base) >> PAGE_SHIFT])


def kmap(page_: object):
    """Give a page a kernel address and return it; as many kunmap calls take it back.

    May sleep until an entry is free. 0 only in a context that must not sleep.
    """
    p: cython.pointer[page] = page_of(page_)
    site: u32 = call_site()
    flags: u64
    address: u64
    waited: cython.bint = False
    if p == cython.NULL:
        page_bug.no_page("kmap", address_of(page_))
        return 0
    enter_sleeping(b"kmap")
    may_wait: cython.bint = may_sleep_here()
    if page_to_pfn(p) < page_cy.max_low_pfn:
        leave()
        return lowmem_page_address(p)
    while True:
        flags = raw_spin_lock_irqsave(cython.address(pkmap.lock), site)
        address = p.virtual
        if address == 0:
            address = map_new_page(p)
        if address != 0:
            entry_at(address).count += 1
        elif may_wait:
            waited = True
            prepare_to_wait(cython.address(pkmap.wait), TASK_UNINTERRUPTIBLE, False)
        raw_spin_unlock_irqrestore(cython.address(pkmap.lock), flags)
        if address != 0 or not may_wait:
            break
        try:
            schedule_inside(0)
        except BaseException:
            finish_wait_outside(cython.address(pkmap.wait))
            raise
    if waited:
        finish_wait(cython.address(pkmap.wait))
    leave()
    return address


def kunmap(page_: object):
    """Take back one kmap of a page; the last one unmaps it. Any context but interrupts."""
    p: cython.pointer[page] = page_of(page_)
    site: u32 = call_site()
    flags: u64
    mapped: cython.bint = True
    if p == cython.NULL:
        page_bug.no_page("kunmap", address_of(page_))
        return
    if context_cy.in_interrupt():
        page_bug.in_interrupt("kunmap")
    if page_to_pfn(p) < page_cy.max_low_pfn:
        return
    enter()
    flags = raw_spin_lock_irqsave(cython.address(pkmap.lock), site)
    if p.virtual == 0:
        mapped = False
    else:
        unmap_page(p)
    raw_spin_unlock_irqrestore(cython.address(pkmap.lock), flags)
    if mapped and p.virtual == 0:
        wake_up_queue(cython.address(pkmap.wait), 0)
    leave()
    if not mapped:
        page_bug.not_mapped(page_to_pfn(p))


def unmap_page(p):
    """Drop a user of a mapped page; the lock is held."""
    e: cython.pointer[pkmap_entry] = entry_at(p.virtual)
    if e.count > 1:
        e.count -= 1
        return
    p.virtual = 0
    compiler_barrier()
    e.page = cython.NULL
    e.count = 0
    pkmap.nr_used -= 1


def kmap_atomic(page_: object, type: object):
    """Give a page the address of a slot (KM_*) of this CPU. Any context."""
    c_type: u64 = cython.cast(u64, whole(type, b"kmap_atomic", b"type"))
    p: cython.pointer[page] = page_of(page_)
    slot: u64
    taken: cython.bint
    if p == cython.NULL or c_type >= nr_kmap_types:
        page_bug.no_page("kmap_atomic", address_of(page_))
        return 0
    enter()
    if page_to_pfn(p) < page_cy.max_low_pfn:
        leave()
        return lowmem_page_address(p)
    slot = this_cpu.number * NR_KMAP_TYPES + c_type
    taken = atomic_slots[slot] != cython.NULL
    if not taken:
        atomic_slots[slot] = p
    leave()
    if taken:
        page_bug.slot_taken("kmap_atomic", c_type)
    return kmap_atomic_base + (slot << PAGE_SHIFT)


def kunmap_atomic(kvaddr: object, type: object):
    """Free the slot that kmap_atomic used; a direct address is ignored. Any context."""
    c_type: u64 = cython.cast(u64, whole(type, b"kunmap_atomic", b"type"))
    address: u64 = address_of(kvaddr)
    slot: u64
    right: cython.bint
    if address < kmap_atomic_base or c_type >= nr_kmap_types:
        return
    enter()
    slot = this_cpu.number * NR_KMAP_TYPES + c_type
    right = (address & ~cython.cast(u64, PAGE_MASK)) == kmap_atomic_base + (slot << PAGE_SHIFT)
    if right:
        atomic_slots[slot] = cython.NULL
    leave()
    if not right:
        page_bug.slot_taken("kunmap_atomic", c_type)


def recover_kmap(lock):
    """Put page.virtual and the counts right from the entries; the lock is held."""
    i: u64
    e: cython.pointer[pkmap_entry]
    pkmap.nr_used = 0
    for i in range(nr_pkmaps):
        e = cython.address(pkmap.entry[i])
        if e.page == cython.NULL:
            e.count = 0
            continue
        e.page.virtual = pkmap_base + (i << PAGE_SHIFT)
        pkmap.nr_used += 1
        if e.count == 0:
            e.count = 1


def kmap_info() -> dict:
    """Return how many entries there are and are used, and the users by page frame; reports."""
    users = {}
    i: u64
    for i in range(nr_pkmaps):
        if pkmap.entry[i].page != cython.NULL:
            users[page_to_pfn(pkmap.entry[i].page)] = pkmap.entry[i].count
    return {"entries": nr_pkmaps, "used": pkmap.nr_used, "users": users}
