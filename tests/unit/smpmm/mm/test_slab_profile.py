"""The geometry of caches against the worked table of 2.4 (facts §3.4)."""

from dataclasses import replace

import pytest

from smpmm.mm.slab_profile import SLAB_2_4_5_I386, SLAB_HWCACHE_ALIGN, geometry

L1_32 = SLAB_2_4_5_I386
L1_128 = replace(L1_32, l1_cache_bytes=128)
L1_64_LONG = replace(L1_32, l1_cache_bytes=64, bytes_per_word=8, sizeof_slab=40)

# size: objsize, order, objects, off-slab, colours for each of the three
TABLE = {
    32: ((32, 0, 113, False, 0), (64, 0, 58, False, 1), (64, 0, 59, False, 0)),
    64: ((64, 0, 59, False, 1), (128, 0, 30, False, 0), (64, 0, 59, False, 0)),
    128: ((128, 0, 30, False, 3), (128, 0, 30, False, 0), (128, 0, 30, False, 1)),
    256: ((256, 0, 15, False, 5), (256, 0, 15, False, 1), (256, 0, 15, False, 2)),
    **{4096 >> i: ((4096 >> i, 0, 1 << i, True, 0),) * 3 for i in range(4)},
    **{8192 << i: ((8192 << i, i + 1, 1, True, 0),) * 3 for i in range(5)},
    4000: ((4000, 0, 1, False, 2), (4096, 0, 1, True, 0), (4032, 0, 1, False, 0)),
}


@pytest.mark.parametrize("size", TABLE)
def test_general_caches_have_the_geometry_of_the_kernel(size: int) -> None:
    for profile, expected in zip((L1_32, L1_128, L1_64_LONG), TABLE[size], strict=True):
        g = geometry(profile, size, 0, SLAB_HWCACHE_ALIGN)
        assert (g.objsize, g.gfporder, g.num, g.off_slab, g.colour) == expected


def test_a_descriptor_slab_holds_seventeen_and_fourteen_with_statistics() -> None:
    g = geometry(L1_32, L1_32.sizeof_descriptor)
    assert (g.objsize, g.gfporder, g.num, g.off_slab, g.colour) == (232, 0, 17, False, 1)
    g = geometry(L1_32, replace(L1_32, statistics=True).sizeof_descriptor)
    assert (g.objsize, g.gfporder, g.num, g.off_slab, g.colour) == (272, 0, 14, False, 6)


def test_a_small_object_shares_a_cache_line() -> None:
    assert geometry(L1_32, 20, 0, SLAB_HWCACHE_ALIGN).objsize == 32
    assert geometry(L1_32, 16, 0, SLAB_HWCACHE_ALIGN).objsize == 32
    assert geometry(L1_32, 12, 0, SLAB_HWCACHE_ALIGN).objsize == 16
    assert geometry(L1_32, 4, 0, SLAB_HWCACHE_ALIGN).objsize == 8


def test_a_size_is_rounded_up_to_words_and_says_so() -> None:
    g = geometry(L1_32, 33)
    assert (g.objsize, g.forced_align) == (36, True)
    assert not geometry(L1_32, 36).forced_align


@pytest.mark.parametrize("offset, colour_off", [(0, 32), (5, 8), (64, 64)])
def test_colours_are_the_left_over_in_steps_of_the_offset(offset, colour_off) -> None:
    g = geometry(L1_32, 256, offset)
    left = 4096 - 15 * 256 - 96
    assert (g.colour_off, g.colour) == (colour_off, left // colour_off)


def test_a_large_machine_may_waste_less_by_larger_slabs() -> None:
    small = geometry(L1_32, 6200, ram_bytes=32 << 20)
    large = geometry(L1_32, 6200, ram_bytes=64 << 20)
    assert (small.gfporder, small.num) == (1, 1)
    assert (large.gfporder, large.num) == (2, 2)


@pytest.mark.parametrize(
    "objsize, limit", [(4, 252), (256, 252), (257, 124), (1025, 60), (4096, 60), (4097, 0)]
)
def test_arrays_are_limited_by_object_size(objsize: int, limit: int) -> None:
    assert L1_32.array_limit(objsize) == (limit, limit // 2)
