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
    """Work out a cache's slabs; `num` 0: no slab of any order holds an object."""
    l1 = profile.l1_cache_bytes
    objsize = align_up(size, profile.bytes_per_word)
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
    colour_off = align_up(offset, align) or l1
    return Geometry(
        objsize=objsize,
        gfporder=order,
        num=num,
        off_slab=off_slab,
        colour=left // colour_off,
        colour_off=colour_off,
        slab_size=slab_size,
        forced_align=objsize != size and bool(size % profile.bytes_per_word),
    )


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
    return replace(figures, statistics=bool(options.get("slab_statistics")))


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
