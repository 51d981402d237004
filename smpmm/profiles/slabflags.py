"""Flags of the slab allocator (linux/slab.h): values by the versions that have them.

SLAB_KERNEL and its like are other names of GFP flags, up to 2.6.11 as far as it is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from smpmm.profiles.version import Range, Version, range_of

SLAB_FIRST: Final = (2, 1, 23)

# Name → range of versions → value. A version outside of all ranges does not have the name.
FLAGS: Final = MappingProxyType(
    {
        "SLAB_DEBUG_FREE": {"2.1.23-": 0x100},
        "SLAB_DEBUG_INITIAL": {"2.1.23-": 0x200},
        "SLAB_RED_ZONE": {"2.1.23-": 0x400},
        "SLAB_POISON": {"2.1.23-": 0x800},
        "SLAB_NO_REAP": {"2.1.23-2.6.15": 0x1000},
        "SLAB_NO_GROW": {"2.1.23-2.4": 0x1000, "2.6.0-2.6.11": 0x2000},
        "SLAB_HWCACHE_ALIGN": {"2.1.23-": 0x2000},
        "SLAB_HIGH_PACK": {"2.1.23-2.2": 0x4000},
        "SLAB_CACHE_DMA": {"2.4.0-": 0x4000},
        "SLAB_MUST_HWCACHE_ALIGN": {"2.4.18-": 0x8000},
        "SLAB_STORE_USER": {"2.6.0-": 0x10000},
        "SLAB_RECLAIM_ACCOUNT": {"2.6.0-": 0x20000},
        "SLAB_PANIC": {"2.6.7-": 0x40000},
        "SLAB_DESTROY_BY_RCU": {"2.6.9-4.11": 0x80000},
        "SLAB_TYPESAFE_BY_RCU": {"4.12-": 0x80000},
        "SLAB_MEM_SPREAD": {"2.6.32-": 0x100000},
        "SLAB_TRACE": {"2.6.32-": 0x200000},
        "SLAB_NOLEAKTRACE": {"2.6.32-": 0x800000},
        "SLAB_FAILSLAB": {"2.6.32-": 0x2000000},
        "SLAB_CTOR_CONSTRUCTOR": {"2.1.23-2.6.22": 1},
        "SLAB_CTOR_ATOMIC": {"2.1.23-2.6.22": 2},
        "SLAB_CTOR_VERIFY": {"2.1.23-2.6.22": 4},
    }
)
# Other names of GFP_ flags, in these versions.
GFP_NAMES: Final = ("BUFFER", "NOIO", "NOFS", "ATOMIC", "USER", "KERNEL", "NFS", "DMA")
GFP_NAMES_RANGE: Final = range_of("2.1.23-2.6.11")


def flags_of(version: Version, gfp: Mapping[str, int]) -> dict[str, int]:
    """Return the slab flags of a version; `gfp` are its allocation flags."""
    flags = {
        name: value
        for name, values in FLAGS.items()
        for text, value in values.items()
        if version in range_of(text)
    }
    if version in GFP_NAMES_RANGE:
        for name in GFP_NAMES:
            if f"GFP_{name}" in gfp:
                flags[f"SLAB_{name}"] = gfp[f"GFP_{name}"]
    return flags


def ranges_of(name: str) -> tuple[Range, ...]:
    """Return the versions that have a slab flag of a value of its own."""
    return tuple(range_of(text) for text in FLAGS.get(name, ()))
