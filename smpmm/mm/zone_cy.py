"""Zones: the buddy allocator of 2.4 (mm/page_alloc.c: rmqueue, expand, __free_pages_ok).

One spinlock per zone. A split keeps the upper half and lists the lower one, from 2.6 on the
other way round; lists are last in, first out. Under the lock the truth changes by one
committing store, so that a process may be killed at any point: the survivors' recovery
rebuilds free lists and counters from the truth.

- Allocation: the words of the split-off pieces and of the block handed out are written
  inside the old block, where they do not count yet; lowering the order of the old head
  commits them all. Where the old head is handed out itself, that is the one store.
- Free: storing FREE with the merged order at the merged head commits the free and all merges;
  the words of the inner heads are cleared behind it, by recovery if need be.

Lock order: a zone's lock is innermost, but for the locks of event rings.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import compiler_barrier, unlikely
from cython.cimports.cpus.host_cy import segment_reserve
from cython.cimports.cpus.kill_cy import (
    KILL_NOWHERE,
    KILL_PAGE_ALLOCATED,
    KILL_PAGE_FREED,
    KILL_PAGE_MERGED,
    KILL_PAGE_SPLIT,
    kill_point_armed,
    kill_point_of,
)
from cython.cimports.cpus.percpu_cy import (
    cpu_area,
    enter,
    leave,
    process_slot,
    this_cpu,
    this_process,
)
from cython.cimports.cpus.spinlock_cy import (
    RECOVER_ZONE,
    raw_spin_lock_irqsave,
    raw_spin_unlock_irqrestore,
    register_recovery,
    spin_enter,
    spin_entered,
    spin_give_up,
    spin_leave,
)
from cython.cimports.smpmm.mm import page_cy
from cython.cimports.smpmm.mm.page_cy import (
    PAGE_ALLOC,
    PAGE_BUFFER,
    PAGE_FREE,
    PAGE_INSIDE,
    PAGE_RESERVED,
    PAGE_SLAB,
    PAGE_TABLE,
    TRUTH_HEAD,
    TRUTH_KIND,
    TRUTH_ORDER_SHIFT,
    page_to_pfn,
    pfn_to_page,
    truth_kind,
    truth_order,
)

from smpmm.mm import memmap


def regions(config: object) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    nr_pages: int = memmap.memory_map_of(config).nr_pages
    return {
        "zones": NR_ZONES * cython.sizeof(zone),
        "ram_backed": nr_pages // BACKED_PAGES + 1,
    }


def attach(profile: object) -> None:
    """Find the zones in the attached segment and register their recovery. The monitor."""
    global zones, nr_orders, upper_half, backed, backed_pages
    backed = cython.cast(cython.pointer[u8], segment_cy.region_at(b"ram_backed"))
    zones = cython.cast(cython.pointer[zone], segment_cy.region_at(b"zones"))
    if profile.nr_orders > NR_ORDERS_MAX:
        raise ValueError(f"{profile.nr_orders} orders, at most {NR_ORDERS_MAX}")
    nr_orders = profile.nr_orders
    upper_half = profile.upper_half
    # Blocks of the highest order get host memory as a whole, if they are not too small for it.
    backed_pages = cython.cast(u64, 1) << (nr_orders - 1)
    if backed_pages < BACKED_PAGES:
        backed_pages = BACKED_PAGES
    register_recovery(RECOVER_ZONE, recover_zone)


def back_block(pfn):
    """Give the frames of the unit host memory; false, with backing_error set, when the host
    has none."""
    global backing_error
    backing_error = -segment_reserve(
        pfn << page_cy.PAGE_SHIFT, backed_pages << page_cy.PAGE_SHIFT
    )
    return backing_error == 0


def host_error() -> int:
    """Return the errno of the host when it had no memory for RAM; 0: all is well."""
    return backing_error


def rmqueue(z, order, owner, site):
    flags: u64 = raw_spin_lock_irqsave(cython.address(z.lock), site)
    p: cython.pointer[page] = take_block(z, order, owner)
    raw_spin_unlock_irqrestore(cython.address(z.lock), flags)
    return p


def rmqueue_call(z, order, wait, site):
    cpu: cython.pointer[cpu_area] = this_cpu
    me: cython.pointer[process_slot] = this_process
    p: cython.pointer[page]
    acquired: u64
    if unlikely(not spin_enter(cpu, me, cython.address(z.lock))):
        return cython.NULL
    if wait and unlikely((cpu.preempt_count | cpu.irqs_off) != 0):
        spin_give_up(cpu, me, cython.address(z.lock))
        return cython.NULL
    acquired = spin_entered(cpu, me, cython.address(z.lock), site)
    p = take_block(z, order, owner_bits(site))
    spin_leave(cpu, me, cython.address(z.lock), acquired)
    return p


def take_block(z, order, owner):
    """Take a block off the free lists, NULL when there is none; the zone's lock is held."""
    high: u64 = order
    armed: u64
    head: cython.pointer[page] = z.free_area[high].first
    p: cython.pointer[page]
    while head == cython.NULL:
        high += 1
        if high >= nr_orders:
            return cython.NULL
        head = z.free_area[high].first
    if unlikely(high == nr_orders - 1 and backed[page_to_pfn(head) // backed_pages] == 0):
        if not back_block(page_to_pfn(head)):
            return cython.NULL
        backed[page_to_pfn(head) // backed_pages] = 1
    area_del(cython.address(z.free_area[high]), head)
    p = head
    if high != order:
        if upper_half:
            p = expand(z, head, high, order)
        else:
            expand_upwards(z, head, high, order)
    p.count = 1
    p.flags = 0
    p.truth = PAGE_ALLOC | order << TRUTH_ORDER_SHIFT | owner
    if p != head:
        armed = kill_point_armed()
        compiler_barrier()
        kill_point_of(armed, KILL_PAGE_SPLIT)
        head.truth = PAGE_FREE | (high - 1) << TRUTH_ORDER_SHIFT
        kill_point_of(armed, KILL_PAGE_ALLOCATED)
    z.free_pages -= cython.cast(u64, 1) << order
    z.nr_allocs += 1
    return p


def expand(z, head, high, low):
    """Split a block of order `high`: list lower halves, return the upper piece of order `low`.

    There was no block of an order between the two. The head's own word still has the old
    order: lowering it is the caller's commit.
    """
    p: cython.pointer[page] = head
    area: cython.pointer[free_area] = cython.address(z.free_area[high])
    size: u64 = cython.cast(u64, 1) << high
    truth: u64 = PAGE_FREE | high << TRUTH_ORDER_SHIFT
    least: u64 = cython.cast(u64, 1) << low
    while size > least:
        size >>= 1
        area -= 1
        truth -= 1 << TRUTH_ORDER_SHIFT
        if p != head:
            p.truth = truth
        p.lru_prev = cython.NULL
        p.lru_next = cython.NULL
        area.first = p
        area.nr_free = 1
        p += size
    return p


def expand_upwards(z, head, high, low):
    """Split a block of order `high`: list upper halves, leave the lower piece of order `low`.

    There was no block of an order between the two. The head's own word still has the old
    order: the caller's store of its new one commits all.
    """
    p: cython.pointer[page]
    area: cython.pointer[free_area] = cython.address(z.free_area[high])
    size: u64 = cython.cast(u64, 1) << high
    truth: u64 = PAGE_FREE | high << TRUTH_ORDER_SHIFT
    least: u64 = cython.cast(u64, 1) << low
    while size > least:
        size >>= 1
        area -= 1
        truth -= 1 << TRUTH_ORDER_SHIFT
        p = head + size
        p.truth = truth
        p.lru_prev = cython.NULL
        p.lru_next = cython.NULL
        area.first = p
        area.nr_free = 1
    compiler_barrier()
    kill_point_of(kill_point_armed(), KILL_PAGE_SPLIT)


def free_block(p, order, kind, site):
    z: cython.pointer[zone] = pfn_zone(page_to_pfn(p))
    flags: u64 = raw_spin_lock_irqsave(cython.address(z.lock), site)
    freed: cython.int = drop_block(z, p, order, kind)
    raw_spin_unlock_irqrestore(cython.address(z.lock), flags)
    return freed


def free_block_call(p, order, kind, site):
    z: cython.pointer[zone] = pfn_zone(page_to_pfn(p))
    cpu: cython.pointer[cpu_area] = this_cpu
    me: cython.pointer[process_slot] = this_process
    freed: cython.int
    acquired: u64
    if unlikely(not spin_enter(cpu, me, cython.address(z.lock))):
        return FREE_NOT_NOW
    acquired = spin_entered(cpu, me, cython.address(z.lock), site)
    freed = drop_block(z, p, order, kind)
    spin_leave(cpu, me, cython.address(z.lock), acquired)
    return freed


def drop_block(z, p, order, kind):
    """Give back one reference if the truth allows it; the zone's lock is held."""
    if unlikely((p.truth & TRUTH_HEAD) != (kind | order << TRUTH_ORDER_SHIFT)):
        note_bad_free(z, p, order)
        return FREE_BAD
    if p.count > 1:
        p.count -= 1
    else:
        free_and_merge(z, p, order)
    return FREE_DONE


def free_and_merge(z, p, order):
    """Make an allocated block free and merge it with its buddies; the zone's lock is held."""
    pfn: u64 = page_to_pfn(p)
    start: u64 = z.zone_start_pfn
    spanned: u64 = z.spanned_pages
    map_: cython.pointer[page] = page_cy.mem_map
    size: u64 = cython.cast(u64, 1) << order
    most: u64 = cython.cast(u64, 1) << (nr_orders - 1)
    truth: u64 = PAGE_FREE | order << TRUTH_ORDER_SHIFT
    area: cython.pointer[free_area] = cython.address(z.free_area[order])
    buddy: u64
    whole: u64 = size
    armed: u64 = KILL_NOWHERE
    while whole < most:
        buddy = (pfn ^ whole) & (0 - whole)
        if buddy - start >= spanned:
            break
        if (map_[buddy].truth & TRUTH_HEAD) != truth:
            break
        area_del(area, map_ + buddy)
        area += 1
        truth += 1 << TRUTH_ORDER_SHIFT
        whole <<= 1
    compiler_barrier()
    map_[pfn & (0 - whole)].truth = truth
    compiler_barrier()
    p.count = 0
    if whole != size:
        armed = kill_point_armed()
        kill_point_of(armed, KILL_PAGE_FREED)
    area_add(area, map_ + (pfn & (0 - whole)))
    z.free_pages += size
    z.nr_frees += 1
    if whole != size:
        kill_point_of(armed, KILL_PAGE_MERGED)
    # The upper half of each pair that was merged is no head any more.
    while whole > size:
        whole >>= 1
        map_[(pfn | whole) & (0 - whole)].truth = PAGE_INSIDE


def get_page(p, site):
    z: cython.pointer[zone] = pfn_zone(page_to_pfn(p))
    flags: u64 = raw_spin_lock_irqsave(cython.address(z.lock), site)
    kind: u32 = truth_kind(p.truth)
    allocated: cython.bint = PAGE_ALLOC <= kind < PAGE_TABLE and kind != PAGE_RESERVED
    if allocated:
        p.count += 1
    raw_spin_unlock_irqrestore(cython.address(z.lock), flags)
    return allocated


def set_page_slab(p, cache_index):
    p.flags |= page_cy.PG_SLAB
    low: u64 = cython.cast(u32, p.truth) & ~cython.cast(u64, TRUTH_KIND)
    p.truth = low | PAGE_SLAB | cache_index << TRUTH_WHO_SHIFT


def set_page_buffer(p):
    p.truth = p.truth & ~cython.cast(u64, TRUTH_KIND) | PAGE_BUFFER


def zone_at(index):
    return cython.address(zones[index])


def head_page(p):
    return pfn_to_page(head_of(pfn_zone(page_to_pfn(p)), page_to_pfn(p)))


def note_bad_free(z, p, order):
    """Keep what the truth says of a refused free, for last_bad_free(); under the lock."""
    global bad_pfn, bad_truth, bad_head_pfn, bad_head_truth
    bad_pfn = page_to_pfn(p)
    bad_truth = p.truth
    bad_head_pfn = head_of(z, bad_pfn)
    bad_head_truth = pfn_to_page(bad_head_pfn).truth


def head_of(z, pfn):
    """Return the first frame of the block that `pfn` lies in; the zone's lock is held."""
    order: u64
    head: u64
    for order in range(nr_orders):
        head = pfn >> order << order
        if head < z.zone_start_pfn:
            break
        if truth_kind(pfn_to_page(head).truth) != PAGE_INSIDE:
            if truth_order(pfn_to_page(head).truth) >= order:
                return head
    return pfn


def last_bad_free() -> dict:
    """Return what the truth said when this process's last free was refused."""
    z: cython.pointer[zone] = pfn_zone(bad_pfn)
    return {
        "pfn": bad_pfn,
        "truth": bad_truth,
        "head_pfn": bad_head_pfn,
        "head_truth": bad_head_truth,
        "zone": z.name.decode(),
    }


def recover_zone(lock):
    """Rebuild a zone whose lock was taken over from a dead process; the lock is held."""
    rebuild_zone(cython.cast(cython.pointer[zone], lock))


def rebuild_zone(z):
    """Rebuild the free lists and counters of a zone from the truth; the zone's lock is held.

    Clears what a killed process left inside blocks. O(pages of the zone).
    """
    order: u64
    pfn: u64 = z.zone_start_pfn
    end: u64 = z.zone_start_pfn + z.spanned_pages
    p: cython.pointer[page]
    for order in range(NR_ORDERS_MAX):
        z.free_area[order].first = cython.NULL
        z.free_area[order].nr_free = 0
    z.free_pages = 0
    while pfn < end:
        p = pfn_to_page(pfn)
        order = truth_order(p.truth)
        if truth_kind(p.truth) == PAGE_FREE:
            area_add(cython.address(z.free_area[order]), p)
            z.free_pages += cython.cast(u64, 1) << order
            p.count = 0
        elif p.count == 0 and truth_kind(p.truth) != PAGE_INSIDE:
            p.count = 1
        if order != 0:
            clear_inside(pfn + 1, min(pfn + (cython.cast(u64, 1) << order), end))
        pfn += cython.cast(u64, 1) << order


def clear_inside(pfn, end):
    while pfn < end:
        if pfn_to_page(pfn).truth != PAGE_INSIDE:
            pfn_to_page(pfn).truth = PAGE_INSIDE
            pfn_to_page(pfn).count = 0
        pfn += 1


def rebuild() -> None:
    """Rebuild the index of every zone from the truth. Any context."""
    z: cython.pointer[zone]
    flags: u64
    i: cython.int
    enter()
    for i in range(NR_ZONES):
        z = cython.address(zones[i])
        flags = raw_spin_lock_irqsave(cython.address(z.lock), 0)
        rebuild_zone(z)
        raw_spin_unlock_irqrestore(cython.address(z.lock), flags)
    leave()


def zone_info(index: cython.int) -> dict:
    """Return the figures of a zone. Any process; takes no lock."""
    if not 0 <= index < NR_ZONES:
        raise ValueError(f"zone {index}: there are {NR_ZONES}")
    z: cython.pointer[zone] = cython.address(zones[index])
    return {
        "name": z.name.decode(),
        "start_pfn": z.zone_start_pfn,
        "spanned_pages": z.spanned_pages,
        "present_pages": z.present_pages,
        "free_pages": z.free_pages,
        "inactive_clean_pages": z.inactive_clean_pages,
        "pages_min": z.pages_min,
        "pages_low": z.pages_low,
        "pages_high": z.pages_high,
        "nr_free": [z.free_area[order].nr_free for order in range(nr_orders)],
        "nr_allocs": z.nr_allocs,
        "nr_frees": z.nr_frees,
        "address": cython.cast(cython.ulonglong, z),
    }


def free_list(index: cython.int, order: cython.int) -> list:
    """Return the first frames of a zone's free blocks of one order, newest first; tests."""
    found = []
    p: cython.pointer[page] = zones[index].free_area[order].first
    while p != cython.NULL:
        found.append(page_to_pfn(p))
        p = p.lru_next
    return found
