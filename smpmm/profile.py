"""Profiles: what a kernel version on an architecture decides, as data.

A profile is a point, not a family (2.4 is 2.4.5). Each figure stands in the project's fact
sheet of the real kernels; what is a choice of this model says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB


@dataclass(frozen=True)
class MemoryProfile:
    """Physical memory: sizes in bytes, page counts where the name says so."""

    page_shift: int
    nr_orders: int  # blocks have 2**0 … 2**(nr_orders - 1) pages
    gfp: Mapping[str, int]  # names without leading underscores → value
    zone_names: tuple[str, ...]
    # watermarks: pages_min = present / ratio within [least, most]; low is 2, high 3 times that
    zone_balance_ratio: tuple[int, ...]
    zone_balance_min_pages: int
    zone_balance_max_pages: int
    atomic_divisor: int  # the last phase goes down to pages_min / this
    sizeof_struct_page: int  # what mem_map costs the real kernel per page
    # address map
    page_offset: int
    max_dma_bytes: int  # end of the DMA zone
    max_lowmem_bytes: int  # direct-mapped memory, at most
    kernel_start: int  # physical; code, then data
    kernel_code_bytes: int
    kernel_data_bytes: int  # the image's sizes are this model's choice
    window_start: int  # handles and kernel text: this model's own
    window_bytes: int
    pkmap_base: int
    nr_pkmaps: int  # LAST_PKMAP: kmap entries of one page each
    nr_kmap_types: int  # atomic kmap slots of each CPU
    kmap_atomic_base: int
    smp_cache_bytes: int  # SMP_CACHE_BYTES


@dataclass(frozen=True)
class Profile:
    """A kernel version on an architecture."""

    version: str
    arch: str
    hz: int
    memory: MemoryProfile


# 2.4.0 to 2.4.5. The names without "__" are the composites that a driver writes.
GFP_2_4_0: Final = MappingProxyType(
    {
        "__GFP_WAIT": 0x01,
        "__GFP_HIGH": 0x02,
        "__GFP_IO": 0x04,
        "__GFP_DMA": 0x08,
        "__GFP_HIGHMEM": 0x10,
        "GFP_BUFFER": 0x03,
        "GFP_ATOMIC": 0x02,
        "GFP_USER": 0x05,
        "GFP_HIGHUSER": 0x15,
        "GFP_KERNEL": 0x07,
        "GFP_NFS": 0x07,
        "GFP_KSWAPD": 0x04,
        "GFP_DMA": 0x08,
        "GFP_HIGHMEM": 0x10,
    }
)

MEMORY_2_4_5_I386: Final = MemoryProfile(
    page_shift=12,
    nr_orders=10,
    gfp=GFP_2_4_0,
    zone_names=("DMA", "Normal", "HighMem"),
    zone_balance_ratio=(32, 128, 128),
    zone_balance_min_pages=10,
    zone_balance_max_pages=255,
    atomic_divisor=4,
    sizeof_struct_page=68,
    page_offset=0xC0000000,
    max_dma_bytes=16 * MIB,
    max_lowmem_bytes=896 * MIB,
    kernel_start=1 * MIB,
    kernel_code_bytes=0x12C4A8,
    kernel_data_bytes=0x58A98,
    window_start=0xFF000000,
    window_bytes=8 * MIB,
    pkmap_base=0xFE000000,
    nr_pkmaps=1024,
    nr_kmap_types=6,
    kmap_atomic_base=0xFFE00000,
    smp_cache_bytes=32,
)

PROFILES: Final = MappingProxyType(
    {("2.4.5", "i386"): Profile("2.4.5", "i386", hz=100, memory=MEMORY_2_4_5_I386)}
)
# A short version is a point.
POINTS: Final = MappingProxyType({"2.4": "2.4.5"})


def profile_for(version: str, arch: str) -> Profile:
    """Return the profile of a kernel version; ValueError names what there is."""
    profile = PROFILES.get((POINTS.get(version, version), arch))
    if profile is None:
        known = ", ".join(f"{v} on {a}" for v, a in PROFILES)
        raise ValueError(f"kernel {version!r} on {arch!r} is not known: there is {known}")
    return profile
