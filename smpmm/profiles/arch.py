"""Architectures: word and page size, address map, zones, clock, by version.

A machine's addresses are those of the real kernel. What no kernel fixes is this model's
choice: the window of handles and kernel text, the sizes of the kernel's image, and for ia64
where in RAM the image lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from smpmm.profiles.facts import Facts
from smpmm.profiles.memory import GIB, KIB, MIB

NO_LIMIT: Final = 1 << 52


@dataclass(frozen=True)
class ZoneKind:
    """A zone that an architecture may have; it ends at `limit_bytes`, physical."""

    name: str
    limit_bytes: int


@dataclass(frozen=True)
class Arch:
    """An architecture. Addresses are virtual, but for `kernel_start`."""

    name: str
    bits: int  # of a pointer and a long
    page_shift: int
    l1_cache_bytes: int
    hz: Facts[int]
    page_offset: Facts[int]
    zones: Facts[tuple[ZoneKind, ...]]  # lowest first
    kernel_start: Facts[int]  # physical
    kernel_code_bytes: int
    kernel_data_bytes: int
    window_start: Facts[int]
    window_bytes: int
    has_bios_areas: bool  # EBDA, video memory and ROMs below 1 MiB
    pkmap_base: int = 0  # 0: there is no high memory
    nr_pkmaps: int = 0
    nr_kmap_types: int = 0
    kmap_atomic_base: int = 0

    @property
    def bytes_per_word(self) -> int:
        """Bytes of a pointer and of a long."""
        return self.bits // 8


def _kinds(*limits: tuple[str, int]) -> tuple[ZoneKind, ...]:
    return tuple(ZoneKind(name, limit) for name, limit in limits)


# 2.6.13 made the clock of PCs a choice of the build; 250 is its default.
_HZ_PC: Final = {"2.0-2.4": 100, "2.6.0-2.6.12": 1000, "2.6.13-": 250}

I386: Final = Arch(
    name="i386",
    bits=32,
    page_shift=12,
    l1_cache_bytes=32,
    hz=Facts("HZ", _HZ_PC),
    page_offset=Facts("PAGE_OFFSET", {"2.0-": 0xC0000000}),
    zones=Facts(
        "zones",
        {
            # 64 MiB of addresses are kept for vmalloc, from 2.4 on 128 MiB.
            "2.0": _kinds(("DMA", 16 * MIB), ("Normal", 960 * MIB)),
            "2.2": _kinds(("DMA", 16 * MIB), ("Normal", 960 * MIB)),
            "2.3.23-": _kinds(("DMA", 16 * MIB), ("Normal", 896 * MIB), ("HighMem", 64 * GIB)),
        },
    ),
    kernel_start=Facts("kernel image", {"2.0-": 1 * MIB}),
    kernel_code_bytes=0x12C4A8,
    kernel_data_bytes=0x58A98,
    window_start=Facts("window", {"2.0-": 0xFF000000}),
    window_bytes=8 * MIB,
    has_bios_areas=True,
    pkmap_base=0xFE000000,
    nr_pkmaps=1024,
    nr_kmap_types=6,
    kmap_atomic_base=0xFFE00000,
)

X86_64: Final = Arch(
    name="x86_64",
    bits=64,
    page_shift=12,
    l1_cache_bytes=64,
    hz=Facts("HZ", _HZ_PC),
    page_offset=Facts(
        "PAGE_OFFSET",
        {
            "2.4.20-2.6.10": 0x0000010000000000,
            "2.6.11-2.6.24": 0xFFFF810000000000,
            "2.6.27-4.19": 0xFFFF880000000000,
            "5.0-": 0xFFFF888000000000,
        },
    ),
    zones=Facts(
        "zones",
        {
            "2.4.20-2.6.14": _kinds(("DMA", 16 * MIB), ("Normal", NO_LIMIT)),
            "2.6.15-": _kinds(("DMA", 16 * MIB), ("DMA32", 4 * GIB), ("Normal", NO_LIMIT)),
        },
    ),
    kernel_start=Facts("kernel image", {"2.4.20-2.6.21": 1 * MIB, "2.6.22-": 2 * MIB}),
    kernel_code_bytes=2 * MIB + 512 * KIB,
    kernel_data_bytes=1 * MIB,
    window_start=Facts("window", {"2.4.20-": 0xFFFFFFFF80000000}),
    window_bytes=8 * MIB,
    has_bios_areas=True,
)

IA64: Final = Arch(
    name="ia64",
    bits=64,
    page_shift=14,
    l1_cache_bytes=64,
    hz=Facts("HZ", {"2.4-": 1024}),
    page_offset=Facts("PAGE_OFFSET", {"2.4-": 0xE000000000000000}),
    zones=Facts("zones", {"2.4-": _kinds(("DMA", 4 * GIB), ("Normal", NO_LIMIT))}),
    kernel_start=Facts("kernel image", {"2.4-": 4 * MIB}),
    kernel_code_bytes=4 * MIB,
    kernel_data_bytes=2 * MIB,
    window_start=Facts("window", {"2.4": 0xE002000000000000, "2.6.0-": 0xA000000100000000}),
    window_bytes=8 * MIB,
    has_bios_areas=False,
)

ARCHES: Final = MappingProxyType({arch.name: arch for arch in (I386, X86_64, IA64)})


def arch_named(name: str) -> Arch:
    """Return an architecture; ValueError names what there is."""
    if name not in ARCHES:
        raise ValueError(f"arch {name!r} is not known: there are {', '.join(ARCHES)}")
    return ARCHES[name]
