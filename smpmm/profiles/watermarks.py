"""Watermarks and reserves of the zones, by version: what must stay free, and for whom.

Formulas only, in pages: a zone's min, low and high mark, and what a lower zone keeps back from
requests that would rather have a higher one. Who may go below the marks is the rule's
(`Reserve`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from types import MappingProxyType
from typing import Final

from smpmm.profiles.facts import Facts


@dataclass(frozen=True)
class Zone:
    """What a formula needs to know of a zone."""

    pages: int  # that it spans
    managed: int  # of them, those that are not reserved
    is_highmem: bool = False


@dataclass(frozen=True)
class Marks:
    """The marks of a zone, in pages.

    `reserve[j]` is added to a mark when the request's first choice is zone j.
    """

    min: int
    low: int
    high: int
    reserve: tuple[int, ...] = ()


@dataclass(frozen=True)
class Rule:
    """A version's formula."""

    kind: str  # a function of KINDS
    ratio: tuple[int, ...] = ()  # of zone i; the last one holds for all that follow
    least: int = 0
    most: int = 0
    lower_zone_ratio: tuple[int, ...] = ()  # what zone i keeps of the zones above it
    low_quarters: int = 0  # low and high mark in quarters of min
    high_quarters: int = 0

    def marks(self, zones: list[Zone], page_shift: int) -> list[Marks]:
        """Return the marks of each zone; lowest zone first."""
        base = KINDS[self.kind](self, zones, page_shift)
        return [
            Marks(mark.min, mark.low, mark.high, self._reserve(zones, index))
            for index, mark in enumerate(base)
        ]

    def _reserve(self, zones: list[Zone], index: int) -> tuple[int, ...]:
        """What zone `index` keeps back from requests for each zone."""
        if not self.lower_zone_ratio:
            return (0,) * len(zones)
        ratio = self.lower_zone_ratio[min(index, len(self.lower_zone_ratio) - 1)]
        return tuple(
            sum(zone.pages for zone in zones[index + 1 : wanted + 1]) // ratio
            for wanted in range(len(zones))
        )


def _whole_2_0(rule: Rule, zones: list[Zone], page_shift: int) -> list[Marks]:
    """2.0: marks of the whole memory; at least 48 pages."""
    mark = max(sum(zone.pages for zone in zones) // 128, 24) + 24
    return [Marks(mark, mark + mark // 2, 2 * mark)] * len(zones)


def _whole_2_2(rule: Rule, zones: list[Zone], page_shift: int) -> list[Marks]:
    """2.2: marks of the whole memory (/proc/sys/vm/freepages)."""
    mark = min(max(sum(zone.pages for zone in zones) // 128, 10), 256)
    return [Marks(mark, 2 * mark, 3 * mark)] * len(zones)


def _balance(rule: Rule, zones: list[Zone], page_shift: int) -> list[Marks]:
    """2.4: each zone's size by its ratio, within bounds."""
    marks = []
    for index, zone in enumerate(zones):
        ratio = rule.ratio[min(index, len(rule.ratio) - 1)]
        mark = min(max(zone.pages // ratio, rule.least), rule.most)
        marks.append(Marks(mark, 2 * mark, 3 * mark))
    return marks


def min_free_kbytes(zones: list[Zone], page_shift: int) -> int:
    """2.6: what all zones of low memory together keep free, in KiB."""
    lowmem = sum(zone.pages for zone in zones if not zone.is_highmem) << (page_shift - 10)
    return min(max(isqrt(lowmem * 16), 128), 65536)


def _shares(zones: list[Zone], page_shift: int) -> list[int]:
    """2.6: the min mark of each zone: its share, a fixed part of high memory."""
    pages = min_free_kbytes(zones, page_shift) >> (page_shift - 10)
    lowmem = sum(zone.pages for zone in zones if not zone.is_highmem)
    return [
        min(max(zone.pages // 1024, 32), 128)
        if zone.is_highmem
        else pages * zone.pages // max(lowmem, 1)
        for zone in zones
    ]


def _quarters(rule: Rule, zones: list[Zone], page_shift: int) -> list[Marks]:
    """2.6: low and high mark are so many quarters of min."""
    return [
        Marks(mark, mark * rule.low_quarters // 4, mark * rule.high_quarters // 4)
        for mark in _shares(zones, page_shift)
    ]


WATERMARK_SCALE_FACTOR: Final = 10  # of 10000: the distance of two marks, at least


def _scaled(rule: Rule, zones: list[Zone], page_shift: int) -> list[Marks]:
    """4.19: the marks are further apart in a big zone."""
    marks = []
    for mark, zone in zip(_shares(zones, page_shift), zones, strict=True):
        gap = max(mark // 4, zone.managed * WATERMARK_SCALE_FACTOR // 10000)
        marks.append(Marks(mark, mark + gap, mark + 2 * gap))
    return marks


KINDS: Final = MappingProxyType(
    {
        "whole 2.0": _whole_2_0,
        "whole 2.2": _whole_2_2,
        "balance": _balance,
        "quarters": _quarters,
        "scaled": _scaled,
    }
)

WATERMARKS: Final = Facts(
    "watermarks",
    {
        "2.0": Rule("whole 2.0"),
        "2.2": Rule("whole 2.2"),
        "2.4.0-2.4.5": Rule("balance", ratio=(32, 128, 128), least=10, most=255),
        "2.4.18-2.4.22": Rule("balance", ratio=(128,), least=20, most=255),
        "2.4.23-2.4": Rule(
            "balance", ratio=(128,), least=20, most=255, lower_zone_ratio=(256, 32)
        ),
        "2.6.0": Rule("quarters", low_quarters=8, high_quarters=12),
        "2.6.11": Rule(
            "quarters", low_quarters=5, high_quarters=6, lower_zone_ratio=(256, 32)
        ),
        "4.19": Rule("scaled", lower_zone_ratio=(256, 32)),
    },
)


@dataclass(frozen=True)
class Request:
    """Who asks, as far as it decides how deep he may go."""

    wait: bool = True  # the mask allows to sleep
    high: bool = False  # __GFP_HIGH
    memalloc: bool = False  # kswapd, a task in direct reclaim, a victim of the OOM killer
    in_interrupt: bool = False
    realtime: bool = False
    priority: str = "KERNEL"  # 2.0 only: the name of the priority


IGNORES_MARKS: Final = -1


@dataclass(frozen=True)
class Reserve:
    """How deep a request may go: the deepest mark that the version tests for it."""

    kind: str

    def mark(self, pages_min: int, request: Request) -> int:
        """Return the mark in pages, IGNORES_MARKS when none is tested."""
        return _DEPTHS[self.kind](pages_min, request)


def _depth_2_0(pages_min: int, request: Request) -> int:
    if request.priority == "ATOMIC":
        return 0
    if request.priority == "NFS":
        return 5
    if request.priority in ("BUFFER", "IO"):
        return pages_min - (12 + pages_min // 8)
    return pages_min


def _depth_2_2(pages_min: int, request: Request) -> int:
    return IGNORES_MARKS if request.memalloc or not request.wait else 0


def _depth_2_4_0(pages_min: int, request: Request) -> int:
    return IGNORES_MARKS if request.memalloc else pages_min // 4


def _depth_2_4_10(pages_min: int, request: Request) -> int:
    if request.memalloc:
        return IGNORES_MARKS
    return pages_min if request.wait else pages_min >> 2


def _depth_2_4_23(pages_min: int, request: Request) -> int:
    if request.memalloc and not request.in_interrupt:
        return IGNORES_MARKS
    return pages_min if request.wait else pages_min >> 2


def _depth_2_6_0(pages_min: int, request: Request) -> int:
    if request.memalloc and not request.in_interrupt:
        return IGNORES_MARKS
    mark = pages_min >> 2 if request.high else pages_min
    return mark >> 1 if request.realtime and not request.in_interrupt else mark


def _depth_2_6_11(pages_min: int, request: Request) -> int:
    if request.memalloc and not request.in_interrupt:
        return IGNORES_MARKS
    harder = not request.wait or (request.realtime and not request.in_interrupt)
    mark = pages_min - pages_min // 2 if request.high else pages_min
    return mark - mark // 4 if harder else mark


def _depth_4_19(pages_min: int, request: Request) -> int:
    """As 2.6.11, but of who cannot sleep only an atomic request is "harder"."""
    if request.memalloc and not request.in_interrupt:
        return IGNORES_MARKS
    atomic = request.high and not request.wait
    harder = atomic or (request.realtime and not request.in_interrupt)
    mark = pages_min - pages_min // 2 if request.high else pages_min
    return mark - mark // 4 if harder else mark


def _depth_6_4(pages_min: int, request: Request) -> int:
    """Half for the emergency bit or a real-time task; a quarter more if it cannot sleep."""
    if request.memalloc and not request.in_interrupt:
        return IGNORES_MARKS
    reserve = request.high or (request.realtime and not request.in_interrupt)
    mark = pages_min - pages_min // 2 if reserve else pages_min
    return mark - mark // 4 if request.high and not request.wait else mark


_DEPTHS: Final = MappingProxyType(
    {
        "2.0": _depth_2_0,
        "2.2": _depth_2_2,
        "2.4.0": _depth_2_4_0,
        "2.4.10": _depth_2_4_10,
        "2.4.23": _depth_2_4_23,
        "2.6.0": _depth_2_6_0,
        "2.6.11": _depth_2_6_11,
        "4.19": _depth_4_19,
        "6.4": _depth_6_4,
    }
)

RESERVES: Final = Facts(
    "reserve rules",
    {
        "2.0": Reserve("2.0"),
        "2.2": Reserve("2.2"),
        "2.4.0-2.4.9": Reserve("2.4.0"),
        "2.4.10-2.4.22": Reserve("2.4.10"),
        "2.4.23-2.4": Reserve("2.4.23"),
        "2.6.0": Reserve("2.6.0"),
        "2.6.11-2.6.32": Reserve("2.6.11"),
        "4.19": Reserve("4.19"),
        "6.5-": Reserve("6.4"),
    },
)
