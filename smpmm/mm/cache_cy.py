"""kmem_cache_create, _destroy, _shrink and _reap of Linux 2.4 (mm/slab.c), and the boot of it
all.

The chain of caches is the table's live entries in the order of their birth, newest first
behind kmem_cache itself. It is guarded by cache_chain_sem, a semaphore of the task layer.

An entry is claimed by storing its process's lock word into `creator`; it counts from the
moment its `state` says so, and it is found by its handle once `address` is stored, last.
Whoever is killed in between leaves a claim that recovery gives back.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import (
    atomic32_cmpxchg,
    atomic32_store,
    atomic64_fetch_add,
    atomic64_store,
)
from cython.cimports.cpus.callsite_cy import call_site
from cython.cimports.cpus.handle_cy import Handle, address_of
from cython.cimports.cpus.kill_cy import KILL_CACHE_CREATE, kill_point
from cython.cimports.cpus.percpu_cy import enter, enter_sleeping, leave, this_owner
from cython.cimports.cpus.segment_cy import direct_start, ram
from cython.cimports.cpus.spinlock_cy import (
    CLASS_SPIN,
    RECOVER_CACHE,
    lock_class_named,
    spinlock_init,
)
from cython.cimports.cpus.whole import whole
from cython.cimports.libc.string import memcpy, memset, strncpy
from cython.cimports.smpmm.mm import slab_cy
from cython.cimports.smpmm.mm.page_alloc_cy import gfp_dma, gfp_high, gfp_io, gfp_wait
from cython.cimports.smpmm.mm.slab_cy import kmem_cache_alloc_inside, kmem_cache_free_inside
from cython.cimports.smpmm.mm.slab_grow_cy import free_kernel_object, set_kernel_object
from cython.cimports.smpmm.mm.slab_list_cy import (
    CACHE_FREE,
    CACHE_LIVE,
    CACHE_NAMELEN,
    CFLGS_OFF_SLAB,
    NR_CACHES,
    RECIPROCAL_SHIFT,
    caches,
    cpu_array,
    slab_global,
)

from cpus import callsite_cy, context_cy, event_cy, monitor
from smpmm.mm import (
    cpucache_cy,
    shrink_cy,
    slab_build_cy,
    slab_debug_cy,
    slab_grow_cy,
    slab_report,
    slab_state_cy,
)
from smpmm.mm import slab_cy as slab_module
from smpmm.mm import slab_list_cy as lists_module
from smpmm.mm.slab_profile import (
    SLAB_CACHE_DMA,
    SLAB_HWCACHE_ALIGN,
    SLAB_NO_REAP,
    debugging_flags,
    geometry,
    slab_profile,
)

KERN_ERR = 3
# The call sites of what the allocator allocates for itself.
SITES = (
    "kmem_cache_grow",
    "kmem_cache_slabmgmt",
    "kmem_cache_create",
    "kmem_tune_cpucache",
)

# The version's figures, the same in every process: set at boot.
profile: object = None
ram_bytes: object = 0


class KmemCache(Handle):
    """A handle of a cache: kmem_cache_t * of a driver."""


def _no_text(function: object) -> int:
    """Stand for the kernel text: only addresses and None are known."""
    return address_of(function)


text_address = _no_text


def register_text_address(address_for) -> None:
    """Register how a function gets its address in the kernel text."""
    global text_address
    text_address = address_for


SPARSE_REGIONS = (*lists_module.SPARSE_REGIONS, *slab_debug_cy.SPARSE_REGIONS)


def regions(config: object) -> dict:
    """Return the regions of the segment that the slab allocator needs, name → bytes."""
    return {**lists_module.regions(config), **slab_debug_cy.regions(config)}


def attach(config: object) -> None:
    """Find the allocator's regions and take the version's figures. The monitor, before it
    forks."""
    global profile, ram_bytes
    profile = slab_profile(config)
    ram_bytes = config.ram_bytes
    lists_module.attach(config)
    slab_module.attach()
    slab_build_cy.attach(profile)
    slab_grow_cy.attach(config)
    slab_state_cy.attach(config)
    cpucache_cy.attach(config)
    shrink_cy.attach(config)


def init(config: object) -> None:
    """Make kmem_cache and the general caches, then their per-CPU arrays; boot, acting as CPU
    0."""
    lists_module.set_globals(
        profile, {name: callsite_cy.site_named("mm/slab.c", name) for name in SITES}
    )
    how = geometry(profile, profile.sizeof_descriptor)
    _publish(_make("kmem_cache", how, SLAB_NO_REAP, 0, 0, 0))
    slab_module.set_size_caches()
    for size in profile.general_sizes:
        for name, flags in ((f"size-{size}", 0), (f"size-{size}(DMA)", SLAB_CACHE_DMA)):
            flags |= SLAB_HWCACHE_ALIGN
            flags, _ = debugging_flags(profile, size, flags, False)
            _publish(_make(name, _geometry(size, 0, flags), flags, 0, 0, 0))
    slab_global.arrays_on = 1
    shrink_cy.make_chain_sem()
    for index in range(1 + 2 * len(profile.general_sizes)):
        cpucache_cy.enable_cpucache(index)


def on_start(machine: object, config: object) -> None:
    """Have the allocator recovered after a death. The monitor."""
    monitor.register_recovery("smpmm.mm.slab_recover_cy:recover")
    monitor.register_gate_recovery("smpmm.mm.slab_recover_cy:recover_interrupted")


def _geometry(size: int, offset: int, flags: int):
    return geometry(profile, size, offset, flags, ram_bytes)


def kmem_cache_create(
    name: object, size: object, offset: object, flags: object, ctor: object, dtor: object
) -> object:
    """Create a cache; returns its handle, None without memory. May sleep.

    2.4 calls BUG for what it refuses: a name of more than 18 characters or one that exists, a
    size below a word or above 32 pages, an offset that is negative or above the size, a
    destructor without constructor, flags that this build does not know.
    """
    site: u32 = call_site()
    size = whole(size, b"kmem_cache_create", b"size")
    offset = whole(offset, b"kmem_cache_create", b"offset")
    flags = whole(flags, b"kmem_cache_create", b"flags")
    enter_sleeping(b"kmem_cache_create")
    leave()
    if not _create_allowed(name, size, offset, flags, ctor, dtor):
        return None
    flags, said = debugging_flags(profile, size, flags, bool(ctor))
    for text in said:
        event_cy.log(f"kmem_create: {text} - {name}", KERN_ERR)
    how = _geometry(size, offset, flags)
    if how.forced_align:
        event_cy.log(f"kmem_create: Forcing size word alignment - {name}", KERN_ERR)
    if how.num == 0:
        event_cy.log(f"kmem_cache_create: couldn't create cache {name}.", KERN_ERR)
        return None
    functions = text_address(ctor) if ctor else 0, text_address(dtor) if dtor else 0
    handle = _make(name, how, flags, *functions, site)
    if handle == 0:
        return None
    shrink_cy.chain_down()
    try:
        exists = find_cache(name) >= 0
        if not exists:
            _publish(handle)
    finally:
        shrink_cy.chain_up()
    if exists:
        _discard(handle)
        slab_report.kernel_bug("kmem_cache_create", f"a cache {name} exists already")
        return None
    return KmemCache.handle_at(handle)


def _create_allowed(name, size, offset, flags, ctor, dtor) -> bool:
    """Say BUG where 2.4 does; the words behind it say which test it was."""
    largest = profile.page_bytes << profile.max_order
    why = None
    if not name:
        why = "no name"
    elif len(name.encode()) >= profile.name_length - 1:
        why = f"name {name!r} has {len(name.encode())} characters, at most 18"
    elif context_cy.in_interrupt():
        why = f"cache {name} in interrupt"
    elif size < profile.bytes_per_word or size > largest:
        why = f"size {size} of {name}, from {profile.bytes_per_word} to {largest}"
    elif dtor and not ctor:
        why = f"cache {name} has a destructor without a constructor"
    elif offset < 0 or offset > size:
        why = f"offset {offset} of {name}, from 0 to its size {size}"
    elif wrong := flags & ~profile.accepted_flags:
        why = f"flags {wrong:#x} of {name}, this build has only {profile.accepted_flags:#x}"
        if not profile.debug and not wrong & ~profile.debugging_flags:
            why += ": it was built without slab_debug"
    if why:
        slab_report.kernel_bug("kmem_cache_create", why)
    return why is None


def _make(name: str, how, flags: int, ctor: int, dtor: int, site: int) -> int:
    """Make a cache with its arrays that nobody knows yet; returns its handle, 0 without
    memory. May sleep."""
    encoded: bytes = name.encode()
    lock_name: bytes = f"{name}->spinlock".encode()
    first: cython.bint = slab_global.nr_caches == 0
    handle: u64 = 0
    enter()
    if not first:
        handle = kmem_cache_alloc_inside(
            caches, gfp_wait | gfp_high | gfp_io, slab_global.site_cache
        )
    c: cython.pointer[kmem_cache] = claim_cache() if first or handle != 0 else cython.NULL
    if c == cython.NULL:
        if handle != 0:
            kmem_cache_free_inside(caches, handle, slab_global.site_cache)
        leave()
        return 0
    if not first:
        set_kernel_object(handle, c.index)
    memset(c.name, 0, CACHE_NAMELEN)
    strncpy(c.name, encoded, CACHE_NAMELEN - 1)
    spinlock_init(
        cython.address(c.lock), lock_class_named(lock_name, CLASS_SPIN, RECOVER_CACHE)
    )
    leave()
    _fill(c.index, how, flags, ctor, dtor, site)
    if first:
        handle = _first_handle()
    enter()
    write_handle(handle, c)
    leave()
    if slab_global.arrays_on:
        cpucache_cy.enable_cpucache(c.index)
    return handle


def _first_handle() -> int:
    """Return the descriptor of kmem_cache, the first object of its own."""
    enter()
    handle: u64 = kmem_cache_alloc_inside(
        caches, gfp_wait | gfp_high | gfp_io, slab_global.site_cache
    )
    set_kernel_object(handle, 0)
    leave()
    return handle


def _publish(handle: cython.ulonglong) -> None:
    """Enter a cache that was made in the chain. cache_chain_sem is held."""
    c: cython.pointer[kmem_cache] = made_at(handle)
    enter()
    c.born = atomic64_fetch_add(cython.address(slab_global.born), 1)
    atomic32_store(cython.address(c.state), CACHE_LIVE)
    kill_point(KILL_CACHE_CREATE)
    atomic64_store(cython.address(c.address), handle)
    atomic32_store(cython.address(c.creator), 0)
    leave()


def _discard(handle: cython.ulonglong) -> None:
    """Give back what was made of a cache that nobody may know. May sleep."""
    c: cython.pointer[kmem_cache] = made_at(handle)
    cpucache_cy.tune_cpucache(c.index, 0, 0, True)
    enter()
    free_kernel_object(handle, c.index, slab_global.site_cache)
    atomic32_store(cython.address(c.creator), 0)
    leave()


def made_at(handle):
    return caches + cython.cast(cython.pointer[u32], ram + (handle - direct_start))[0]


def _fill(index: int, how, flags: int, ctor: int, dtor: int, site: int) -> None:
    """Write the constant words of a claimed entry, and empty its lists."""
    c: cython.pointer[kmem_cache] = caches + cython.cast(cython.int, index)
    c.objsize = how.objsize
    c.red_bytes = how.red_bytes
    c.payload = how.payload
    c.first_bytes = how.first_bytes
    c.num = how.num
    c.gfporder = how.gfporder
    c.reciprocal = ((cython.cast(u64, 1) << RECIPROCAL_SHIFT) + c.objsize - 1) // c.objsize
    c.flags = flags
    c.cflags = CFLGS_OFF_SLAB if how.off_slab else 0
    c.gfpflags = cython.cast(u32, gfp_dma) if flags & SLAB_CACHE_DMA else 0
    c.colour = how.colour
    c.colour_off = how.colour_off
    c.slab_size = how.slab_size
    if how.off_slab:
        c.slabp_cache = slab_cy.general_cache(how.slab_size, False).index
    c.ctor = ctor
    c.dtor = dtor
    c.site = site
    c.colour_next = 0
    c.dflags = 0
    c.first = cython.NULL
    c.last = cython.NULL
    c.firstnotfull = cython.NULL
    c.nr_slabs = 0
    c.grown = 0
    c.reaped = 0
    c.repaired = 0
    c.num_active = 0
    c.nr_allocs = 0
    c.high_mark = 0
    c.limit = 0
    c.batchcount = 0
    cpu: u64
    for cpu in range(segment_cy.header.nr_cpus):
        cpu_array(c, cpu).allochit = 0
        cpu_array(c, cpu).allocmiss = 0
        cpu_array(c, cpu).freehit = 0
        cpu_array(c, cpu).freemiss = 0


def claim_cache():
    i: u32
    for i in range(NR_CACHES):
        if (
            caches[i].state == CACHE_FREE
            and caches[i].creator == 0
            and atomic32_cmpxchg(cython.address(caches[i].creator), 0, this_owner) == 0
        ):
            if caches[i].state != CACHE_FREE:
                atomic32_store(cython.address(caches[i].creator), 0)
                continue
            caches[i].index = i
            if i >= slab_global.nr_caches:
                slab_global.nr_caches = i + 1
            return caches + i
    return cython.NULL


def write_handle(handle, c):
    """Write a cache's descriptor in RAM: our index, then what a reader of 2.4's struct looks
    for."""
    words: cython.pointer[u32] = cython.cast(
        cython.pointer[u32], ram + (handle - direct_start)
    )
    memset(words, 0, caches[0].objsize)
    words[0] = c.index
    words[3] = c.objsize
    words[4] = c.flags
    words[5] = c.num
    memcpy(cython.cast(cython.p_char, words) + 76, c.name, CACHE_NAMELEN)


def find_cache(name: str) -> int:
    """Return the index of the live cache of this name, -1 when there is none."""
    encoded: bytes = name.encode()
    i: cython.int
    for i in range(NR_CACHES):
        if caches[i].state == CACHE_LIVE and cython.cast(bytes, caches[i].name) == encoded:
            return i
    return -1
