"""The physical memory map at boot: zones, what is reserved, where mem_map lies.

Models setup_arch and free_area_init of 2.4 on i386: page 0, the BIOS areas and the kernel
image are never handed out; mem_map is taken from bootmem, so it lies above the DMA zone
where it fits. Pure arithmetic: it is used to judge a configuration before any process starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cpus.errors import ConfigError
from smpmm.mm import setup_arch
from smpmm.mm.bootmem import BootmemFull
from smpmm.mm.setup_arch import BIOS_END, EBDA_START, HIGHMEM
from smpmm.profile import MemoryProfile, profile_for

# The legacy areas of a PC, physical, end exclusive.
VIDEO_RAM: Final = (0xA0000, 0xC0000)
VIDEO_ROM: Final = (0xC0000, 0xC8000)
SYSTEM_ROM: Final = (0xF0000, 0x100000)


@dataclass(frozen=True)
class ZoneSpan:
    """A zone's page frames, end exclusive; empty when the machine has none of it."""

    name: str
    start_pfn: int
    end_pfn: int


@dataclass(frozen=True)
class Resource:
    """A line of /proc/iomem: physical bytes, end exclusive."""

    start: int
    end: int
    name: str
    level: int = 0


@dataclass(frozen=True)
class MemoryMap:
    """All that boot decides about RAM. Byte addresses are physical."""

    nr_pages: int
    max_low_pfn: int  # frames below are direct-mapped
    zones: tuple[ZoneSpan, ...]
    mem_map_start: int
    mem_map_bytes: int
    reserved: tuple[tuple[int, int], ...]  # page frames, end exclusive, ascending
    resources: tuple[Resource, ...]


def memory_profile(config: object) -> MemoryProfile:
    """Return the memory profile of a configuration; 2.4 on i386 unless it says more."""
    profile = getattr(config, "profile", None)
    if profile is None:
        profile = profile_for(
            getattr(config, "kernel", "2.4"), getattr(config, "arch", "i386")
        )
    return profile.memory


def memory_map_of(config: Any) -> MemoryMap:
    """Lay out the machine of a configuration: its `zones`, else zones for its `ram_bytes`."""
    profile = memory_profile(config)
    zones = getattr(config, "zones", None)
    if not zones:
        zones = default_zones(profile, config.ram_bytes)
    return memory_map(profile, zones)


def default_zones(
    profile: MemoryProfile, ram_bytes: int, highmem_bytes: int | None = None
) -> dict[str, int]:
    """Divide RAM into zones; high memory is, unless given, what cannot be direct-mapped."""
    has_highmem = profile.zone_names[-1] == HIGHMEM
    if highmem_bytes is None:
        highmem_bytes = max(0, ram_bytes - profile.max_lowmem_bytes) if has_highmem else 0
    if highmem_bytes and not has_highmem:
        raise ConfigError(f"highmem={highmem_bytes}: this kernel has no high memory")
    left = ram_bytes - highmem_bytes
    start = 0
    sizes = {}
    for name, limit in zip(profile.zone_names, profile.zone_limits, strict=True):
        sizes[name] = highmem_bytes if name == HIGHMEM else min(left, limit - start)
        if name != HIGHMEM:
            left -= sizes[name]
            start = limit
    if left:
        raise ConfigError(
            f"mem={ram_bytes}: at most {profile.max_lowmem_bytes} bytes are direct-mapped"
            + (", the rest must be HighMem" if has_highmem else " by this kernel")
        )
    return sizes


def memory_map(profile: MemoryProfile, zones: Mapping[str, int]) -> MemoryMap:
    """Lay out a machine with `zones` (name → bytes). ConfigError says what does not fit."""
    spans = zone_spans(profile, zones)
    nr_pages = spans[-1].end_pfn
    max_low_pfn = setup_arch.low_end(spans)
    setup = set_up(profile, spans)
    mem_map = setup.use("mem_map")
    return MemoryMap(
        nr_pages=nr_pages,
        max_low_pfn=max_low_pfn,
        zones=spans,
        mem_map_start=mem_map.start,
        mem_map_bytes=mem_map.size,
        reserved=setup.free_all(),
        resources=resources(profile, nr_pages),
    )


def set_up(profile: MemoryProfile, spans: tuple[ZoneSpan, ...]) -> setup_arch.Setup:
    """Take what the kernel itself needs from bootmem; ConfigError when that has no room."""
    kernel_end = profile.kernel_start + profile.kernel_code_bytes + profile.kernel_data_bytes
    lowmem_bytes = setup_arch.low_end(spans) << profile.page_shift
    if lowmem_bytes <= kernel_end + lowmem_bytes // (8 << profile.page_shift):
        raise ConfigError(
            f"low memory has {lowmem_bytes} bytes: the kernel, which ends at {kernel_end:#x}, "
            "and the bitmap of bootmem do not fit"
        )
    mem_map_bytes = spans[-1].end_pfn * profile.sizeof_struct_page
    try:
        return setup_arch.Setup(profile, spans, kernel_end)
    except BootmemFull as error:
        raise ConfigError(
            f"low memory has {lowmem_bytes} bytes: mem_map ({mem_map_bytes} bytes) and the "
            f"kernel's other tables do not fit: {error}"
        ) from None


def zone_spans(profile: MemoryProfile, zones: Mapping[str, int]) -> tuple[ZoneSpan, ...]:
    """Stack the zones in address order; ConfigError for an impossible layout."""
    page_size = 1 << profile.page_shift
    unknown = set(zones) - set(profile.zone_names)
    if unknown:
        raise ConfigError(
            f"zones: no zone {sorted(unknown)[0]!r}; there are {', '.join(profile.zone_names)}"
        )
    spans = []
    pfn = 0
    for name in profile.zone_names:
        size = zones.get(name, 0)
        if size < 0 or size % page_size:
            raise ConfigError(f"zones: {name} has {size} bytes, not a multiple of {page_size}")
        spans.append(ZoneSpan(name, pfn, pfn + (size >> profile.page_shift)))
        pfn = spans[-1].end_pfn
    if spans[0].end_pfn == 0:
        raise ConfigError(
            f"zones: there is no {spans[0].name} zone; physical memory starts with it"
        )
    for index, (span, limit) in enumerate(zip(spans, profile.zone_limits, strict=True)):
        check_limit(profile, spans[: index + 1], span.end_pfn << profile.page_shift, limit)
    return tuple(spans)


def check_limit(profile: MemoryProfile, spans: list[ZoneSpan], end: int, limit: int) -> None:
    """Raise a ConfigError when the zones so far end above what the last may reach."""
    if end <= limit or spans[-1].start_pfn == spans[-1].end_pfn:
        return
    names = [span.name for span in spans]
    text = f"zones: {' and '.join(names)} has {end} bytes, at most {limit}"
    if len(spans) > 1:
        text = f"zones: {' and '.join(names)} have {end} bytes, at most {limit}"
    if limit == profile.max_lowmem_bytes:
        text += " are direct-mapped"
        if profile.zone_names[-1] == HIGHMEM:
            text += "; the rest must be HighMem"
    raise ConfigError(text)


def resources(profile: MemoryProfile, nr_pages: int) -> tuple[Resource, ...]:
    """Return the standard resources in address order, as 2.4 on i386 names them."""
    code_end = profile.kernel_start + profile.kernel_code_bytes
    ram_end = nr_pages << profile.page_shift
    image = (
        Resource(profile.kernel_start, code_end, "Kernel code", 1),
        Resource(code_end, code_end + profile.kernel_data_bytes, "Kernel data", 1),
    )
    if not profile.has_bios_areas:
        return (Resource(0, ram_end, "System RAM"), *image)
    return (
        Resource(0, EBDA_START, "System RAM"),
        Resource(EBDA_START, VIDEO_RAM[0], "reserved"),
        Resource(*VIDEO_RAM, "Video RAM area"),
        Resource(*VIDEO_ROM, "Video ROM"),
        Resource(*SYSTEM_ROM, "System ROM"),
        Resource(BIOS_END, ram_end, "System RAM"),
        *image,
    )


def e820(memory: MemoryMap) -> list[tuple[int, int, str]]:
    """Return the BIOS's map of physical memory: start, end (exclusive), what it is."""
    names = {"System RAM": "usable", "reserved": "reserved", "System ROM": "reserved"}
    return [
        (resource.start, resource.end, names[resource.name])
        for resource in memory.resources
        if resource.name in names
    ]
