"""Borders of the vmalloc space and rules of each version."""

import pytest

from smpmm.mm.vmalloc_profile import MIB, VmallocProfile, vmalloc_profile_of

PKMAP = 0xFE000000
HIGH_MEMORY = 0xC3000000  # 48 MiB of low memory


def bounds(version: str, arch: str = "i386", high: int = HIGH_MEMORY) -> tuple[int, int]:
    return vmalloc_profile_of(version, arch).bounds(high, PKMAP, 4096)


@pytest.mark.parametrize(
    "version, arch, start",
    [
        ("2.0.40", "i386", 0xC3800000),
        ("2.2.18", "i386", 0xC3800000),
        ("2.4.5", "i386", 0xC3800000),
        ("4.19.0", "i386", 0xC3800000),
        ("2.4.31", "ia64", 0xA00000000000C000),
        ("2.6.11", "ia64", 0xA000000200000000),
        ("2.4.31", "x86_64", 0xFFFFFF0000000000),
        ("2.6.11", "x86_64", 0xFFFFC20000000000),
        ("6.1", "x86_64", 0xFFFFC90000000000),
    ],
)
def test_the_start_of_the_space(version, arch, start) -> None:
    assert bounds(version, arch)[0] == start


@pytest.mark.parametrize("version, hole", [("2.2", 7), ("2.4.5", 15 - 8), ("2.6.11", 7)])
def test_the_hole_below_the_space_with_a_boundary_one_mib_above_high_memory(version, hole):
    high = HIGH_MEMORY + 7 * MIB
    start, _ = bounds(version, high=high)
    least, most = (8, 16) if version != "2.2" else (1, 8)
    assert least * MIB <= start - high <= most * MIB
    assert start % (8 * MIB) == 0


def test_128_mib_of_ram_start_below_the_addresses_of_the_books_sample() -> None:
    assert bounds("2.4.5", high=0xC0000000 + 128 * MIB - 64 * 1024)[0] == 0xC8800000


def test_the_end_is_below_the_window_of_kmap_or_the_formula_of_ia64() -> None:
    assert bounds("2.4.5")[1] == PKMAP - 2 * 4096
    assert bounds("2.6.11", "ia64")[1] == 0xA000000000000000 + (1 << (4 * 14 - 9))


@pytest.mark.parametrize(
    "version, exact, bug",
    [
        ("2.0", False, False),
        ("2.2.18", False, False),
        ("2.4.0", False, True),
        ("2.4.20", False, True),
        ("2.4.22", True, False),
        ("2.6.11", True, False),
    ],
)
def test_the_gap_and_the_bad_size(version, exact, bug) -> None:
    profile = vmalloc_profile_of(version, "i386")
    assert (profile.exact_fit, profile.bad_size_is_bug) == (exact, bug)


def test_what_is_said_without_address_space() -> None:
    assert "vmalloc=<size>" in vmalloc_profile_of("2.6.11", "i386").no_space_text
    assert not vmalloc_profile_of("2.4.5", "i386").no_space_text


def test_levels_cover_each_architectures_space() -> None:
    for arch in ("i386", "ia64", "x86_64"):
        profile: VmallocProfile = vmalloc_profile_of("2.6.11", arch)
        tables = profile.tables
        for (upper, _), (lower, bits) in zip(tables.levels, tables.levels[1:], strict=False):
            assert upper == lower + bits
        start, end = profile.bounds(HIGH_MEMORY, PKMAP, 1 << tables.levels[-1][0])
        top, bits = tables.levels[0]
        assert (end - 1 - start) >> (top + bits) == 0


def test_an_unknown_architecture_is_named() -> None:
    with pytest.raises(ValueError, match="alpha"):
        vmalloc_profile_of("2.4.5", "alpha")
