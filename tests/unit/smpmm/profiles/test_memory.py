"""Orders, watermarks, reserves, zones and clocks of each version, worked out by hand."""

import pytest

from smpmm.profile import MIB, profile_for
from smpmm.profiles.watermarks import IGNORES_MARKS, Request, Zone, min_free_kbytes

DMA, NORMAL, HIGHMEM = Zone(4096, 3800), Zone(8192, 8000), Zone(4096, 4096, True)
DEFAULT = [DMA, NORMAL, HIGHMEM]


@pytest.mark.parametrize(
    ("version", "orders", "upper"),
    [
        ("2.0", 6, True),
        ("2.2", 10, True),
        ("2.4", 10, True),
        ("2.4.31", 10, True),
        ("2.6", 11, False),
        ("2.6.32", 11, False),
        ("modern", 11, False),
        ("6.18", 11, False),
    ],
)
def test_orders_and_the_half_that_is_handed_out(version, orders, upper) -> None:
    memory = profile_for(version, "i386").memory
    assert (memory.nr_orders, memory.upper_half) == (orders, upper)


def marks(version: str, zones: list[Zone], shift: int = 12) -> list[tuple[int, int, int]]:
    rule = profile_for(version, "i386").memory.watermarks
    return [(m.min, m.low, m.high) for m in rule.marks(zones, shift)]


@pytest.mark.parametrize(
    ("version", "zones", "expected"),
    [
        # 64 MiB: 16384 pages / 128 = 128, and 24 more
        ("2.0", [Zone(16384, 16000)], [(152, 228, 304)]),
        ("2.0", [Zone(1024, 900)], [(48, 72, 96)]),
        ("2.2", [Zone(16384, 16000)], [(128, 256, 384)]),
        ("2.2", [Zone(65536, 65000)], [(256, 512, 768)]),
        ("2.2", [Zone(1024, 1000)], [(10, 20, 30)]),
        ("2.4.0", DEFAULT, [(128, 256, 384), (64, 128, 192), (32, 64, 96)]),
        ("2.4.5", [Zone(64, 64), Zone(1 << 20, 1)], [(10, 20, 30), (255, 510, 765)]),
        ("2.4.18", DEFAULT, [(32, 64, 96), (64, 128, 192), (32, 64, 96)]),
        ("2.4.18", [Zone(640, 1)], [(20, 40, 60)]),
        ("2.4.31", DEFAULT, [(32, 64, 96), (64, 128, 192), (32, 64, 96)]),
        # 12288 pages = 49152 kB of low memory: isqrt(786432) = 886 kB = 221 pages
        ("2.6.0", DEFAULT, [(73, 146, 219), (147, 294, 441), (32, 64, 96)]),
        ("2.6.11", DEFAULT, [(73, 91, 109), (147, 183, 220), (32, 40, 48)]),
        ("4.19", [Zone(1 << 20, 1 << 20)], [(2048, 3096, 4144)]),
    ],
)
def test_watermarks(version: str, zones: list[Zone], expected: list) -> None:
    assert marks(version, zones) == expected


def test_min_free_kbytes_is_within_bounds() -> None:
    assert min_free_kbytes([Zone(256, 256)], 12) == 128
    assert min_free_kbytes([Zone(1 << 28, 1 << 28)], 12) == 65536


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("2.4.18", [(0, 0, 0), (0, 0, 0), (0, 0, 0)]),
        ("2.4.31", [(0, 8192 // 256, 12288 // 256), (0, 0, 4096 // 32), (0, 0, 0)]),
        ("2.6.0", [(0, 0, 0), (0, 0, 0), (0, 0, 0)]),
        ("2.6.11", [(0, 8192 // 256, 12288 // 256), (0, 0, 4096 // 32), (0, 0, 0)]),
    ],
)
def test_what_lower_zones_keep_from_requests_for_higher_ones(version, expected) -> None:
    rule = profile_for(version, "i386").memory.watermarks
    assert [mark.reserve for mark in rule.marks(DEFAULT, 12)] == expected


SLEEPS, ATOMIC = Request(), Request(wait=False, high=True)
NOWAIT, MEMALLOC = Request(wait=False), Request(memalloc=True)
MEMALLOC_IN_INTERRUPT = Request(wait=False, high=True, memalloc=True, in_interrupt=True)
REALTIME = Request(realtime=True)
# Of a min mark of 128 pages: how far down a request may go; None = no mark is tested.
DEPTHS = {
    "2.2": (0, None, None, None, None, 0),
    "2.4.0": (32, 32, 32, None, None, 32),
    "2.4.9": (32, 32, 32, None, None, 32),
    "2.4.10": (128, 32, 32, None, None, 128),
    "2.4.31": (128, 32, 32, None, 32, 128),
    "2.6.0": (128, 32, 128, None, 32, 64),
    "2.6.11": (128, 48, 96, None, 48, 96),
    "2.6.32": (128, 48, 96, None, 48, 96),
    "4.19": (128, 48, 128, None, 48, 96),
    "6.5": (128, 48, 128, None, 48, 64),
}


@pytest.mark.parametrize("version", sorted(DEPTHS))
def test_who_may_dip_how_deep(version: str) -> None:
    reserve = profile_for(version, "i386").memory.reserve
    requests = (SLEEPS, ATOMIC, NOWAIT, MEMALLOC, MEMALLOC_IN_INTERRUPT, REALTIME)
    found = tuple(reserve.mark(128, request) for request in requests)
    assert found == tuple(IGNORES_MARKS if d is None else d for d in DEPTHS[version])


@pytest.mark.parametrize(
    ("priority", "depth"),
    [("ATOMIC", 0), ("NFS", 5), ("BUFFER", 152 - 31), ("IO", 152 - 31), ("KERNEL", 152)],
)
def test_who_may_dip_how_deep_in_2_0(priority: str, depth: int) -> None:
    reserve = profile_for("2.0", "i386").memory.reserve
    assert reserve.mark(152, Request(priority=priority)) == depth


@pytest.mark.parametrize(
    ("version", "arch", "hz"),
    [
        ("2.0", "i386", 100),
        ("2.4", "i386", 100),
        ("2.6.0", "i386", 1000),
        ("2.6.12", "i386", 1000),
        ("2.6.13", "i386", 250),
        ("modern", "i386", 250),
        ("2.4", "ia64", 1024),
        ("2.6", "ia64", 1024),
        ("2.6", "x86_64", 1000),
    ],
)
def test_clock(version: str, arch: str, hz: int) -> None:
    assert profile_for(version, arch).hz == hz


@pytest.mark.parametrize(
    ("version", "arch", "zones"),
    [
        ("2.2", "i386", {"DMA": 16, "Normal": 960}),
        ("2.4", "i386", {"DMA": 16, "Normal": 896, "HighMem": 65536}),
        ("2.6", "i386", {"DMA": 16, "Normal": 896, "HighMem": 65536}),
        ("2.6.11", "x86_64", {"DMA": 16, "Normal": None}),
        ("2.6.15", "x86_64", {"DMA": 16, "DMA32": 4096, "Normal": None}),
        ("2.4", "ia64", {"DMA": 4096, "Normal": None}),
    ],
)
def test_zones_and_where_they_end(version: str, arch: str, zones: dict) -> None:
    memory = profile_for(version, arch).memory
    assert memory.zone_names == tuple(zones)
    for limit, megabytes in zip(memory.zone_limits, zones.values(), strict=True):
        assert megabytes is None or limit == megabytes * MIB
