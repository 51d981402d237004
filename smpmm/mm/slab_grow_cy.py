"""Slabs come and go: kmem_cache_grow and kmem_slab_destroy of Linux 2.4 (mm/slab.c).

A slab in the making, and one being taken apart, is private to one process: `state` and
`owner` of its struct slab say so, and whose death makes it anybody's to finish. Constructors
and destructors run outside of the kernel call, with no lock held.

Truth: pages become the slab's by one store (set_page_slab), after everything behind it has
been written; before it they are pages that `kmem_cache_grow` allocated. They stop being it
when the page allocator stores that they are free.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import atomic64_xchg, compiler_barrier, unlikely
from cython.cimports.cpus.event_cy import log_text
from cython.cimports.cpus.kill_cy import (
    KILL_SLAB_DESTROY,
    KILL_SLAB_GROW,
    KILL_SLAB_GROWN,
    kill_point,
)
from cython.cimports.cpus.percpu_cy import (
    HARDIRQ_MASK,
    PREEMPT_OFFSET,
    SOFTIRQ_MASK,
    call_out,
    come_back,
    leave,
    stand_still_point,
    this_cpu,
    this_owner,
    this_process,
    this_slot,
)
from cython.cimports.cpus.segment_cy import direct_start, ram
from cython.cimports.cpus.spinlock_cy import raw_spin_lock_irqsave, raw_spin_unlock_irqrestore
from cython.cimports.smpmm.mm import slab_cy
from cython.cimports.smpmm.mm.page_alloc_cy import (
    alloc_pages,
    gfp_dma,
    gfp_high,
)
from cython.cimports.smpmm.mm.page_cy import (
    PAGE_ALLOC,
    PAGE_SHIFT,
    PAGE_SIZE,
    PAGE_SLAB,
    PG_SLAB,
    page_to_pfn,
    pfn_to_page,
)
from cython.cimports.smpmm.mm.slab_cy import (
    kmem_cache_alloc_inside,
    slab_of,
    view,
)
from cython.cimports.smpmm.mm.slab_list_cy import (
    BUFCTL_END,
    CFLGS_OFF_SLAB,
    DFLGS_GROWN,
    OBJECT_CPU_SHIFT,
    OBJECT_FREE,
    OBJECT_KERNEL,
    OBJECT_KIND,
    OBJECT_NONE,
    OBJECT_PID_SHIFT,
    PAGE_OBJECTS,
    PAGE_SMALL_OBJECTS,
    SLAB_GROWING,
    SLAB_LISTED,
    caches,
    growings,
    list_append_slab,
    nr_truths,
    object_place,
    reserve_truths,
    slab_bufctl,
    slab_global,
    slabs,
    truths,
)
from cython.cimports.smpmm.mm.zone_cy import free_block, set_page_slab

from smpmm.mm import slab_corruption, slab_report

CTOR_CONSTRUCTOR = 1
CTOR_ATOMIC = 2

# Calls a function of the kernel text: call_text(address, *args). Outside of any kernel call.
call_text: object = None


def register_text(call: object) -> None:
    """Register how constructors and destructors are called: (address, object, cache,
    flags)."""
    global call_text
    call_text = call


def attach(config: object = None) -> None:
    """Let the allocator find this module's functions. The monitor, before it forks."""
    slab_cy.grow_hook = kmem_cache_grow


def come_back_quietly():
    """Be inside again to tidy up while an exception is on its way: serves handlers only."""
    atomic64_xchg(cython.address(this_process.inside), 1)
    stand_still_point()


def kmem_cache_grow(c, gfp, site):
    level: u64 = gfp & slab_global.level_mask
    if gfp & slab_global.no_grow:
        return 0
    if unlikely(
        gfp & ~cython.cast(u64, slab_global.level_mask | slab_global.no_grow | gfp_dma)
        or (this_cpu.preempt_count & (HARDIRQ_MASK | SOFTIRQ_MASK) and level != gfp_high)
    ):
        call_out()
        slab_report.bug_in_grow(c.index, gfp)
        come_back()
        return 0
    made: cython.int
    counts: cython.pointer[u8] = growings + cython.cast(u64, c.index) * 256 + this_slot
    offset: u32 = next_colour(c, counts, site)
    try:
        made = grow_slab(c, gfp, offset)
    except BaseException:
        come_back_quietly()
        counts[0] -= 1
        leave()
        raise
    if made == 0:
        counts[0] -= 1
    return made


def next_colour(c, counts, site):
    """Announce that this process makes a slab; returns its colour's offset in bytes."""
    flags: u64 = raw_spin_lock_irqsave(cython.address(c.lock), site)
    offset: u32 = c.colour_next * c.colour_off
    c.colour_next = c.colour_next + 1 if c.colour_next + 1 < c.colour else 0
    c.dflags |= DFLGS_GROWN
    counts[0] += 1
    raw_spin_unlock_irqrestore(cython.address(c.lock), flags)
    return offset


def grow_slab(c, gfp, offset):
    """Make a slab and list it: 1 made, 0 no memory."""
    p: cython.pointer[page] = alloc_pages(gfp | c.gfpflags, c.gfporder, slab_global.site_grow)
    if p == cython.NULL:
        return 0
    phys: u64 = page_to_pfn(p) << PAGE_SHIFT
    management: u64 = phys + offset
    if c.cflags & CFLGS_OFF_SLAB:
        management = alloc_management(c, p, gfp & slab_global.level_mask)
        if management == 0:
            free_block(p, c.gfporder, PAGE_ALLOC, slab_global.site_grow)
            return 0
    else:
        offset += c.slab_size
    s: cython.pointer[slab] = init_slab(c, p, offset, management)
    if s == cython.NULL:
        return 0
    if c.ctor != 0:
        construct(c, s, gfp)
    commit_slab(c, p, s)
    return 1


def alloc_management(c, p, gfp):
    """Allocate the management of a slab whose pages are `p`; physical address, 0: no
    memory."""
    address: u64
    try:
        address = kmem_cache_alloc_inside(
            caches + c.slabp_cache, gfp, slab_global.site_slabmgmt
        )
    except BaseException:
        come_back_quietly()
        free_block(p, c.gfporder, PAGE_ALLOC, slab_global.site_grow)
        leave()
        raise
    if address == 0:
        return 0
    set_kernel_object(address, page_to_pfn(p))
    return address - direct_start


def truth_of(address):
    """Return the truth word of an object that is known to be one."""
    s: cython.pointer[slab] = slab_of(cython.address(view), address)
    return truths + s.truth + (address - direct_start - s.s_mem) // caches[s.cache].objsize


def set_kernel_object(address, what):
    t: cython.pointer[u64] = truth_of(address)
    low: u64 = cython.cast(u32, t[0]) & ~cython.cast(u64, OBJECT_KIND)
    t[0] = low | OBJECT_KERNEL | what << OBJECT_PID_SHIFT


def own_kernel_object(address):
    t: cython.pointer[u64] = truth_of(address)
    t[0] = (t[0] & ~cython.cast(u64, 0xFF << OBJECT_CPU_SHIFT)) | this_slot << OBJECT_CPU_SHIFT


def free_kernel_object(address, what, site):
    s: cython.pointer[slab] = slab_of(cython.address(view), address)
    if s == cython.NULL:
        return
    c: cython.pointer[kmem_cache] = caches + s.cache
    nr: u64 = (address - direct_start - s.s_mem) // c.objsize
    t: u64 = truths[s.truth + nr]
    if t & OBJECT_KIND == OBJECT_KERNEL and t >> OBJECT_PID_SHIFT == what:
        slab_cy.build_free(s, address - direct_start, s.truth + nr, t, site)


def init_slab(c, p, offset, management):
    """Write a slab's struct, truth words and free list; nobody else sees it yet."""
    pfn: u64 = page_to_pfn(p)
    s: cython.pointer[slab] = slabs + pfn
    nr: u32
    bufctl: cython.pointer[u32]
    s.state = SLAB_GROWING
    s.owner = this_owner
    s.next = cython.NULL
    s.prev = cython.NULL
    s.inuse = 0
    s.free = 0
    s.cache = cython.cast(u16, c.index)
    s.objsize = c.objsize
    s.reciprocal = c.reciprocal
    s.s_mem = (pfn << PAGE_SHIFT) + offset + c.first_bytes
    s.management = management
    s.truth = cython.cast(u32, pfn * PAGE_OBJECTS)
    if c.objsize * PAGE_OBJECTS < PAGE_SIZE:
        s.truth = cython.cast(u32, nr_truths + pfn * PAGE_SMALL_OBJECTS)
    if not reserve_truths(s.truth, c.num) or (
        slab_cy.build_slab != cython.NULL and not slab_cy.build_slab(c, s)
    ):
        log_text(b"slab: the host has no memory for truth words", 44, 3)
        forget_pages(c, s)
        free_block(p, c.gfporder, PAGE_ALLOC, slab_global.site_grow)
        return cython.NULL
    bufctl = slab_bufctl(s)
    for nr in range(c.num):
        truths[s.truth + nr] = OBJECT_FREE | object_place(c, s, nr)
        bufctl[nr] = nr + 1
    bufctl[c.num - 1] = BUFCTL_END
    write_slab_t(s)
    return s


def write_slab_t(s):
    """Write the constant words of slab_t in RAM, where a reader of memory expects them."""
    words: cython.pointer[u32] = cython.cast(cython.pointer[u32], ram + s.management)
    start: u64 = s.s_mem - caches[s.cache].first_bytes
    words[2] = cython.cast(u32, start - (cython.cast(u64, s - slabs) << PAGE_SHIFT))
    words[3] = cython.cast(u32, direct_start + start)


def construct(c, s, gfp):
    """Call the constructor for each object of a new slab. -1: it raised, and the slab is
    gone.

    One that is told not to sleep is atomic context, where a breach is refused: 2.4 has no
    count that would say so, and where it may go on sleeping no other task must see ours.
    """
    flags: u64 = CTOR_CONSTRUCTOR
    count: u64 = 0
    if gfp & slab_global.level_mask == gfp_high:
        flags |= CTOR_ATOMIC
        count = 0 if segment_cy.header.on_bug != 0 else PREEMPT_OFFSET
    this_cpu.preempt_count += count
    try:
        call_for_each(c, s, c.ctor, flags)
        if slab_cy.build_whole != cython.NULL and not slab_cy.build_whole(c, s):
            report_slab(s, False)
    except BaseException:
        come_back_quietly()
        this_cpu.preempt_count -= count
        abandon(c, s)
        leave()
        raise
    this_cpu.preempt_count -= count
    return 0


def call_for_each(c, s, function, flags):
    """Call a constructor or destructor for each object of a private slab, outside of the
    call."""
    nr: u32
    call_out()
    for nr in range(c.num):
        call_text(
            function,
            direct_start + s.s_mem + cython.cast(u64, nr) * c.objsize,
            c.address,
            flags,
        )
    come_back()
    return 0


def commit_slab(c, p, s):
    """Make the pages a slab's, and list it."""
    i: u64
    for i in range(cython.cast(u64, 1) << c.gfporder):
        p[i].slab = cython.cast(u64, s)
        p[i].cache = cython.cast(u64, c)
        p[i].flags |= PG_SLAB
    compiler_barrier()
    kill_point(KILL_SLAB_GROW)
    set_page_slab(p, c.index)
    flags: u64 = raw_spin_lock_irqsave(cython.address(c.lock), slab_global.site_grow)
    list_append_slab(c, s)
    kill_point(KILL_SLAB_GROWN)
    s.state = SLAB_LISTED
    c.grown += 1
    growings[cython.cast(u64, c.index) * 256 + this_slot] -= 1
    raw_spin_unlock_irqrestore(cython.address(c.lock), flags)


def abandon(c, s):
    """Give back a slab that never became one."""
    forget_objects(c, s)
    free_block(first_page(s), c.gfporder, PAGE_ALLOC, slab_global.site_grow)


def forget_objects(c, s):
    """Undo what makes a slab's pages hold objects; its management goes back to its cache."""
    nr: u32
    for nr in range(c.num):
        truths[s.truth + nr] = OBJECT_NONE
    forget_pages(c, s)


def forget_pages(c, s):
    p: cython.pointer[page] = first_page(s)
    i: u64
    for i in range(cython.cast(u64, 1) << c.gfporder):
        p[i].slab = 0
        p[i].cache = 0
        p[i].flags &= ~cython.cast(u32, PG_SLAB)
    if c.cflags & CFLGS_OFF_SLAB:
        free_kernel_object(
            direct_start + s.management, page_to_pfn(p), slab_global.site_slabmgmt
        )


def first_page(s):
    return pfn_to_page(cython.cast(u64, s - slabs))


def report_slab(s, quiet):
    """Report the damage in a slab that is being taken apart, outside of the call; `quiet`: in
    the log only, for whoever reclaims memory has nothing to do with it."""
    call_out()
    slab_corruption.damaged_slab(s - slabs, quiet)
    come_back()
    return 0


def release_slab(c, s):
    kill_point(KILL_SLAB_DESTROY)
    forget_objects(c, s)
    free_block(first_page(s), c.gfporder, PAGE_SLAB, slab_global.site_grow)


def kmem_slab_destroy(c, s, quiet):
    whole: cython.bint = slab_cy.build_whole == cython.NULL or slab_cy.build_whole(c, s)
    if c.dtor != 0 or not whole:
        try:
            if not whole:
                report_slab(s, quiet)
            if c.dtor != 0:
                call_for_each(c, s, c.dtor, 0)
        except BaseException:
            come_back_quietly()
            release_slab(c, s)
            leave()
            raise
    release_slab(c, s)
    return 0
