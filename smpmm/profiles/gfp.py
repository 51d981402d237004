"""Allocation flags (linux/mm.h, later linux/gfp.h): bits by version, composites made of them.

2.0 has no bits but for DMA: a priority is a plain number. From 2.2 on a composite is the OR of
bits; which ones changes more often than the bits do. Names stand here without `__GFP_` and
`GFP_`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from smpmm.profiles.facts import Facts
from smpmm.profiles.version import Range

# 2.0: priorities, one nibble; DMA is a bit and also an argument of its own.
PRIORITIES_2_0: Final = MappingProxyType(
    {
        "GFP_BUFFER": 0x00,
        "GFP_ATOMIC": 0x01,
        "GFP_USER": 0x02,
        "GFP_KERNEL": 0x03,
        "GFP_NOBUFFER": 0x04,
        "GFP_NFS": 0x05,
        "GFP_IO": 0x06,
        "GFP_DMA": 0x80,
        "GFP_LEVEL_MASK": 0x0F,
    }
)

_ZONES_2_6 = {"DMA": 0x01, "HIGHMEM": 0x02, "DMA32": 0x04, "MOVABLE": 0x08}
_2_4_6 = {"DMA": 0x01, "HIGHMEM": 0x02, "WAIT": 0x10, "HIGH": 0x20, "IO": 0x40}
_2_6_0 = {
    **_2_4_6,
    "FS": 0x80,
    "COLD": 0x100,
    "NOWARN": 0x200,
    "REPEAT": 0x400,
    "NOFAIL": 0x800,
    "NORETRY": 0x1000,
    "NO_GROW": 0x2000,
}
_2_6_32 = {
    **{name: bit for name, bit in _2_6_0.items() if name != "NO_GROW"},
    **_ZONES_2_6,
    "COMP": 0x4000,
    "ZERO": 0x8000,
    "NOMEMALLOC": 0x10000,
    "HARDWALL": 0x20000,
    "THISNODE": 0x40000,
    "RECLAIMABLE": 0x80000,
}
_4_19 = {
    **_ZONES_2_6,
    "RECLAIMABLE": 0x10,
    "HIGH": 0x20,
    "IO": 0x40,
    "FS": 0x80,
    "NOWARN": 0x200,
    "RETRY_MAYFAIL": 0x400,
    "NOFAIL": 0x800,
    "NORETRY": 0x1000,
    "MEMALLOC": 0x2000,
    "COMP": 0x4000,
    "ZERO": 0x8000,
    "NOMEMALLOC": 0x10000,
    "HARDWALL": 0x20000,
    "THISNODE": 0x40000,
    "ATOMIC": 0x80000,
    "ACCOUNT": 0x100000,
    "DIRECT_RECLAIM": 0x200000,
    "KSWAPD_RECLAIM": 0x400000,
    "RECLAIM": 0x600000,
}
_6_18 = {
    **_ZONES_2_6,
    "RECLAIMABLE": 0x10,
    "HIGH": 0x20,
    "IO": 0x40,
    "FS": 0x80,
    "ZERO": 0x100,
    "DIRECT_RECLAIM": 0x400,
    "KSWAPD_RECLAIM": 0x800,
    "RECLAIM": 0xC00,
    "NOWARN": 0x2000,
    "RETRY_MAYFAIL": 0x4000,
    "NOFAIL": 0x8000,
    "NORETRY": 0x10000,
    "MEMALLOC": 0x20000,
    "COMP": 0x40000,
    "NOMEMALLOC": 0x80000,
    "HARDWALL": 0x100000,
    "THISNODE": 0x200000,
    "ACCOUNT": 0x400000,
}

# Name without `__GFP_` → bit.
BITS: Final[Facts[dict[str, int]]] = Facts(
    "GFP flags",
    {
        "2.0": {},
        "2.2": {
            "WAIT": 0x01, "LOW": 0x02, "MED": 0x04, "HIGH": 0x08,
            "IO": 0x10, "SWAP": 0x20, "DMA": 0x80,
        },
        "2.4.0-2.4.5": {"WAIT": 0x01, "HIGH": 0x02, "IO": 0x04, "DMA": 0x08, "HIGHMEM": 0x10},
        "2.4.6-2.4.9": {**_2_4_6, "FS": 0x80},
        "2.4.10-2.4": {**_2_4_6, "HIGHIO": 0x80, "FS": 0x100},
        "2.6.0-2.6.5": _2_6_0,
        "2.6.6-2.6.10": {**_2_6_0, "COMP": 0x4000},
        "2.6.11": {**_2_6_0, "COMP": 0x4000, "ZERO": 0x8000},
        "2.6.32": _2_6_32,
        "3.10": {**_2_6_32, "MEMALLOC": 0x2000},
        "4.19": _4_19,
        "6.18": _6_18,
    },
)  # fmt: skip

_2_6 = {
    "NOIO": "WAIT", "NOFS": "WAIT IO", "ATOMIC": "HIGH", "USER": "WAIT IO FS",
    "HIGHUSER": "WAIT IO FS HIGHMEM", "KERNEL": "WAIT IO FS", "DMA": "DMA",
}  # fmt: skip
_2_6_32_COMPOSITES = {
    **_2_6,
    "NOWAIT": "",
    "USER": "WAIT IO FS HARDWALL",
    "HIGHUSER": "WAIT IO FS HARDWALL HIGHMEM",
    "HIGHUSER_MOVABLE": "WAIT IO FS HARDWALL HIGHMEM MOVABLE",
    "DMA32": "DMA32",
}
_4_19_COMPOSITES = {
    "NOIO": "RECLAIM",
    "NOFS": "RECLAIM IO",
    "ATOMIC": "HIGH ATOMIC KSWAPD_RECLAIM",
    "NOWAIT": "KSWAPD_RECLAIM",
    "USER": "RECLAIM IO FS HARDWALL",
    "HIGHUSER": "RECLAIM IO FS HARDWALL HIGHMEM",
    "HIGHUSER_MOVABLE": "RECLAIM IO FS HARDWALL HIGHMEM MOVABLE",
    "KERNEL": "RECLAIM IO FS",
    "DMA": "DMA",
    "DMA32": "DMA32",
}

# Name without `GFP_` → names of its bits.
COMPOSITES: Final[Facts[dict[str, str]]] = Facts(
    "GFP flags",
    {
        "2.0": {},
        "2.2": {
            "BUFFER": "WAIT MED", "ATOMIC": "HIGH", "USER": "WAIT LOW IO",
            "KERNEL": "WAIT MED IO", "NFS": "WAIT HIGH IO", "KSWAPD": "IO SWAP", "DMA": "DMA",
        },
        "2.4.0-2.4.5": {
            "BUFFER": "HIGH WAIT", "ATOMIC": "HIGH", "USER": "WAIT IO",
            "HIGHUSER": "WAIT IO HIGHMEM", "KERNEL": "HIGH WAIT IO", "NFS": "HIGH WAIT IO",
            "KSWAPD": "IO", "DMA": "DMA",
        },
        "2.4.6-2.4.9": {
            "NOIO": "HIGH WAIT", "NOFS": "HIGH WAIT IO", "ATOMIC": "HIGH",
            "USER": "WAIT IO FS", "HIGHUSER": "WAIT IO FS HIGHMEM",
            "KERNEL": "HIGH WAIT IO FS", "NFS": "HIGH WAIT IO FS", "KSWAPD": "IO FS",
            "DMA": "DMA",
        },
        "2.4.10-2.4": {
            "NOIO": "HIGH WAIT", "NOHIGHIO": "HIGH WAIT IO", "NOFS": "HIGH WAIT IO HIGHIO",
            "ATOMIC": "HIGH", "USER": "WAIT IO HIGHIO FS",
            "HIGHUSER": "WAIT IO HIGHIO FS HIGHMEM", "KERNEL": "HIGH WAIT IO HIGHIO FS",
            "NFS": "HIGH WAIT IO HIGHIO FS", "KSWAPD": "WAIT IO HIGHIO FS", "DMA": "DMA",
        },
        "2.6.0-2.6.11": _2_6,
        "2.6.32": _2_6_32_COMPOSITES,
        "3.10": _2_6_32_COMPOSITES,
        "4.19": _4_19_COMPOSITES,
        "6.18": {
            **_4_19_COMPOSITES,
            "ATOMIC": "HIGH KSWAPD_RECLAIM",
            "NOWAIT": "KSWAPD_RECLAIM NOWARN",
        },
    },
)  # fmt: skip


def flags_of(
    bits: Mapping[str, int], composites: Mapping[str, str], has_highmem: bool
) -> dict[str, int]:
    """Return every flag by its kernel name.

    2.4.0 to 2.4.5 without high memory, where HIGHMEM is 0x10, have 0 in its place.
    """
    if not bits:
        return dict(PRIORITIES_2_0)
    bits = dict(bits)
    if bits.get("HIGHMEM") == 0x10 and not has_highmem:
        bits["HIGHMEM"] = 0
    flags = {f"__GFP_{name}": bit for name, bit in bits.items()}
    if "HIGHMEM" in bits:
        flags["GFP_HIGHMEM"] = bits["HIGHMEM"]
    for name, parts in composites.items():
        flags[f"GFP_{name}"] = sum(bits[part] for part in parts.split())
    return flags


# What the core of a machine of 2.0 calculates with: its calls translate priorities to bits.
_CORE_2_0: Final = (2, 4, 5)


def core_of(bits: Mapping[str, int], composites: Mapping[str, str]) -> dict[str, int]:
    """Return the masks that the allocators themselves work with.

    WAIT: may sleep. ATOMIC: all of an atomic request. HIGH: may use the emergency reserve.
    KERNEL, KSWAPD: of kernel threads. LEVEL: what a slab cache may be asked with.
    """
    if not bits:
        bits, composites = BITS.value(_CORE_2_0), COMPOSITES.value(_CORE_2_0)
    flags = flags_of(bits, composites, True)
    named = {name: bits.get(name, 0) for name in ("HIGH", "IO", "DMA", "HIGHMEM", "DMA32")}
    zones = sum(bits.get(name, 0) for name in ("DMA", "HIGHMEM", "DMA32", "MOVABLE"))
    no_grow = bits.get("NO_GROW", 0)
    everything = 0
    for bit in bits.values():
        everything |= bit
    return {
        **named,
        "WAIT": bits.get("WAIT") or bits["DIRECT_RECLAIM"],
        "NOWARN": bits.get("NOWARN", 0),
        "ATOMIC": flags["GFP_ATOMIC"],
        "KERNEL": flags["GFP_KERNEL"],
        "KSWAPD": flags.get("GFP_KSWAPD", flags["GFP_KERNEL"]),
        "LEVEL": everything & ~(zones | no_grow),
    }


def ranges_of(name: str) -> tuple[Range, ...]:
    """Return the versions that have a flag of the kernel's name; empty: it is no flag."""
    starts = sorted({range_.first for table in (BITS, COMPOSITES) for range_, _ in table.rows})
    found: list[Range] = []
    going_on = False
    for start in starts:
        bits = BITS.at(start)
        if name not in flags_of(bits.value, COMPOSITES.value(start), True):
            going_on = False
            continue
        first = found.pop().first if going_on else start
        found.append(Range(first, bits.range.last))
        going_on = True
    if going_on:
        found.append(Range(found.pop().first))
    return tuple(found)
