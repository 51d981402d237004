"""The slab allocator built with DEBUG (mm/slab.c of 2.4): red zones, poison, who had it last.

A red zone is a word before an object and one behind it, which say whether the object is
allocated; poison fills a free one. Both are looked at when an object is allocated and freed,
when its slab is taken apart, and on request. 2.4 looks when an object comes from its slab and
goes back there: what lies in the array of a CPU meanwhile it does not see. Here each call
looks.

An object is on its way (OBJECT_FREEING) while its memory is changed: who dies then leaves it
to recovery, which makes it whole before it gives it back.

`object_user` keeps what the truth word forgets: who allocated the object and who freed it.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import atomic64_cmpxchg, atomic64_load, compiler_barrier
from cython.cimports.cpus.event_cy import log_text
from cython.cimports.cpus.kill_cy import KILL_SLAB_CLAIMED, kill_point
from cython.cimports.cpus.percpu_cy import call_out, come_back, leave, this_cpu
from cython.cimports.cpus.segment_cy import direct_start, machine_ns, ram
from cython.cimports.cpus.spinlock_cy import raw_spin_lock_irqsave, raw_spin_unlock_irqrestore
from cython.cimports.libc.string import memcmp, memset
from cython.cimports.smpmm.mm import slab_cy
from cython.cimports.smpmm.mm.page_alloc_cy import gfp_dma
from cython.cimports.smpmm.mm.page_cy import PAGE_SLAB, mem_map, nr_pages, truth_kind
from cython.cimports.smpmm.mm.slab_cy import (
    FREE_OK,
    FREE_OVERWRITTEN,
    FREE_TWICE,
    NO_OBJECT,
    cache_object,
    cached_by,
    fill_array,
    freeing_here,
    my_array,
    object_at,
    set_build,
    slab_of,
    view,
)
from cython.cimports.smpmm.mm.slab_grow_cy import come_back_quietly
from cython.cimports.smpmm.mm.slab_list_cy import (
    BUFCTL_END,
    OBJECT_ALLOC,
    OBJECT_CACHED,
    OBJECT_FREE,
    OBJECT_HOLDER,
    OBJECT_KERNEL,
    OBJECT_KIND,
    OBJECT_PLACE_SHIFT,
    PAGE_OBJECTS,
    PAGE_SMALL_OBJECTS,
    SLAB_DEBUG_INITIAL,
    SLAB_LISTED,
    SLAB_POISON,
    TRUTH_STEP_SHIFT,
    array_cache,
    caches,
    object_owner,
    place_address,
    reserve_steps,
    slab_global,
    slabs,
    take_object,
    truth_slab,
    truths,
)

from smpmm.mm import slab_corruption, slab_grow_cy
from smpmm.mm.slab_profile import slab_profile

CTOR_CONSTRUCTOR = 1
CTOR_VERIFY = 4
SPARSE_REGIONS = ("slab_users",)


def regions(config: object) -> dict:
    """Return the regions of the segment that this build needs, name → bytes; mostly holes."""
    if not slab_profile(config).debug:
        return {"users_backed": 8, "slab_users": 8}
    step = 1 << TRUTH_STEP_SHIFT
    pages = config.ram_bytes // slab_profile(config).page_bytes
    user_bytes = pages * (PAGE_OBJECTS + PAGE_SMALL_OBJECTS) * cython.sizeof(object_user)
    user_bytes = (user_bytes + step - 1) // step * step
    return {"users_backed": user_bytes // step, "slab_users": user_bytes}


def attach() -> None:
    """Have allocations and frees verify. The monitor, before it forks."""
    global users, users_backed
    users = cython.cast(cython.pointer[object_user], segment_cy.region_at(b"slab_users"))
    users_backed = cython.cast(cython.pointer[u8], segment_cy.region_at(b"users_backed"))
    set_build(debug_alloc, debug_free)
    slab_cy.build_slab = prepare_slab
    slab_cy.build_whole = slab_whole
    slab_cy.build_settle = settle
    slab_cy.build_before_free = before_free


def detach() -> None:
    """Undo `attach`: what a plain build has."""
    global users
    users = cython.NULL
    slab_cy.build_slab = cython.NULL
    slab_cy.build_whole = cython.NULL
    slab_cy.build_settle = cython.NULL
    slab_cy.build_before_free = cython.NULL


def is_built() -> bool:
    """Return whether this machine's kernel was built with DEBUG."""
    return users != cython.NULL


# Memory of one object; `phys` is where its user's part begins.


def red_word(c, phys):
    if c.red_bytes == 8:
        return cython.cast(cython.pointer[u64], ram + phys)[0]
    return cython.cast(cython.pointer[u32], ram + phys)[0]


def damage_of(c, phys, active):
    damage: cython.int = 0
    value: u64 = RED_ACTIVE if active else RED_INACTIVE
    at: cython.pointer[u8] = ram + phys
    if c.red_bytes != 0:
        if red_word(c, phys - c.red_bytes) != value:
            damage |= DAMAGE_BEFORE
        if red_word(c, phys + c.payload) != value:
            damage |= DAMAGE_BEHIND
    if not active and c.flags & SLAB_POISON:
        if (
            at[0] != POISON_BYTE
            or at[c.payload - 1] != POISON_END
            or memcmp(at, at + 1, c.payload - 2) != 0
        ):
            damage |= DAMAGE_INSIDE
    return damage


def set_red_zones(c, phys, value):
    before: cython.pointer[u8] = ram + phys - c.red_bytes
    behind: cython.pointer[u8] = ram + phys + c.payload
    if c.red_bytes == 8:
        cython.cast(cython.pointer[u64], before)[0] = value
        cython.cast(cython.pointer[u64], behind)[0] = value
    elif c.red_bytes != 0:
        cython.cast(cython.pointer[u32], before)[0] = cython.cast(u32, value)
        cython.cast(cython.pointer[u32], behind)[0] = cython.cast(u32, value)


def settle(c, phys):
    set_red_zones(c, phys, RED_INACTIVE)
    if c.flags & SLAB_POISON:
        memset(ram + phys, POISON_BYTE, c.payload - 1)
        (ram + phys)[c.payload - 1] = POISON_END


# Slabs


def prepare_slab(c, s):
    nr: u32
    size: u64 = cython.sizeof(object_user)
    if not reserve_steps(
        cython.cast(cython.pointer[u8], users), users_backed, s.truth * size, c.num * size
    ):
        return False
    memset(users + s.truth, 0, c.num * size)
    for nr in range(c.num):
        settle(c, s.s_mem + cython.cast(u64, nr) * c.objsize)
    return True


def slab_whole(c, s):
    nr: u32
    for nr in range(c.num):
        if damage_of(c, s.s_mem + cython.cast(u64, nr) * c.objsize, False) != 0:
            return False
    return True


# Allocation


def claim_top(ac):
    i: u32 = ac.entry[ac.avail - 1]
    truths[i] = (truths[i] & ~cython.cast(u64, OBJECT_HOLDER)) | freeing_here()
    compiler_barrier()
    ac.avail -= 1
    return i


def claim_free(c):
    """Take a free object on its way to a user; BUFCTL_END: no slab has any."""
    ac: cython.pointer[array_cache] = my_array(cython.address(view), this_cpu, c.index)
    found: u32 = BUFCTL_END
    if ac.avail != 0 and truths[ac.entry[ac.avail - 1]] & OBJECT_HOLDER == cached_by(this_cpu):
        ac.allochit += 1
        return claim_top(ac)
    flags: u64 = raw_spin_lock_irqsave(cython.address(c.lock), slab_global.site_grow)
    if fill_array(c, ac):
        found = claim_top(ac)
    elif ac.limit == 0:
        while found == BUFCTL_END and c.firstnotfull != cython.NULL:
            found = take_object(c, freeing_here())
    raw_spin_unlock_irqrestore(cython.address(c.lock), flags)
    return found


def debug_alloc(c, gfp, site):
    found: u32
    if gfp & gfp_dma != c.gfpflags & gfp_dma:
        call_out()
        slab_corruption.dma_mismatch(c.index, gfp)
        come_back()
    while True:
        found = claim_free(c)
        if found != BUFCTL_END:
            return hand_out(c, found, site)
        if slab_cy.grow_hook(c, gfp, site) == 0:
            return 0


def hand_out(c, truth, site):
    """Make an object, on its way here, the caller's: it must be as it was left."""
    address: u64 = place_address(truths[truth])
    phys: u64 = address - direct_start
    user: cython.pointer[object_user] = users + truth
    if damage_of(c, phys, False) != 0:
        report_free_object(c, truth_slab(truth), phys, truth, site)
    user.verified_ns = machine_ns()
    user.allocated_ns = user.verified_ns
    user.allocated = object_owner(site)
    set_red_zones(c, phys, RED_ACTIVE)
    kill_point(KILL_SLAB_CLAIMED)
    compiler_barrier()
    truths[truth] = user.allocated
    return address


def report_free_object(c, s, phys, truth, site):
    """Report a free object that was written to; then it is made whole and free again."""
    call_out()
    try:
        slab_corruption.corrupted("kmem_cache_alloc", direct_start + phys, False)
    except BaseException:
        come_back_quietly()
        settle(c, phys)
        cache_object(cython.address(view), this_cpu, s, phys, truth, site)
        leave()
        raise
    come_back()
    settle(c, phys)
    return 0


# Free


def debug_free(s, phys, truth, was, site):
    c: cython.pointer[kmem_cache] = caches + s.cache
    ac: cython.pointer[array_cache]
    if damage_of(c, phys, True) != 0:
        if was & OBJECT_KIND != OBJECT_KERNEL:
            return FREE_OVERWRITTEN
        log_text(b"slab error: the red zone of an object of the allocator's own", 60, 3)
    if (
        atomic64_cmpxchg(truths + truth, was, freeing_here() | phys << OBJECT_PLACE_SHIFT)
        != was
    ):
        return FREE_TWICE
    users[truth].freed = object_owner(site)
    kill_point(KILL_SLAB_CLAIMED)
    settle(c, phys)
    users[truth].freed_ns = machine_ns()
    users[truth].verified_ns = users[truth].freed_ns
    ac = my_array(cython.address(view), this_cpu, c.index)
    if ac.avail < ac.limit:
        ac.freehit += 1
    cache_object(cython.address(view), this_cpu, s, phys, truth, site)
    return FREE_OK


def before_free(address):
    """Have the constructor verify an object that is about to be freed (SLAB_DEBUG_INITIAL)."""
    s: cython.pointer[slab] = slab_of(cython.address(view), address)
    if s == cython.NULL or not caches[s.cache].flags & SLAB_DEBUG_INITIAL:
        return 0
    nr: u64 = object_at(s, address - direct_start)
    if nr != NO_OBJECT and truths[s.truth + nr] & OBJECT_KIND == OBJECT_ALLOC:
        slab_grow_cy.call_text(
            caches[s.cache].ctor,
            address,
            caches[s.cache].address,
            CTOR_CONSTRUCTOR | CTOR_VERIFY,
        )
    return 0


# What reports and check() ask


def verify_object(c, s, nr):
    """Return the damage of an object; 0 also for one that changes hands meanwhile."""
    user: cython.pointer[object_user] = users + s.truth + nr
    phys: u64 = s.s_mem + cython.cast(u64, nr) * c.objsize
    t: u64 = atomic64_load(truths + s.truth + nr)
    kind: u64 = t & OBJECT_KIND
    allocated_ns: u64 = user.allocated_ns
    freed_ns: u64 = user.freed_ns
    damage: cython.int = 0
    if kind == OBJECT_ALLOC or kind == OBJECT_KERNEL:
        damage = damage_of(c, phys, True)
    elif kind == OBJECT_FREE or kind == OBJECT_CACHED:
        damage = damage_of(c, phys, False)
    # The truth changes before the memory, and the times before the truth again.
    if (
        atomic64_load(truths + s.truth + nr) != t
        or atomic64_load(cython.address(user.allocated_ns)) != allocated_ns
        or atomic64_load(cython.address(user.freed_ns)) != freed_ns
    ):
        return 0
    if damage == 0:
        user.verified_ns = machine_ns()
    return damage


def damaged_objects(index: cython.int = -1, first: cython.longlong = -1) -> list:
    """Return (address, damage, allocated) of objects that are not as they should be: of one
    cache or all, of one slab by its first frame. O(pages + objects); takes no lock."""
    pfn: u64
    nr: u32
    damage: cython.int
    s: cython.pointer[slab]
    found = []
    for pfn in range(nr_pages):
        s = slabs + pfn
        if first >= 0 and pfn != cython.cast(u64, first):
            continue
        if truth_kind(mem_map[pfn].truth) != PAGE_SLAB or mem_map[pfn].slab == 0:
            continue
        if index >= 0 and s.cache != index or (first < 0 and s.state != SLAB_LISTED):
            continue
        for nr in range(caches[s.cache].num):
            damage = verify_object(caches + s.cache, s, nr)
            if damage != 0:
                found.append(
                    (
                        direct_start + s.s_mem + cython.cast(u64, nr) * s.objsize,
                        damage,
                        (truths[s.truth + nr] & OBJECT_KIND)
                        not in (OBJECT_FREE, OBJECT_CACHED),
                    )
                )
    return found


def damage_at(address: cython.ulonglong, allocated: cython.bint) -> int:
    """Return the damage (DAMAGE_*) of the object at an address, as a free or allocated one."""
    s: cython.pointer[slab] = slab_of(cython.address(view), address)
    return damage_of(caches + s.cache, address - direct_start, allocated)


def make_whole(address: cython.ulonglong, allocated: cython.bint) -> None:
    """Write the red zones, and the poison of a free object, anew: its damage is reported."""
    s: cython.pointer[slab] = slab_of(cython.address(view), address)
    if allocated:
        set_red_zones(caches + s.cache, address - direct_start, RED_ACTIVE)
    else:
        settle(caches + s.cache, address - direct_start)


def memory_of(address: cython.ulonglong) -> bytes:
    """Return the bytes of an object with its red zones."""
    s: cython.pointer[slab] = slab_of(cython.address(view), address)
    c: cython.pointer[kmem_cache] = caches + s.cache
    start: cython.p_char = cython.cast(
        cython.p_char, ram + (address - direct_start) - c.red_bytes
    )
    return start[: c.objsize]


def user_info(address: cython.ulonglong) -> dict:
    """Return who had the object at an address: `allocated` and `freed` as truth words, the
    times in ns since boot; empty where nothing is known."""
    s: cython.pointer[slab] = slab_of(cython.address(view), address)
    if users == cython.NULL or s == cython.NULL:
        return {}
    nr: u64 = object_at(s, address - direct_start)
    if nr == NO_OBJECT or nr >= caches[s.cache].num:
        return {}
    user: cython.pointer[object_user] = users + s.truth + nr
    return {
        "allocated": user.allocated,
        "freed": user.freed,
        "allocated_ns": user.allocated_ns,
        "freed_ns": user.freed_ns,
        "verified_ns": user.verified_ns,
    }
