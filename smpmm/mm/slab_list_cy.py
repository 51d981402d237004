"""Slabs of a cache: their list, their free objects, and how both follow from the truth.

Models the lists of mm/slab.c, 2.4.0 to 2.4.9: one list in the order full, partial, free, and
`firstnotfull`, where allocation goes. The bufctl array, which links the free objects of a
slab, lies in RAM where the kernel has it (in the slab, or in an object of a general cache),
so a driver that writes beyond its object can hit it: each link is checked against the truth
when it is followed, and a damaged list is rebuilt.

Invariants, which `smpmm.mm.slab_check` walks:
- an object is on its slab's free list exactly when its truth says that it is free;
- a slab's inuse is the number of its objects that are not free, num_active the sum of these;
- full slabs stand before partial ones, partial ones before free ones.

Truth first: the truth word changes before list and counts, so that recovery, which believes
the truth only, is right wherever a process was killed.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import compiler_barrier, unlikely
from cython.cimports.cpus.host_cy import segment_fd, segment_reserve
from cython.cimports.cpus.percpu_cy import owner_dead
from cython.cimports.cpus.segment_cy import direct_end, direct_start, ram
from cython.cimports.smpmm.mm.page_cy import (
    PAGE_SLAB,
    TRUTH_WHO_SHIFT,
    mem_map,
    nr_pages,
    truth_kind,
)

# Regions whose host memory comes when it is needed, not at boot.
SPARSE_REGIONS = ("slab_truths",)


def regions(config: object) -> dict:
    """Return the regions of the segment that this module needs, name → bytes; mostly holes."""
    pages = config.ram_bytes >> PAGE_SHIFT
    step = 1 << TRUTH_STEP_SHIFT
    truth_bytes = (pages * (PAGE_OBJECTS + PAGE_SMALL_OBJECTS) * 8 + step - 1) // step * step
    return {
        "slab_global": cython.sizeof(slab_globals),
        "kmem_caches": NR_CACHES * cython.sizeof(kmem_cache),
        "slabs": pages * cython.sizeof(slab),
        "slab_truths": truth_bytes,
        "truths_backed": truth_bytes // step,
        "cpu_arrays": config.cpus * NR_CACHES * cython.sizeof(array_cache),
        "slab_growing": NR_CACHES * 256,
    }


def attach(config: object = None) -> None:
    """Find this module's regions in the attached segment."""
    global slab_global, caches, slabs, truths, nr_truths, arrays, growings, truths_backed
    slab_global = cython.cast(
        cython.pointer[slab_globals], segment_cy.region_at(b"slab_global")
    )
    caches = cython.cast(cython.pointer[kmem_cache], segment_cy.region_at(b"kmem_caches"))
    slabs = cython.cast(cython.pointer[slab], segment_cy.region_at(b"slabs"))
    truths = cython.cast(cython.pointer[u64], segment_cy.region_at(b"slab_truths"))
    arrays = cython.cast(cython.pointer[array_cache], segment_cy.region_at(b"cpu_arrays"))
    growings = cython.cast(cython.pointer[u8], segment_cy.region_at(b"slab_growing"))
    truths_backed = cython.cast(cython.pointer[u8], segment_cy.region_at(b"truths_backed"))
    nr_truths = (segment_cy.header.ram_size >> PAGE_SHIFT) * PAGE_OBJECTS


def reserve_truths(first, nr):
    return reserve_steps(
        cython.cast(cython.pointer[u8], truths), truths_backed, first * 8, nr * 8
    )


def reserve_steps(base, backed, first, bytes):
    step: u64 = first >> TRUTH_STEP_SHIFT
    end: u64 = (first + bytes - 1) >> TRUTH_STEP_SHIFT
    offset: u64 = cython.cast(u64, base) - cython.cast(u64, ram)
    while step <= end:
        # No descriptor: the segment is anonymous memory, which needs no reservation.
        if backed[step] == 0 and segment_fd != 0:
            if segment_reserve(
                offset + (step << TRUTH_STEP_SHIFT), cython.cast(u64, 1) << TRUTH_STEP_SHIFT
            ):
                return False
            backed[step] = 1
        step += 1
    return True


def list_insert_slab(c, s, before):
    """Put a slab in front of another one of the list, at the end when that is NULL."""
    s.next = before
    s.prev = c.last if before == cython.NULL else before.prev
    if s.prev != cython.NULL:
        s.prev.next = s
    else:
        c.first = s
    if before != cython.NULL:
        before.prev = s
    else:
        c.last = s


def list_append_slab(c, s):
    list_insert_slab(c, s, cython.NULL)
    if c.firstnotfull == cython.NULL and s.inuse < c.num:
        c.firstnotfull = s
    c.nr_slabs += 1


def list_unlink_slab(c, s):
    if s.prev != cython.NULL:
        s.prev.next = s.next
    else:
        c.first = s.next
    if s.next != cython.NULL:
        s.next.prev = s.prev
    else:
        c.last = s.prev


def list_del_slab(c, s):
    if c.firstnotfull == s:
        c.firstnotfull = s.next
    list_unlink_slab(c, s)
    s.next = cython.NULL
    s.prev = cython.NULL
    c.nr_slabs -= 1


def take_object(c, holder):
    s: cython.pointer[slab] = c.firstnotfull
    nr: u32 = s.free
    t: cython.pointer[u64]
    # The link lies in RAM, where anybody may have written.
    if unlikely(nr >= c.num or truths[s.truth + nr] & OBJECT_KIND != OBJECT_FREE):
        c.repaired += 1
        c.num_active -= s.inuse
        rebuild_slab(c, s)
        c.num_active += s.inuse
        if s.free == BUFCTL_END:
            rebuild_cache(c)
            return BUFCTL_END
        nr = s.free
    t = truths + s.truth + nr
    if holder & OBJECT_KIND != OBJECT_ALLOC:
        t[0] = (t[0] & ~cython.cast(u64, OBJECT_HOLDER)) | holder
    else:
        t[0] = holder
    compiler_barrier()
    s.free = slab_bufctl(s)[nr]
    s.inuse += 1
    c.nr_allocs += 1
    c.num_active += 1
    if c.num_active > c.high_mark:
        c.high_mark = c.num_active
    if s.inuse == c.num:
        c.firstnotfull = s.next
    return s.truth + nr


def give_object(c, truth):
    s: cython.pointer[slab] = truth_slab(truth)
    nr: u32 = truth - s.truth
    truths[truth] = OBJECT_FREE | object_place(c, s, nr)
    compiler_barrier()
    slab_bufctl(s)[nr] = s.free
    s.free = nr
    s.inuse -= 1
    c.num_active -= 1
    if s.inuse == c.num - 1:
        give_to_full_slab(c, s)
    elif s.inuse == 0:
        list_unlink_slab(c, s)
        if c.firstnotfull == s and s.next != cython.NULL:
            c.firstnotfull = s.next
        list_insert_slab(c, s, cython.NULL)


def give_to_full_slab(c, s):
    """Move a slab that was full to the end of the full ones and allocate from it next.

    With one object per slab it is free now; then there are no partial slabs for it to stand
    before.
    """
    first: cython.pointer[slab] = c.firstnotfull
    if s.next != first:
        list_unlink_slab(c, s)
        list_insert_slab(c, s, first)
    c.firstnotfull = s


def rebuild_slab(c, s):
    nr: u32 = c.num
    bufctl: cython.pointer[u32] = slab_bufctl(s)
    s.free = BUFCTL_END
    s.inuse = c.num
    while nr != 0:
        nr -= 1
        if truths[s.truth + nr] & OBJECT_KIND == OBJECT_FREE:
            bufctl[nr] = s.free
            s.free = nr
            s.inuse -= 1


def is_slab_of(c, pfn):
    t: u64 = mem_map[pfn].truth
    return (
        truth_kind(t) == PAGE_SLAB
        and t >> TRUTH_WHO_SHIFT == c.index
        and slabs[pfn].cache == c.index
    )


def rebuild_cache(c):
    """Make lists and counts of a cache from page and object truths, in three passes.

    A slab that a living process has private stays out: it will be listed or freed by that one.
    """
    c.first = cython.NULL
    c.last = cython.NULL
    c.firstnotfull = cython.NULL
    c.nr_slabs = 0
    c.num_active = 0
    pfn: u64
    which: cython.int
    s: cython.pointer[slab]
    for which in range(3):
        for pfn in range(nr_pages):
            if not is_slab_of(c, pfn):
                continue
            s = slabs + pfn
            if s.state == SLAB_DYING or (s.state == SLAB_GROWING and not owner_dead(s.owner)):
                continue
            if which == 0:
                s.state = SLAB_LISTED
                rebuild_slab(c, s)
                c.num_active += s.inuse
            if (0 if s.inuse == c.num else 2 if s.inuse == 0 else 1) == which:
                list_append_slab(c, s)


def cache_growing(c):
    slot: cython.int
    counts: cython.pointer[u8] = growings + cython.cast(u64, c.index) * 256
    for slot in range(256):
        if counts[slot] != 0:
            return True
    return False


def cache_at(address):
    index: u32
    if address < direct_start or address + 4 > direct_end or address & 3:
        return cython.NULL
    index = cython.cast(cython.pointer[u32], ram + (address - direct_start))[0]
    if index >= NR_CACHES or caches[index].address != address:
        return cython.NULL
    return caches + index


def set_globals(profile: object, sites: object) -> None:
    """Store what the version decides and the call sites of the kernel's own allocations."""
    i: cython.int
    slab_global.nr_sizes = len(profile.general_sizes)
    for i in range(len(profile.general_sizes)):
        slab_global.sizes[i] = profile.general_sizes[i]
    slab_global.level_mask = profile.level_mask
    slab_global.no_grow = profile.no_grow
    slab_global.sizeof_slab = profile.sizeof_slab
    slab_global.reap_scan = profile.reap_scan
    slab_global.reap_perfect = profile.reap_perfect
    slab_global.site_grow = sites["kmem_cache_grow"]
    slab_global.site_slabmgmt = sites["kmem_cache_slabmgmt"]
    slab_global.site_cache = sites["kmem_cache_create"]
    slab_global.site_cpucache = sites["kmem_tune_cpucache"]
