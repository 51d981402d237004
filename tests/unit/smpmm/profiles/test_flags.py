"""Allocation flags and slab flags of each version, as the kernels' headers have them."""

import pytest

from smpmm import kernel_names
from smpmm.constants import constants_of
from smpmm.profile import profile_for

VERSIONS = ("2.2.18", "2.4.5", "2.4.6", "2.4.18", "2.6.11", "2.6.32", "4.19", "6.18")
# Name → value in each of VERSIONS, hexadecimal; "-": the version does not have it.
BITS = """
    WAIT               01 01 10 10 10 10 - -
    LOW                02 - - - - - - -
    MED                04 - - - - - - -
    HIGH               08 02 20 20 20 20 20 20
    IO                 10 04 40 40 40 40 40 40
    HIGHIO             - - - 80 - - - -
    FS                 - - 80 100 80 80 80 80
    SWAP               20 - - - - - - -
    DMA                80 08 01 01 01 01 01 01
    HIGHMEM            - 10 02 02 02 02 02 02
    DMA32              - - - - - 04 04 04
    MOVABLE            - - - - - 08 08 08
    RECLAIMABLE        - - - - - 80000 10 10
    COLD               - - - - 100 100 - -
    NOWARN             - - - - 200 200 200 2000
    REPEAT             - - - - 400 400 - -
    RETRY_MAYFAIL      - - - - - - 400 4000
    NOFAIL             - - - - 800 800 800 8000
    NORETRY            - - - - 1000 1000 1000 10000
    NO_GROW            - - - - 2000 - - -
    MEMALLOC           - - - - - - 2000 20000
    COMP               - - - - 4000 4000 4000 40000
    ZERO               - - - - 8000 8000 8000 100
    NOMEMALLOC         - - - - - 10000 10000 80000
    HARDWALL           - - - - - 20000 20000 100000
    THISNODE           - - - - - 40000 40000 200000
    ATOMIC             - - - - - - 80000 -
    ACCOUNT            - - - - - - 100000 400000
    DIRECT_RECLAIM     - - - - - - 200000 400
    KSWAPD_RECLAIM     - - - - - - 400000 800
"""
COMPOSITES = """
    BUFFER             05 03 - - - - - -
    NOIO               - - 30 30 10 10 600000 c00
    NOHIGHIO           - - - 70 - - - -
    NOFS               - - 70 f0 50 50 600040 c40
    ATOMIC             08 02 20 20 20 20 480020 820
    NOWAIT             - - - - - 0 400000 2800
    USER               13 05 d0 1d0 d0 200d0 6200c0 100cc0
    HIGHUSER           - 15 d2 1d2 d2 200d2 6200c2 100cc2
    HIGHUSER_MOVABLE   - - - - - 200da 6200ca 100cca
    KERNEL             15 07 f0 1f0 d0 d0 6000c0 cc0
    NFS                19 07 f0 1f0 - - - -
    KSWAPD             30 04 c0 1d0 - - - -
    DMA                80 08 01 01 01 01 01 01
"""
PRIORITIES_2_0 = {
    "GFP_BUFFER": 0,
    "GFP_ATOMIC": 1,
    "GFP_USER": 2,
    "GFP_KERNEL": 3,
    "GFP_NOBUFFER": 4,
    "GFP_NFS": 5,
    "GFP_IO": 6,
    "GFP_DMA": 0x80,
    "GFP_LEVEL_MASK": 0xF,
}
# Name → (version, value or None) …
SLAB = {
    "SLAB_DEBUG_FREE": (("2.0.40", None), ("2.2.18", 0x100), ("2.4.5", 0x100)),
    "SLAB_NO_REAP": (("2.2.18", 0x1000), ("2.6.11", 0x1000), ("2.6.16", None)),
    "SLAB_HWCACHE_ALIGN": (("2.0.40", None), ("2.2.18", 0x2000), ("6.1", 0x2000)),
    "SLAB_CACHE_DMA": (("2.2.18", None), ("2.4.5", 0x4000)),
    "SLAB_HIGH_PACK": (("2.2.18", 0x4000), ("2.4.5", None)),
    "SLAB_MUST_HWCACHE_ALIGN": (("2.4.14", None), ("2.4.18", 0x8000)),
    "SLAB_STORE_USER": (("2.4.31", None), ("2.6.0", 0x10000)),
    "SLAB_RECLAIM_ACCOUNT": (("2.4.31", None), ("2.6.0", 0x20000)),
    "SLAB_PANIC": (("2.6.6", None), ("2.6.7", 0x40000)),
    "SLAB_DESTROY_BY_RCU": (("2.6.8", None), ("2.6.9", 0x80000), ("4.12", None)),
    "SLAB_TYPESAFE_BY_RCU": (("4.11", None), ("4.12", 0x80000)),
    "SLAB_NO_GROW": (("2.4.31", 0x1000), ("2.6.11", 0x2000), ("2.6.32", None)),
    "SLAB_KERNEL": (("2.2.18", 0x15), ("2.4.5", 7), ("2.4.18", 0x1F0), ("2.6.11", 0xD0)),
    "SLAB_NOFS": (("2.4.5", None), ("2.4.6", 0x70)),
}


def rows(text: str, prefix: str) -> list[tuple[str, str, int | None]]:
    """Return (version, name, value or None) of a table."""
    found = []
    for line in text.split("\n"):
        name, *values = line.split() or [""]
        for version, value in zip(VERSIONS, values, strict=bool(values)) if name else ():
            found.append((version, prefix + name, None if value == "-" else int(value, 16)))
    return found


@pytest.mark.parametrize(("version", "name", "value"), rows(BITS, "__GFP_"))
def test_bits(version: str, name: str, value: int | None) -> None:
    assert profile_for(version, "i386").memory.gfp.get(name) == value


@pytest.mark.parametrize(("version", "name", "value"), rows(COMPOSITES, "GFP_"))
def test_composites(version: str, name: str, value: int | None) -> None:
    assert profile_for(version, "i386").memory.gfp.get(name) == value


def test_priorities_of_2_0() -> None:
    assert profile_for("2.0", "i386").memory.gfp == PRIORITIES_2_0


@pytest.mark.parametrize("version", ["2.4.5", "2.4.9", "2.4.10", "2.4.31"])
@pytest.mark.parametrize("name", ["KERNEL", "NOIO", "NOFS", "BUFFER"])
def test_in_2_4_only_a_user_s_request_lacks_the_high_bit(version: str, name: str) -> None:
    gfp = profile_for(version, "i386").memory.gfp
    assert not gfp["GFP_USER"] & gfp["__GFP_HIGH"]
    if f"GFP_{name}" in gfp:
        assert gfp[f"GFP_{name}"] & gfp["__GFP_HIGH"]


@pytest.mark.parametrize("version", ["2.6.11", "2.6.32", "4.19", "6.18"])
def test_from_2_6_on_only_an_atomic_request_has_the_high_bit(version: str) -> None:
    gfp = profile_for(version, "i386").memory.gfp
    high = {name for name, mask in gfp.items() if mask & gfp["__GFP_HIGH"]}
    assert high == {"__GFP_HIGH", "GFP_ATOMIC"}


def test_without_high_memory_2_4_5_has_no_bit_for_it() -> None:
    gfp = profile_for("2.4.5", "ia64").memory.gfp
    assert (gfp["__GFP_HIGHMEM"], gfp["GFP_HIGHUSER"]) == (0, 0x05)
    assert profile_for("2.4.6", "ia64").memory.gfp["__GFP_HIGHMEM"] == 0x02


@pytest.mark.parametrize("name", sorted(SLAB))
def test_slab_flags(name: str) -> None:
    for version, value in SLAB[name]:
        assert constants_of(version).get(name) == value, version


@pytest.mark.parametrize(
    ("name", "version", "says"),
    [
        ("GFP_NOFS", "2.4.5", "GFP_NOFS exists since Linux 2.4.6; this machine runs 2.4.5"),
        ("GFP_BUFFER", "2.4.6", "GFP_BUFFER existed until Linux 2.4.5"),
        ("__GFP_HIGHIO", "2.4.9", "__GFP_HIGHIO exists since Linux 2.4.10"),
        ("__GFP_HIGHIO", "2.6.11", "__GFP_HIGHIO existed until Linux 2.4"),
        ("__GFP_COMP", "2.6.5", "__GFP_COMP exists since Linux 2.6.6"),
        ("__GFP_ZERO", "2.6.10", "__GFP_ZERO exists since Linux 2.6.11"),
        ("SLAB_PANIC", "2.6.6", "SLAB_PANIC exists since Linux 2.6.7"),
        ("SLAB_NO_REAP", "2.6.16", "SLAB_NO_REAP existed until Linux 2.6.15"),
        ("GFP_NOBUFFER", "2.2.18", "GFP_NOBUFFER existed until Linux 2.0"),
        ("LINUX_VERSION_CODE", "2.0.40", None),
    ],
)
def test_a_flag_that_a_version_lacks_names_who_has_it(name, version, says) -> None:
    why = kernel_names.missing(name, version)
    assert (why or "").startswith(says or "") and bool(why) == bool(says)
