"""The slab allocator's state as Python values: caches, slabs, objects and who has them.

Readers take a cache's lock where they walk its list, and no other.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.percpu_cy import enter, leave
from cython.cimports.cpus.segment_cy import direct_end, direct_start, ram
from cython.cimports.cpus.spinlock_cy import (
    RECOVER_CACHE,
    raw_spin_lock_irqsave,
    raw_spin_unlock_irqrestore,
    register_recovery,
)
from cython.cimports.smpmm.mm.page_cy import (
    PAGE_SHIFT,
    PAGE_SLAB,
    TRUTH_WHO_SHIFT,
    mem_map,
    nr_pages,
    truth_kind,
)
from cython.cimports.smpmm.mm.slab_cy import slab_of, view
from cython.cimports.smpmm.mm.slab_list_cy import (
    CACHE_LIVE,
    CFLGS_OFF_SLAB,
    NR_CACHES,
    OBJECT_ALLOC,
    OBJECT_CACHED,
    OBJECT_CPU_SHIFT,
    OBJECT_FREEING,
    OBJECT_KERNEL,
    OBJECT_KIND,
    OBJECT_PID_SHIFT,
    OBJECT_SITE_SHIFT,
    SLAB_LISTED,
    caches,
    cpu_array,
    growings,
    rebuild_cache,
    slab_bufctl,
    slab_global,
    slabs,
    truth_slab,
    truths,
)

KINDS = ("none", "free", "cached", "allocated", "kernel", "freeing")


def attach(config: object = None) -> None:
    """Register how a cache is recovered whose lock a dead process held. The monitor."""
    register_recovery(RECOVER_CACHE, recover_cache)


def recover_cache(lock):
    """Rebuild the lists of the cache whose lock was taken over; the lock is held."""
    i: u64
    for i in range(NR_CACHES):
        if cython.address(caches[i].lock) == lock:
            rebuild_cache(caches + i)
            return


def describe_truth(index):
    t: u64 = truths[index]
    kind: u64 = t & OBJECT_KIND
    found = {"kind": KINDS[kind] if kind < 6 else f"{kind}?", "word": t, "index": index}
    if kind == OBJECT_CACHED:
        found["cpu"] = (t >> OBJECT_CPU_SHIFT) & 0xFF
    elif kind == OBJECT_FREEING:
        found["slot"] = int((t >> OBJECT_CPU_SHIFT) & 0xFF) - 1
    elif kind == OBJECT_ALLOC or kind == OBJECT_KERNEL:
        found["slot"] = int((t >> OBJECT_CPU_SHIFT) & 0xFF) - 1
        found["site"] = (t >> OBJECT_SITE_SHIFT) & 0xFFFF
        found["pid" if kind == OBJECT_ALLOC else "what"] = t >> OBJECT_PID_SHIFT
    return found


def truth_address(index):
    """Return the kernel address of the object of a truth word."""
    s: cython.pointer[slab] = truth_slab(index)
    return direct_start + s.s_mem + (index - s.truth) * caches[s.cache].objsize


def direct_pfn(address: object) -> int:
    """Return the page frame of a direct-mapped address, -1 for any other."""
    if not direct_start <= address < direct_end:
        return -1
    return (address - direct_start) >> PAGE_SHIFT


def object_info(address: cython.ulonglong) -> dict:
    """Return what the truth says of the object around an address; empty: there is no slab."""
    s: cython.pointer[slab] = slab_of(cython.address(view), address)
    if s == cython.NULL:
        return {}
    c: cython.pointer[kmem_cache] = caches + s.cache
    found = {
        "cache": cython.cast(bytes, c.name).decode(),
        "cache_index": c.index,
        "objsize": c.objsize,
        "payload": c.payload,
        "slab": direct_start + (cython.cast(u64, s - slabs) << PAGE_SHIFT),
    }
    phys: u64 = address - direct_start
    if phys < s.s_mem or phys - s.s_mem >= cython.cast(u64, c.num) * c.objsize:
        return found | {"kind": "management", "nr": -1}
    nr: u64 = (phys - s.s_mem) // c.objsize
    found["nr"] = nr
    found["address"] = direct_start + s.s_mem + nr * c.objsize
    return found | describe_truth(s.truth + nr)


def cache_info(index: cython.int) -> dict:
    """Return the words of a table entry. Any process; takes no lock."""
    c: cython.pointer[kmem_cache] = caches + index
    return {
        "index": index,
        "name": cython.cast(bytes, c.name).decode(),
        "state": c.state,
        "address": c.address,
        "objsize": c.objsize,
        "payload": c.payload,
        "red_bytes": c.red_bytes,
        "num": c.num,
        "gfporder": c.gfporder,
        "flags": c.flags,
        "off_slab": bool(c.cflags & CFLGS_OFF_SLAB),
        "colour": c.colour,
        "colour_off": c.colour_off,
        "slab_size": c.slab_size,
        "slabp_cache": c.slabp_cache,
        "limit": c.limit,
        "batchcount": c.batchcount,
        "born": c.born,
        "site": c.site,
        "nr_slabs": c.nr_slabs,
        "grown": c.grown,
        "reaped": c.reaped,
        "repaired": c.repaired,
        "num_active": c.num_active,
        "nr_allocs": c.nr_allocs,
        "high_mark": c.high_mark,
        "ctor": c.ctor,
        "dtor": c.dtor,
        "colour_next": c.colour_next,
        "creator": c.creator,
        "lock": cython.cast(u64, cython.address(c.lock)),
    }


def live_caches() -> list:
    """Return the indexes of the chain: kmem_cache, then the newest first."""
    found = [
        (int(caches[i].born), i)
        for i in range(int(slab_global.nr_caches))
        if caches[i].state == CACHE_LIVE
    ]
    return [0] + [i for _born, i in sorted(found, reverse=True) if i != 0]


def slab_counts(index: cython.int) -> tuple:
    """Return (active objects, objects, active slabs, slabs) of a cache, walked under its lock.

    Objects in the CPUs' arrays count as active.
    """
    c: cython.pointer[kmem_cache] = caches + index
    active: u64 = 0
    active_slabs: u64 = 0
    nr_slabs: u64 = 0
    s: cython.pointer[slab]
    enter()
    flags: u64 = raw_spin_lock_irqsave(cython.address(c.lock), slab_global.site_cache)
    s = c.first
    while s != cython.NULL:
        active += s.inuse
        active_slabs += s.inuse != 0
        nr_slabs += 1
        s = s.next
    num: u64 = c.num
    raw_spin_unlock_irqrestore(cython.address(c.lock), flags)
    leave()
    return active, nr_slabs * num, active_slabs, nr_slabs


def slab_list(index: cython.int) -> list:
    """Return the slabs of a cache in list order, without its lock: the machine is at rest."""
    c: cython.pointer[kmem_cache] = caches + index
    found = []
    s: cython.pointer[slab] = c.first
    while s != cython.NULL and len(found) <= cython.cast(cython.int, nr_pages):
        found.append(slab_info(s - slabs))
        s = s.next
    return found


def firstnotfull(index: cython.int) -> int:
    """Return the first frame of a cache's firstnotfull, -1 when all slabs are full."""
    if caches[index].firstnotfull == cython.NULL:
        return -1
    return caches[index].firstnotfull - slabs


def slab_info(pfn: cython.ulonglong) -> dict:
    """Return the words of the struct slab of a frame."""
    s: cython.pointer[slab] = slabs + pfn
    return {
        "pfn": pfn,
        "inuse": s.inuse,
        "free": s.free,
        "state": s.state,
        "owner": s.owner,
        "cache": s.cache,
        "colouroff": s.s_mem - caches[s.cache].first_bytes - (pfn << PAGE_SHIFT),
        "truth": s.truth,
        "s_mem": s.s_mem,
        "management": s.management,
    }


def slabs_in_pages(index: cython.int) -> list:
    """Return the first frames of the slabs that page truths give to a cache. O(pages)."""
    pfn: u64
    found = []
    for pfn in range(nr_pages):
        if truth_kind(mem_map[pfn].truth) == PAGE_SLAB and (
            mem_map[pfn].truth >> TRUTH_WHO_SHIFT == cython.cast(u64, index)
        ):
            found.append(pfn)
    return found


def free_chain(pfn: cython.ulonglong) -> list:
    """Return the objects on a slab's free list as far as it can be followed."""
    s: cython.pointer[slab] = slabs + pfn
    num: u32 = caches[s.cache].num
    found = []
    nr: u32 = s.free
    while nr < num and len(found) <= cython.cast(cython.int, num):
        found.append(nr)
        nr = slab_bufctl(s)[nr]
    if nr != 0xFFFFFFFF:
        found.append(nr)
    return found


def truth_words(pfn: cython.ulonglong) -> list:
    """Return the truth words of a slab's objects."""
    s: cython.pointer[slab] = slabs + pfn
    return [truths[s.truth + nr] for nr in range(caches[s.cache].num)]


def array_info(index: cython.int, cpu: cython.ulonglong) -> dict:
    """Return a CPU's array of a cache: limit, batchcount, cost in RAM, entries oldest
    first."""
    ac: cython.pointer[array_cache] = cpu_array(caches + index, cpu)
    return {
        "limit": ac.limit,
        "batchcount": ac.batchcount,
        "cpucache": ac.cpucache,
        "hits": (ac.allochit, ac.allocmiss, ac.freehit, ac.freemiss),
        "entries": [ac.entry[n] for n in range(min(ac.avail, 256))],
    }


def array_hits(index: cython.int) -> tuple:
    """Return (allochit, allocmiss, freehit, freemiss) of a cache, of all CPUs together."""
    cpu: u64
    ac: cython.pointer[array_cache]
    hits: u64[4] = [0, 0, 0, 0]
    for cpu in range(segment_cy.header.nr_cpus):
        ac = cpu_array(caches + index, cpu)
        hits[0] += ac.allochit
        hits[1] += ac.allocmiss
        hits[2] += ac.freehit
        hits[3] += ac.freemiss
    return hits[0], hits[1], hits[2], hits[3]


def nr_growing(index: cython.int) -> int:
    """Return how many processes make a slab of this cache now."""
    return sum(growings[cython.cast(u64, index) * 256 + slot] for slot in range(256))


def allocated_objects(index: cython.int = -1) -> list:
    """Return every object that kernel code has now, of one cache or all: what `object_info`
    says.

    Without lock: an object that changes hands meanwhile may be missed. O(pages + objects).
    """
    found = []
    pfn: u64
    nr: u32
    s: cython.pointer[slab]
    for pfn in range(nr_pages):
        s = slabs + pfn
        if truth_kind(mem_map[pfn].truth) != PAGE_SLAB or mem_map[pfn].slab == 0:
            continue
        if index >= 0 and s.cache != index:
            continue
        for nr in range(caches[s.cache].num):
            if truths[s.truth + nr] & OBJECT_KIND == OBJECT_ALLOC:
                one = object_info(
                    direct_start + s.s_mem + cython.cast(u64, nr) * caches[s.cache].objsize
                )
                if one.get("kind") == KINDS[OBJECT_ALLOC]:  # still, when it was read again
                    found.append(one)
    return found


def slab_pages() -> list:
    """Return (first frame, index of the cache) of every slab that page truths know.
    O(pages)."""
    pfn: u64
    found = []
    for pfn in range(nr_pages):
        if truth_kind(mem_map[pfn].truth) == PAGE_SLAB:
            found.append((pfn, mem_map[pfn].truth >> TRUTH_WHO_SHIFT))
    return found


def wrong_page_links(pfn: cython.ulonglong) -> list:
    """Return the frames of a slab whose struct page does not point to it."""
    i: u64
    s: cython.pointer[slab] = slabs + pfn
    c: cython.pointer[kmem_cache] = caches + s.cache
    found = []
    if s.state != SLAB_LISTED:
        return found
    for i in range(cython.cast(u64, 1) << c.gfporder):
        if mem_map[pfn + i].slab != cython.cast(u64, s) or (
            mem_map[pfn + i].cache != cython.cast(u64, c)
        ):
            found.append(pfn + i)
    return found


def handle_index(address: cython.ulonglong) -> int:
    """Return the table index that a cache's handle in RAM names, -1 outside of memory."""
    if address < direct_start or address + 4 > direct_end:
        return -1
    return cython.cast(cython.pointer[u32], ram + (address - direct_start))[0]


def kernel_address(phys: cython.ulonglong) -> int:
    """Return the direct-mapped kernel address of a physical one."""
    return direct_start + phys


def object_address(index: cython.ulonglong) -> int:
    """Return the kernel address of the object of a truth word."""
    return truth_address(index) if truth_slab(index) != cython.NULL else 0


# What tests damage.


def native(what: str, index: cython.ulonglong = 0, cpu: cython.ulonglong = 0) -> int:
    """Return the native address of a struct: "cache", "slab" (by frame), "truth", "array"."""
    if what == "cache":
        return cython.cast(cython.ulonglong, caches + index)
    if what == "slab":
        return cython.cast(cython.ulonglong, slabs + index)
    if what == "truth":
        return cython.cast(cython.ulonglong, truths + index)
    if what == "array":
        return cython.cast(cython.ulonglong, cpu_array(caches + index, cpu))
    raise ValueError(f"native address of {what!r}: cache, slab, truth or array")


def offset(name: str) -> int:
    """Return the bytes from a struct's start to a field: `struct.field`."""
    s: cython.pointer[slab] = cython.NULL
    c: cython.pointer[kmem_cache] = cython.NULL
    ac: cython.pointer[array_cache] = cython.NULL
    return {
        "slab.inuse": cython.cast(u64, cython.address(s.inuse)),
        "slab.free": cython.cast(u64, cython.address(s.free)),
        "slab.cache": cython.cast(u64, cython.address(s.cache)),
        "slab.next": cython.cast(u64, cython.address(s.next)),
        "slab.management": cython.cast(u64, cython.address(s.management)),
        "kmem_cache.num_active": cython.cast(u64, cython.address(c.num_active)),
        "kmem_cache.nr_slabs": cython.cast(u64, cython.address(c.nr_slabs)),
        "kmem_cache.firstnotfull": cython.cast(u64, cython.address(c.firstnotfull)),
        "kmem_cache.first": cython.cast(u64, cython.address(c.first)),
        "array_cache.avail": cython.cast(u64, cython.address(ac.avail)),
        "array_cache.cpucache": cython.cast(u64, cython.address(ac.cpucache)),
        "array_cache.limit": cython.cast(u64, cython.address(ac.limit)),
    }[name]
