"""Which versions each part of this program is true for, and which one it takes in their place.

A machine of a version that a part does not know runs that part with another version's rules.
That is said in the boot log and in `Profile.borrowed`, from this table alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from smpmm.profiles.facts import Borrowed
from smpmm.profiles.version import Version, range_of


@dataclass(frozen=True)
class Part:
    """A part of the machine: the versions and architectures that it is true for."""

    name: str
    ranges: tuple[str, ...]
    instead: str  # the version whose rules all others get
    arches: tuple[str, ...] = ("i386", "x86_64", "ia64")


PARTS: Final = (
    Part("slab allocator", ("2.4.0-2.4.9",), "2.4.5"),
    Part("bootmem", ("2.3.23-",), "2.4.5"),
    # Not the lazy purge of later versions.
    Part("vmalloc", ("2.0.0-2.6.27",), "2.6.11"),
    Part("reclaim", ("2.4.0-2.4.9",), "2.4.5"),
)


def borrowed_parts(version: Version, arch: str) -> tuple[Borrowed, ...]:
    """Return the parts that run with another version's rules."""
    return tuple(
        Borrowed(part.name, part.instead)
        for part in PARTS
        if not any(version in range_of(text) for text in part.ranges)
    )
