"""Profiles: what a kernel version on an architecture decides, as data.

A profile is a point, not a family (2.4 is 2.4.5). Each figure stands in the project's fact
sheet of the real kernels; what is a choice of this model says so. The tables are in
`smpmm.profiles`; this module reads them for one point and keeps what had to be borrowed from
another version.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from smpmm.profiles import gfp, memory, watermarks
from smpmm.profiles.arch import Arch, arch_named
from smpmm.profiles.built import borrowed_parts
from smpmm.profiles.facts import Borrowed, Reader
from smpmm.profiles.memory import KIB, MIB, MemoryProfile
from smpmm.profiles.version import Version, point, text_of

__all__ = ["GFP_2_4_0", "KIB", "MIB", "MemoryProfile", "Profile", "profile_for"]


@dataclass(frozen=True)
class Profile:
    """A kernel version on an architecture."""

    version: str
    arch: str
    hz: int
    memory: MemoryProfile
    number: Version
    arch_profile: Arch
    borrowed: tuple[Borrowed, ...] = ()  # what is another version's, facts and parts


@lru_cache(maxsize=64)
def profile_for(version: str, arch: str) -> Profile:
    """Return the profile of a kernel version; ValueError names what there is."""
    number = point(version)
    machine = arch_named(arch)
    reader = Reader(number)
    figures = _memory(reader, machine)
    hz = reader.read(machine.hz)
    return Profile(
        version=text_of(number),
        arch=arch,
        hz=hz,
        memory=figures,
        number=number,
        arch_profile=machine,
        borrowed=(*reader.borrowed, *borrowed_parts(number, arch)),
    )


def _memory(reader: Reader, arch: Arch) -> MemoryProfile:
    """Read the tables of physical memory."""
    zones = reader.read(arch.zones)
    has_highmem = zones[-1].name == "HighMem"
    lowmem = [zone for zone in zones if zone.name != "HighMem"]
    bits, composites = reader.read(gfp.BITS), reader.read(gfp.COMPOSITES)
    rule = reader.read(watermarks.WATERMARKS)
    sizes = reader.read(memory.SIZEOF_PAGE)
    nr_orders = reader.read(memory.NR_ORDERS)
    slow_path = reader.read(memory.SLOW_PATH)
    margin, orders = memory.SHORT_WAY[slow_path]
    return MemoryProfile(
        page_shift=arch.page_shift,
        nr_orders=nr_orders,
        gfp=MappingProxyType(gfp.flags_of(bits, composites, has_highmem)),
        core=MappingProxyType(gfp.core_of(bits, composites)),
        zone_names=tuple(zone.name for zone in zones),
        zone_limits=tuple(zone.limit_bytes for zone in zones),
        zone_balance_ratio=rule.ratio,
        zone_balance_min_pages=rule.least,
        zone_balance_max_pages=rule.most,
        atomic_divisor=4,
        sizeof_struct_page=sizes[0] if arch.bits == 32 else sizes[1],
        page_offset=reader.read(arch.page_offset),
        max_dma_bytes=zones[0].limit_bytes,
        max_lowmem_bytes=lowmem[-1].limit_bytes,
        kernel_start=reader.read(arch.kernel_start),
        kernel_code_bytes=arch.kernel_code_bytes,
        kernel_data_bytes=arch.kernel_data_bytes,
        has_bios_areas=arch.has_bios_areas,
        window_start=reader.read(arch.window_start),
        window_bytes=arch.window_bytes,
        pkmap_base=arch.pkmap_base if has_highmem else 0,
        nr_pkmaps=arch.nr_pkmaps if has_highmem else 0,
        nr_kmap_types=arch.nr_kmap_types,
        kmap_atomic_base=arch.kmap_atomic_base,
        watermarks=rule,
        reserve=reader.read(watermarks.RESERVES),
        slow_path=slow_path,
        fast_margin=margin,
        fast_orders=min(orders, nr_orders),
        upper_half=reader.read(memory.UPPER_HALF),
        has_bitmaps=reader.read(memory.HAS_BITMAPS),
        smp_cache_bytes=arch.l1_cache_bytes,
    )


# 2.4.0 to 2.4.5 with high memory.
GFP_2_4_0: Final = profile_for("2.4", "i386").memory.gfp
