"""After a death: what a process had in its hands in the slab allocator goes back to its place.

1. What the dead CPU's arrays held, by the truth of the objects, goes back to the slabs.
2. A slab that it was making is listed if its pages are the slab's already, else they are
   freed; one that it was taking apart is freed.
3. Objects that it had allocated for the allocator itself (management, arrays, handles) and
   that nothing refers to are freed; a cache half made or half destroyed is undone.

What kernel code had allocated stays: it is reported by its truth words. A lock that the
process held is taken over by whoever wants it next, who rebuilds that cache first.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import atomic32_store
from cython.cimports.cpus.gate_cy import gate_acquire, gate_release
from cython.cimports.cpus.percpu_cy import (
    KIND_CPU,
    cpu_areas,
    enter,
    irq_restore,
    irq_save,
    leave,
    owner_dead,
    this_cpu,
    this_owner,
)
from cython.cimports.cpus.segment_cy import direct_start
from cython.cimports.cpus.spinlock_cy import raw_spin_lock_irqsave, raw_spin_unlock_irqrestore
from cython.cimports.smpmm.mm import slab_cy
from cython.cimports.smpmm.mm.page_cy import (
    PAGE_ALLOC,
    PAGE_SLAB,
    TRUTH_SITE_SHIFT,
    TRUTH_SLOT_SHIFT,
    TRUTH_WHO_SHIFT,
    mem_map,
    nr_pages,
    truth_kind,
    truth_order,
)
from cython.cimports.smpmm.mm.slab_grow_cy import release_slab
from cython.cimports.smpmm.mm.slab_list_cy import (
    CACHE_FREE,
    CACHE_LIVE,
    NR_CACHES,
    OBJECT_ALLOC,
    OBJECT_CACHED,
    OBJECT_CPU_SHIFT,
    OBJECT_FREEING,
    OBJECT_HOLDER,
    OBJECT_KERNEL,
    OBJECT_KIND,
    OBJECT_PID_SHIFT,
    OBJECT_SITE_SHIFT,
    SLAB_DYING,
    SLAB_GROWING,
    caches,
    cpu_array,
    give_object,
    growings,
    is_slab_of,
    rebuild_cache,
    slab_global,
    slabs,
    truths,
)
from cython.cimports.smpmm.mm.zone_cy import free_block


def recover(slot: cython.ulonglong, kind: cython.int, cpu: cython.longlong) -> None:
    """Give back what the dead process of `slot` had; a task on a live CPU. O(pages + objects).

    With it went the arrays of `cpu`, if it was that CPU's own process.
    """
    recover_arrays(cpu if kind == KIND_CPU else NO_CPU, slot)
    enter()
    recover_caches()
    leave()
    # Every cache, not only those with slabs: it may have died with the lock of one whose last
    # slab was just gone, and nobody would take that lock over before it is used again.
    rebuild()
    free_pages_of(slot)
    free_orphans_of(slot)


def recover_interrupted(slot: cython.ulonglong, cpu: cython.ulonglong) -> None:
    """Empty the arrays of a live CPU that a process had interrupted when it died.

    A task, as that CPU: on it, or through its gate. O(pages + objects).
    """
    gated: cython.bint = this_cpu != cython.address(cpu_areas[cpu]) and gate_acquire(cpu) == 0
    recover_arrays(cpu, slot)
    if gated:
        gate_release()


def recover_arrays(cpu: cython.ulonglong, slot: cython.ulonglong) -> None:
    """Give the objects in a CPU's arrays back to their slabs, whatever the arrays say.

    NO_CPU: only what the process of `slot` had on its way.
    """
    pfn: u64
    i: u64
    enter()
    flags: u64 = irq_save()
    for i in range(NR_CACHES):
        growings[i * 256 + slot + 1] = 0
    for pfn in range(nr_pages):
        if truth_kind(mem_map[pfn].truth) == PAGE_SLAB:
            recover_slab(pfn, cpu, slot)
    if cpu != NO_CPU:
        for i in range(slab_global.nr_caches):
            cpu_array(caches + i, cpu).avail = 0
    irq_restore(flags)
    leave()


def recover_slab(pfn, cpu, slot):
    c: cython.pointer[kmem_cache] = caches + (mem_map[pfn].truth >> TRUTH_WHO_SHIFT)
    s: cython.pointer[slab] = slabs + pfn
    dying: cython.bint = False
    flags: u64 = raw_spin_lock_irqsave(cython.address(c.lock), slab_global.site_cache)
    if is_slab_of(c, pfn):
        if s.state == SLAB_DYING:
            dying = owner_dead(s.owner)
            if dying:
                s.owner = this_owner
        elif s.state == SLAB_GROWING:
            if owner_dead(s.owner):
                rebuild_cache(c)
        else:
            recover_objects(c, s, OBJECT_CACHED | cpu << OBJECT_CPU_SHIFT)
            recover_objects(c, s, OBJECT_FREEING | (slot + 1) << OBJECT_CPU_SHIFT)
    raw_spin_unlock_irqrestore(cython.address(c.lock), flags)
    if dying:
        release_slab(c, s)


def recover_objects(c, s, holder):
    """Give back the objects of a slab whose truth names a holder; the lock is held."""
    nr: u32
    first: u32 = s.truth
    num: u32 = c.num
    for nr in range(num):
        if truths[first + nr] & OBJECT_HOLDER == holder:
            # What was on its way may be half written; in an array it is as free ones are.
            if slab_cy.build_settle != cython.NULL and holder & OBJECT_KIND == OBJECT_FREEING:
                slab_cy.build_settle(c, s.s_mem + cython.cast(u64, nr) * c.objsize)
            give_object(c, first + nr)


def recover_caches():
    """Undo caches that a dead process was making or destroying."""
    i: u64
    for i in range(slab_global.nr_caches):
        if caches[i].creator != 0 and owner_dead(caches[i].creator):
            # Made or destroyed to the end or not at all: the handle's address decides.
            if caches[i].state != CACHE_FREE:
                atomic32_store(
                    cython.address(caches[i].state),
                    CACHE_LIVE if caches[i].address != 0 else CACHE_FREE,
                )
            if caches[i].address == 0:
                forget_arrays(caches + i)
            atomic32_store(cython.address(caches[i].creator), 0)


def forget_arrays(c):
    """Let the RAM of a cache's arrays be freed as what nothing refers to."""
    cpu: u64
    for cpu in range(segment_cy.header.nr_cpus):
        cpu_array(c, cpu).cpucache = 0


def free_pages_of(slot: cython.ulonglong) -> None:
    """Free the pages that a dead process had taken for a slab and not made one."""
    pfn: u64 = 0
    t: u64
    enter()
    while pfn < nr_pages:
        t = mem_map[pfn].truth
        if (
            truth_kind(t) == PAGE_ALLOC
            and (t >> TRUTH_SLOT_SHIFT) & 0xFF == slot + 1
            and (t >> TRUTH_SITE_SHIFT) & 0xFFFF == slab_global.site_grow
        ):
            forget_slab(pfn, truth_order(t))
            free_block(mem_map + pfn, truth_order(t), PAGE_ALLOC, slab_global.site_grow)
        pfn += cython.cast(u64, 1) << truth_order(t)
    leave()


def forget_slab(pfn: cython.ulonglong, order: cython.ulonglong) -> None:
    """Clear what a slab in the making wrote into its struct pages."""
    i: u64
    for i in range(cython.cast(u64, 1) << order):
        mem_map[pfn + i].slab = 0
        mem_map[pfn + i].cache = 0


def free_orphans_of(slot: cython.ulonglong) -> None:
    """Free what a dead process had allocated for the allocator and nothing refers to."""
    pfn: u64
    enter()
    for pfn in range(nr_pages):
        if truth_kind(mem_map[pfn].truth) == PAGE_SLAB:
            free_orphans(pfn, slot)
    leave()


def free_orphans(pfn, slot):
    s: cython.pointer[slab] = slabs + pfn
    nr: u32
    t: u64
    num: u32 = caches[s.cache].num
    address: u64
    for nr in range(num):
        t = truths[s.truth + nr]
        if (t >> OBJECT_CPU_SHIFT) & 0xFF != slot + 1 or not is_orphan(t, slot):
            continue
        address = direct_start + s.s_mem + cython.cast(u64, nr) * s.objsize
        if t & OBJECT_KIND == OBJECT_ALLOC or not is_used(address, t):
            slab_cy.build_free(
                s, address - direct_start, s.truth + nr, t, slab_global.site_cache
            )


def is_orphan(truth, slot):
    """Whether an object was allocated for the allocator itself."""
    site: u64 = (truth >> OBJECT_SITE_SHIFT) & 0xFFFF
    kind: u64 = truth & OBJECT_KIND
    return (kind == OBJECT_ALLOC or kind == OBJECT_KERNEL) and (
        site == slab_global.site_slabmgmt
        or site == slab_global.site_cache
        or site == slab_global.site_cpucache
    )


def is_used(address, truth):
    """Whether a slab, a cache or an array refers to an object of the allocator's own."""
    site: u64 = (truth >> OBJECT_SITE_SHIFT) & 0xFFFF
    what: u64 = truth >> OBJECT_PID_SHIFT
    if site == slab_global.site_slabmgmt:
        return (
            what < nr_pages
            and truth_kind(mem_map[what].truth) == PAGE_SLAB
            and slabs[what].management == address - direct_start
        )
    if site == slab_global.site_cache:
        return what < NR_CACHES and caches[what].address == address
    return is_cpucache(address, what)


def unused_kernel_objects() -> list:
    """Return the addresses of objects of the allocator's own that nothing refers to.

    The machine is at rest: one that was just made is not referred to yet. O(pages + objects).
    """
    found = []
    pfn: u64
    nr: u64
    truth: u64
    s: cython.pointer[slab]
    address: u64
    for pfn in range(nr_pages):
        s = slabs + pfn
        if truth_kind(mem_map[pfn].truth) != PAGE_SLAB or mem_map[pfn].slab == 0:
            continue
        for nr in range(caches[s.cache].num):
            address = direct_start + s.s_mem + nr * s.objsize
            truth = truths[s.truth + nr]
            if truth & OBJECT_KIND != OBJECT_KERNEL or not is_orphan(truth, 0):
                continue  # not the allocator's: a vm_struct
            if not is_used(address, truth):
                found.append(address)
    return found


def is_cpucache(address, index):
    cpu: u64
    if index < NR_CACHES:
        for cpu in range(segment_cy.header.nr_cpus):
            if cpu_array(caches + index, cpu).cpucache == address:
                return True
    return False


def rebuild() -> None:
    """Rebuild the index of every cache from the truth. Any context; arrays are left alone."""
    i: u64
    flags: u64
    enter()
    for i in range(slab_global.nr_caches):
        if caches[i].state != CACHE_FREE:
            flags = raw_spin_lock_irqsave(
                cython.address(caches[i].lock), slab_global.site_cache
            )
            rebuild_cache(caches + i)
            raw_spin_unlock_irqrestore(cython.address(caches[i].lock), flags)
    leave()
