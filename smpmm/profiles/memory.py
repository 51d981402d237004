"""The page allocator's figures by version: orders, zones, what a split hands out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from smpmm.profiles.facts import Facts
from smpmm.profiles.watermarks import Reserve, Rule

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

# Blocks have 2**0 … 2**(nr - 1) pages.
NR_ORDERS: Final = Facts(
    "orders", {"2.0": 6, "2.2": 10, "2.3-2.4": 10, "2.5.40-6.3": 11, "6.4-": 11}
)
# A split keeps the lower half and hands out the upper one. 2.2 is not known: as 2.0 and 2.4.
UPPER_HALF: Final = Facts("split", {"2.0": True, "2.1-2.4": True, "2.6.0-": False})
# A bit for each pair of buddies; later the struct page of a free block has its order.
HAS_BITMAPS: Final = Facts("buddy bitmaps", {"2.0-2.6.10": True, "2.6.11-": False})
# Who finds a page when memory is short, and in which order: the policies that are built.
SLOW_PATH: Final = Facts("slow path", {"2.4.0-2.4.9": "2.4.5"})
# The short way to a page: free pages of the first zone above its low mark with which the
# version's own test is passed for certain, and the number of orders for which that holds.
SHORT_WAY: Final = MappingProxyType(
    {
        "2.4.5": (0, 16),  # free >= low, whatever the order
    }
)
# Bytes of a struct page, which mem_map costs the real kernel per page; 32-bit and 64-bit.
# Counted from its fields; for a build for SMP with high memory.
SIZEOF_PAGE: Final = Facts(
    "struct page",
    {
        "2.0": (52, 104),
        "2.2": (40, 80),
        "2.4.0-2.4.17": (68, 128),
        "2.4.18-2.4": (48, 96),
        "2.6.0-2.6.32": (32, 56),
        "2.6.33-": (32, 64),
    },
)


@dataclass(frozen=True)
class MemoryProfile:
    """Physical memory: sizes in bytes, page counts where the name says so."""

    page_shift: int
    nr_orders: int  # blocks have 2**0 … 2**(nr_orders - 1) pages
    gfp: Mapping[str, int]  # names as the kernel's → value
    core: Mapping[str, int]  # masks that the allocators work with: gfp.core_of()
    zone_names: tuple[str, ...]  # lowest first; HighMem, if there is one, is the last
    zone_limits: tuple[int, ...]  # physical address at which each zone ends, at most
    # of the watermark rules that have them: pages_min = present / ratio within [least, most]
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
    has_bios_areas: bool  # EBDA, video memory and ROMs below 1 MiB
    window_start: int  # handles and kernel text: this model's own
    window_bytes: int
    pkmap_base: int
    nr_pkmaps: int  # LAST_PKMAP: kmap entries of one page each
    nr_kmap_types: int  # atomic kmap slots of each CPU
    kmap_atomic_base: int
    # policy
    watermarks: Rule
    reserve: Reserve
    slow_path: str  # the version whose order of actions it is
    fast_margin: int  # free pages above low with which a request need not look any further
    fast_orders: int  # orders below this one may go the short way
    upper_half: bool  # what a split hands out
    has_bitmaps: bool  # of buddies, beside mem_map
    smp_cache_bytes: int  # SMP_CACHE_BYTES
