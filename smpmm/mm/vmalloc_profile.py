"""What a kernel version decides about vmalloc, ioremap and page tables, as data.

Models mm/vmalloc.c, asm/pgtable.h and arch/*/mm/ioremap.c. Pure arithmetic: the borders of the
vmalloc space can be computed without a machine. What is not known for a version is taken from
the nearest earlier one, else from the nearest later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from smpmm.profiles.version import point

MIB: Final = 1 << 20
VMALLOC_OFFSET: Final = 8 * MIB
# Video memory and ROMs: ioremap returns their direct addresses.
ISA_START: Final = 0xA0000
ISA_END: Final = 0x100000

# How VMALLOC_START follows from high_memory.
BELOW: Final = "below"  # 8 MiB above, rounded down to 8 MiB
ABOVE: Final = "above"  # 16 MiB above, rounded down to 8 MiB: a hole of 8 to 16 MiB
BEHIND: Final = "behind"  # 8 MiB above
FIXED: Final = "fixed"


@dataclass(frozen=True)
class TableFormat:
    """Page tables of an architecture: entries are a physical address and flag bits."""

    levels: tuple[tuple[int, int], ...]  # from the top: (lowest address bit, number of bits)
    entry_bytes: int
    frame_mask: int  # of an entry: the physical address
    present: int
    table_flags: int  # of an entry that leads to a table
    page_flags: int  # of a kernel page (PAGE_KERNEL)
    io_flags: int  # of a page of a device
    io_mark: int  # a bit that the hardware leaves to software: the page is a device's


TABLES_I386: Final = TableFormat(
    levels=((22, 10), (12, 10)),
    entry_bytes=4,
    frame_mask=0xFFFFF000,
    present=0x001,
    table_flags=0x063,
    page_flags=0x163,
    io_flags=0x073,
    io_mark=0x200,
)
TABLES_IA64: Final = TableFormat(
    levels=((36, 11), (25, 11), (14, 11)),
    entry_bytes=8,
    frame_mask=0x3FFFFFFFFC000,
    present=0x1,
    table_flags=0x0,
    page_flags=0x661,
    io_flags=0x671,
    io_mark=1 << 53,
)
TABLES_X86_64: Final = TableFormat(
    levels=((39, 9), (30, 9), (21, 9), (12, 9)),
    entry_bytes=8,
    frame_mask=0xFFFFFFFFFF000,
    present=0x001,
    table_flags=0x063,
    page_flags=0x8000000000000163,
    io_flags=0x8000000000000173,
    io_mark=0x200,
)
TABLES: Final = MappingProxyType(
    {"i386": TABLES_I386, "ia64": TABLES_IA64, "x86_64": TABLES_X86_64}
)


@dataclass(frozen=True)
class VmallocProfile:
    """A version's vmalloc on an architecture. Sizes in bytes."""

    tables: TableFormat
    start_rule: str  # BELOW … FIXED
    start: int = 0  # of a FIXED space
    end: int = 0  # exclusive; 0: two pages below the first window above
    gfp: tuple[str, ...] = ("GFP_KERNEL", "__GFP_HIGHMEM")  # of the pages
    exact_fit: bool = False  # a gap of just the size is taken
    bad_size_is_bug: bool = False  # of 0 or more than all RAM; else NULL
    no_space_text: str = ""  # what is logged when the address space is used up
    sizeof_vm_struct: int = 16
    ioremap: bool = True  # else vremap
    ioremap_loses_page: bool = False  # whose first byte is the request's last
    ioremap_aligns: bool = False  # to a power of two, at most 128 pages

    def bounds(
        self, high_memory: int, window: int, page_bytes: int, word_bits: int = 32
    ) -> tuple[int, int]:
        """Return VMALLOC_START and VMALLOC_END of a machine.

        `window`: what lies above the space on i386, kmap's or, without it, this model's own,
        which stands where the fixed mappings of 2.0 and 2.2 are.
        """
        if self.start_rule == FIXED:
            return self.start, self.end
        end = self.end or window - 2 * page_bytes
        start = high_memory + VMALLOC_OFFSET
        if self.start_rule == ABOVE:
            start = high_memory + 2 * VMALLOC_OFFSET - 1
        if self.start_rule != BEHIND:
            start -= start % VMALLOC_OFFSET
        return start & ((1 << word_bits) - 1), end


NO_SPACE_2_6: Final = (
    "allocation failed: out of vmalloc space - use vmalloc=<size> to increase size."
)
_2_0 = VmallocProfile(
    TABLES_I386, BELOW, gfp=("GFP_KERNEL",), ioremap=False, sizeof_vm_struct=16
)
_2_2 = replace(_2_0, ioremap=True, ioremap_loses_page=True)
# VMALLOC_END of 2.4.0 is FIXADDR_START, above the window of kmap; here the window is free of
# areas, as in the later 2.4.
_2_4_0 = VmallocProfile(TABLES_I386, ABOVE, bad_size_is_bug=True, ioremap_loses_page=True)
_2_4_22 = replace(_2_4_0, exact_fit=True, bad_size_is_bug=False)
_2_4_24 = replace(_2_4_22, ioremap_loses_page=False)
_2_6_0 = replace(_2_4_24, no_space_text=NO_SPACE_2_6, ioremap_aligns=True, sizeof_vm_struct=28)
_4_19 = replace(_2_6_0, start_rule=BEHIND)

IA64_BASE: Final = 0xA000000000000000
IA64_PAGE: Final = 1 << 14
IA64_END: Final = IA64_BASE + (1 << (4 * 14 - 9))


def _ia64(profile: VmallocProfile, start: int) -> VmallocProfile:
    return replace(
        profile,
        tables=TABLES_IA64,
        start_rule=FIXED,
        start=start,
        end=IA64_END,
        gfp=("GFP_KERNEL",),
        sizeof_vm_struct=2 * profile.sizeof_vm_struct,
    )


def _x86_64(profile: VmallocProfile, start: int, end: int) -> VmallocProfile:
    return replace(
        profile,
        tables=TABLES_X86_64,
        start_rule=FIXED,
        start=start,
        end=end,
        gfp=("GFP_KERNEL",),
        sizeof_vm_struct=2 * profile.sizeof_vm_struct,
    )


# Per architecture: the first version of each change, ascending.
PROFILES: Final[Mapping[str, tuple[tuple[tuple[int, ...], VmallocProfile], ...]]] = (
    MappingProxyType(
        {
            "i386": (
                ((2, 0), _2_0),
                ((2, 2), _2_2),
                ((2, 4), _2_4_0),
                ((2, 4, 22), _2_4_22),
                ((2, 4, 24), _2_4_24),
                ((2, 6), _2_6_0),
                ((4, 19), _4_19),
            ),
            "ia64": (
                ((2, 4), _ia64(_2_4_0, IA64_BASE + 3 * IA64_PAGE)),
                ((2, 4, 22), _ia64(_2_4_22, IA64_BASE + 3 * IA64_PAGE)),
                ((2, 4, 24), _ia64(_2_4_24, IA64_BASE + 3 * IA64_PAGE)),
                ((2, 6), _ia64(_2_6_0, IA64_BASE + 0x200000000)),
            ),
            "x86_64": (
                ((2, 4), _x86_64(_2_4_0, 0xFFFFFF0000000000, 0xFFFFFF7FFFFFF000)),
                ((2, 4, 22), _x86_64(_2_4_22, 0xFFFFFF0000000000, 0xFFFFFF7FFFFFF000)),
                ((2, 4, 24), _x86_64(_2_4_24, 0xFFFFFF0000000000, 0xFFFFFF7FFFFFF000)),
                ((2, 6), _x86_64(_2_6_0, 0xFFFFC20000000000, 0xFFFFE1FFFFFFF000)),
                ((4, 19), _x86_64(_4_19, 0xFFFFC90000000000, 0xFFFFE8FFFFFFF000)),
            ),
        }
    )
)


def vmalloc_profile_of(version: str, arch: str) -> VmallocProfile:
    """Return what a version has on an architecture; ValueError for an unknown one."""
    if arch not in PROFILES:
        raise ValueError(f"no vmalloc profile for {arch!r}: there is {', '.join(PROFILES)}")
    number = point(version)
    found = PROFILES[arch][0][1]
    for since, profile in PROFILES[arch]:
        if since <= number:
            found = profile
    return found


def vmalloc_profile(config: Any) -> VmallocProfile:
    """Return the profile of a configuration; 2.4.5 on i386 unless it says more."""
    profile = getattr(config, "profile", None)
    if profile is not None:
        return vmalloc_profile_of(profile.version, profile.arch)
    return vmalloc_profile_of(
        getattr(config, "kernel", "2.4.5"), getattr(config, "arch", "i386")
    )
