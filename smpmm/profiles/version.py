"""Kernel versions: numbers that compare, the points that short names stand for, and ranges.

A version is a tuple: (2, 4, 5). A machine runs one version, a point; "2.4" is 2.4.5, the
book's. A range has both ends inclusive, and an end without its last number is a whole series:
"2.4.10-2.4" goes from 2.4.10 to the last 2.4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

Version = tuple[int, ...]

# What a short name stands for.
POINTS: Final = MappingProxyType(
    {"2.0": "2.0.40", "2.2": "2.2.18", "2.4": "2.4.5", "2.6": "2.6.11", "modern": "6.1"}
)
FIRST: Final = (2, 0)
END: Final = (7,)  # later ones are not known at all
# Up to here a version has three numbers, behind it two name one.
LAST_OF_THREE: Final = (2, 6)


def parse(text: str) -> Version:
    """Return the version that a number says; ValueError for what is none."""
    if not re.fullmatch(r"\d{1,3}(\.\d{1,3}){1,3}", text):
        raise ValueError(f"{text!r} is no kernel version")
    return tuple(int(part) for part in text.split("."))


def text_of(version: Version) -> str:
    """Return a version as it is written."""
    return ".".join(str(part) for part in version)


def point(text: str) -> Version:
    """Return the version of a machine: a short name or a full number.

    ValueError says what can be written.
    """
    try:
        version = parse(POINTS.get(text, text))
    except ValueError:
        version = ()
    whole = version > LAST_OF_THREE[:1] and (
        len(version) >= 3 or version > (*LAST_OF_THREE, 0)
    )
    if not whole or not FIRST <= version < END:
        raise ValueError(
            f"kernel {text!r} is not known: there are {', '.join(POINTS)}, "
            f"and full numbers from 2.0.0 to {END[0] - 1}.x"
        )
    return version


@dataclass(frozen=True)
class Range:
    """Versions from `first` to `last`, both included; `last` empty: no end."""

    first: Version
    last: Version = ()

    def __contains__(self, version: Version) -> bool:
        return version >= self.first and not self.ends_before(version)

    def ends_before(self, version: Version) -> bool:
        """Whether all of it is earlier than `version`."""
        return bool(self.last) and version[: len(self.last)] > self.last

    def __str__(self) -> str:
        if not self.last:
            return f"{text_of(self.first)}-"
        if self.first == self.last:
            return text_of(self.first)
        return f"{text_of(self.first)}-{text_of(self.last)}"


def range_of(text: str) -> Range:
    """Return the range that a text says: "2.2", "2.4.0-2.4.5", "2.6.9-"."""
    first, dash, last = text.partition("-")
    if not dash:
        return Range(parse(first), parse(first))
    return Range(parse(first), parse(last) if last else ())


def KERNEL_VERSION(version: int, patchlevel: int, sublevel: int) -> int:
    """Return a version as one number that compares with LINUX_VERSION_CODE. Any context."""
    return (version << 16) + (patchlevel << 8) + sublevel
