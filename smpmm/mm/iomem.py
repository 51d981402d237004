"""Memory of devices on the bus: which physical addresses beside RAM somebody answers at.

`Machine(iomem={"fb": (0xF0000000, "64K")})`, or `iomem=fb@0xf0000000+64K,…` on the command
line. RAM that `ram=` has above `mem=` is such memory too: the kernel does not manage it, and
reaches it by ioremap. Pure arithmetic: it is used to judge a configuration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cpus.errors import ConfigError

MOST_REGIONS: Final = 16
NAME_BYTES: Final = 23
PAGE_BYTES: Final = 4096
UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
ABOVE_MEM: Final = "RAM above mem"


@dataclass(frozen=True)
class IoRegion:
    """A device's memory: physical addresses [start, start + size)."""

    name: str
    start: int
    size: int


def parse_size(option: str, value: Any) -> int:
    """Return a number, or text such as 0xf0000000 or 64K, in bytes."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = re.fullmatch(r"(0x[0-9a-fA-F]+|\d+)([KMGkmg]?)", str(value).strip())
    if match is None:
        raise ConfigError(f"{option}: {value!r} is neither an address nor a size")
    return int(match[1], 0) * UNITS[match[2].upper()]


def parse(option: str, value: Any) -> tuple[IoRegion, ...]:
    """Return the regions that a keyword or the command line describes, by address."""
    if isinstance(value, Mapping):
        items = [(name, *place) for name, place in value.items()]
    else:
        items = []
        for text in str(value).split(","):
            match = re.fullmatch(r"([\w-]+)@(\w+)\+(\w+)", text.strip())
            if match is None:
                raise ConfigError(f"{option}={value!r}: write NAME@ADDRESS+SIZE,…")
            items.append(match.groups())
    regions = []
    for name, start, size in items:
        region = IoRegion(str(name), parse_size(option, start), parse_size(option, size))
        if region.size <= 0 or (region.start | region.size) % PAGE_BYTES:
            raise ConfigError(f"{option}: {name} at {start} of {size} is not whole pages")
        if len(region.name.encode()) > NAME_BYTES:
            raise ConfigError(f"{option}: {name!r} has more than {NAME_BYTES} bytes")
        regions.append(region)
    return tuple(sorted(regions, key=lambda region: region.start))


def io_regions(config: Any) -> tuple[IoRegion, ...]:
    """Return every region of a machine; ConfigError for one that lies in RAM or in another."""
    option = getattr(config, "option", lambda name, default=None: default)
    regions = tuple(option("iomem", ()) or ())
    ram = config.ram_bytes
    if (option("ram") or 0) > ram:
        regions = (IoRegion(ABOVE_MEM, ram, option("ram") - ram), *regions)
    if len(regions) > MOST_REGIONS:
        raise ConfigError(f"iomem: {len(regions)} regions, at most {MOST_REGIONS}")
    end = ram
    for region in regions:
        if region.start < end:
            raise ConfigError(
                f"iomem: {region.name} at {region.start:#x} lies in what ends at {end:#x}"
            )
        end = region.start + region.size
    return regions
