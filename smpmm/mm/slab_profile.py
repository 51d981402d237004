"""What a kernel version decides about slabs, as data, and the geometry of a cache from it.

Models kmem_cache_create and kmem_cache_estimate of 2.4 (mm/slab.c). Pure arithmetic: the
tables of real /proc/slabinfo files can be computed without a machine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from smpmm.profile import Profile

SLAB_DEBUG_INITIAL: Final = 0x200
SLAB_RED_ZONE: Final = 0x400
SLAB_POISON: Final = 0x800
SLAB_NO_REAP: Final = 0x1000
SLAB_HWCACHE_ALIGN: Final = 0x2000
SLAB_CACHE_DMA: Final = 0x4000


@dataclass(frozen=True)
class SlabProfile:
    """A version's slab allocator on an architecture. Sizes in bytes."""

    bytes_per_word: int = 4
    l1_cache_bytes: int = 32
    page_bytes: int = 4096
    sizeof_slab: int = 24  # slab_t
    sizeof_bufctl: int = 4
    sizeof_kmem_cache: int = 232  # kmem_cache_t of an SMP build: one list, 32 CPUs
    sizeof_statistics: int = 40  # what STATS adds to it
    sizeof_cpucache: int = 8  # cpucache_t without its entries
    debugging_flags: int = SLAB_DEBUG_INITIAL | SLAB_RED_ZONE | SLAB_POISON
    max_order: int = 5  # MAX_OBJ_ORDER, MAX_GFP_ORDER
    name_length: int = 20  # CACHE_NAMELEN, the final NUL included
    general_sizes: tuple[int, ...] = tuple(32 << i for i in range(13))
    create_mask: int = SLAB_NO_REAP | SLAB_HWCACHE_ALIGN | SLAB_CACHE_DMA
    level_mask: int = 0x07  # SLAB_LEVEL_MASK: the gfp bits that a caller may pass
    no_grow: int = 0x1000  # SLAB_NO_GROW
    # (objects larger than this many bytes, limit of the per-CPU array): the first that applies
    array_limits: tuple[tuple[int, int], ...] = ((4096, 0), (1024, 60), (256, 124), (0, 252))
    reap_scan: int = 10  # caches looked at by one kmem_cache_reap
    reap_perfect: int = 10  # free slabs that end its search
    statistics: bool = False  # built with STATS
    debug: bool = False  # built with DEBUG and FORCED_DEBUG, which brings STATS too

    @property
    def accepted_flags(self) -> int:
        """The flags that kmem_cache_create takes in this build."""
        return self.create_mask | (self.debugging_flags if self.debug else 0)

    @property
    def sizeof_descriptor(self) -> int:
        """The bytes of kmem_cache_t in this build."""
        return self.sizeof_kmem_cache + (self.sizeof_statistics if self.statistics else 0)

    def break_order(self, ram_bytes: int) -> int:
        """Return the order above which a slab is not made larger to waste less."""
        return 2 if ram_bytes > 32 << 20 else 1

    def array_limit(self, objsize: int) -> tuple[int, int]:
        """Return limit and batchcount of the per-CPU arrays for objects of `objsize` bytes."""
        limit = next(limit for above, limit in self.array_limits if objsize > above)
        return limit, limit // 2


@dataclass(frozen=True)
class Geometry:
    """How the objects of a cache lie in its slabs. Sizes in bytes."""

    objsize: int
    gfporder: int
    num: int  # objects per slab
    off_slab: bool  # the management lies in an object of a general cache
    colour: int  # number of colours
    colour_off: int
    slab_size: int  # management: slab_t and its bufctl array, in whole cache lines
    forced_align: bool  # the size was no multiple of a word
    red_bytes: int  # of the red zone before an object, and of that behind it
    first_bytes: int  # from where the kernel has its first object to what its user has of it
    payload: int  # what its user has of objsize


def align_up(value: int, align: int) -> int:
    """Round up to a multiple of `align`, a power of two."""
    return (value + align - 1) & ~(align - 1)


def estimate(
    profile: SlabProfile, order: int, size: int, off_slab: bool, l1: int
) -> tuple[int, int]:
    """Return how many objects a slab of 2**order pages holds, and the bytes left over."""
    room = profile.page_bytes << order
    base, extra = (0, 0) if off_slab else (profile.sizeof_slab, profile.sizeof_bufctl)
    num = room // (size + extra)
    while num and num * size + align_up(base + num * extra, l1) > room:
        num -= 1
    return num, room - num * size - align_up(base + num * extra, l1)


def largest_on_slab(profile: SlabProfile) -> int:
    """Return the largest general size whose slabs carry their own management."""
    return max(size for size in profile.general_sizes if size < profile.page_bytes // 8)


def geometry(
    profile: SlabProfile, size: int, offset: int = 0, flags: int = 0, ram_bytes: int = 64 << 20
) -> Geometry:
    """Work out a cache's slabs; `num` 0: no slab of any order holds an object.

    A red zone, which only a debugging build has, leaves no alignment to cache lines.
    """
    l1 = profile.l1_cache_bytes
    payload = align_up(size, profile.bytes_per_word)
    forced_align = payload != size
    red_bytes = profile.bytes_per_word if flags & SLAB_RED_ZONE else 0
    objsize = payload + 2 * red_bytes
    if red_bytes:
        flags &= ~SLAB_HWCACHE_ALIGN
    align = l1 if flags & SLAB_HWCACHE_ALIGN else profile.bytes_per_word
    off_slab = objsize >= profile.page_bytes // 8
    if flags & SLAB_HWCACHE_ALIGN:
        while objsize < align // 2:
            align //= 2
        objsize = align_up(objsize, align)
    order, num, left = _order(profile, objsize, off_slab, ram_bytes)
    slab_size = align_up(profile.sizeof_slab + num * profile.sizeof_bufctl, l1)
    if off_slab and left >= slab_size:
        off_slab = False
        left -= slab_size
    padding = 0 if off_slab else slab_size - profile.sizeof_slab - num * profile.sizeof_bufctl
    first_bytes = _first_bytes(red_bytes, left, padding)
    if first_bytes < 0:  # an object less
        num, left, first_bytes = num - 1, left + objsize, 8
    colour_off = align_up(offset, align) or l1
    return Geometry(
        objsize=objsize,
        gfporder=order,
        num=num,
        off_slab=off_slab,
        colour=left // colour_off,
        colour_off=colour_off,
        slab_size=slab_size,
        forced_align=forced_align,
        red_bytes=red_bytes,
        first_bytes=first_bytes,
        payload=objsize - 2 * red_bytes,
    )


def _first_bytes(red_bytes: int, left: int, padding: int) -> int:
    """Return how far behind the start of the objects the first one's user begins.

    Behind a red zone of four bytes, where the kernel has it, no lock of ours would be aligned:
    they have words of eight. There is room for the red zone in the management's padding, or
    for four bytes more in what the slab has left over. -1: there is none.
    """
    if red_bytes != 4:
        return red_bytes
    return 8 if left >= 4 else 0 if padding >= 4 else -1


def debugging_flags(
    profile: SlabProfile, size: int, flags: int, has_ctor: bool
) -> tuple[int, list[str]]:
    """Return the flags that a debugging build gives a cache, and what it says of those that it
    drops: a constructor and poison exclude each other, red zones are for small objects."""
    said: list[str] = []
    if not profile.debug:
        return flags, said
    if flags & SLAB_DEBUG_INITIAL and not has_ctor:
        said.append("No con, but init state check requested")
        flags &= ~SLAB_DEBUG_INITIAL
    if flags & SLAB_POISON and has_ctor:
        said.append("Poisoning requested, but con given")
        flags &= ~SLAB_POISON
    if size < profile.page_bytes // 8:
        flags |= SLAB_RED_ZONE
    if not has_ctor:
        flags |= SLAB_POISON
    if flags & SLAB_RED_ZONE:
        flags &= ~SLAB_HWCACHE_ALIGN
    return flags, said


def _order(
    profile: SlabProfile, objsize: int, off_slab: bool, ram_bytes: int
) -> tuple[int, int, int]:
    """Search the slab's order as 2.4 does; returns order, objects per slab, bytes left
    over."""
    l1 = profile.l1_cache_bytes
    offslab_limit = (largest_on_slab(profile) - profile.sizeof_slab) // 2
    order = 0
    while True:
        num, left = estimate(profile, order, objsize, off_slab, l1)
        if order >= profile.max_order:
            break
        if num:
            if off_slab and num > offslab_limit:
                order -= 1
                num, left = estimate(profile, order, objsize, off_slab, l1)
                break
            if order >= profile.break_order(ram_bytes):
                break
            if left * 8 <= profile.page_bytes << order:
                break
        order += 1
    return order, num, left


SLAB_2_4_5_I386: Final = SlabProfile()

# By version and architecture; a version that is not here has the nearest earlier one's.
PROFILES: Final = MappingProxyType({("2.4.5", "i386"): SLAB_2_4_5_I386})


def slab_profile(config: object) -> SlabProfile:
    """Return the slab figures of a machine's version, those of 2.4.5 when it does not say, in
    the build that its options ask for.

    A version that is not here has 2.4.5's with its own flags, sizes of a page and of a line.
    """
    profile = getattr(config, "profile", None)
    key = getattr(profile, "version", "2.4.5"), getattr(profile, "arch", "i386")
    options = getattr(config, "options", {})
    figures = PROFILES.get(key)
    if figures is None:
        figures = SLAB_2_4_5_I386 if profile is None else _borrowed(profile)
    return replace(
        figures,
        statistics=bool(options.get("slab_statistics") or options.get("slab_debug")),
        debug=bool(options.get("slab_debug")),
    )


def _borrowed(profile: Profile) -> SlabProfile:
    """Return 2.4.5's figures with a version's own flags, sizes of a page and of a line."""
    return replace(
        SLAB_2_4_5_I386,
        bytes_per_word=profile.arch_profile.bytes_per_word,
        l1_cache_bytes=profile.arch_profile.l1_cache_bytes,
        page_bytes=1 << profile.memory.page_shift,
        sizeof_slab=24 if profile.arch_profile.bits == 32 else 40,
        level_mask=profile.memory.core["LEVEL"],
        no_grow=profile.memory.gfp.get("__GFP_NO_GROW", 1 << 31),
    )
