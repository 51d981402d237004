"""/proc/slabinfo, to the column, and tuning by writing it."""

import re

import pytest

from smpmm.mm import cache_cy, shrink_cy, slab_cy, slab_state_cy, slabinfo
from tests.unit.smpmm.mm.slab_support import GFP_KERNEL, cache, slab_machine


@pytest.fixture(autouse=True)
def machine():
    slab_machine(64 << 20, cpus=2)


def test_version_1_1_has_the_columns_of_2_4() -> None:
    text = slabinfo.slabinfo_text()
    lines = text.splitlines()
    assert lines[0] == "slabinfo - version: 1.1 (SMP)"
    row = re.compile(
        r"^.{17} [ \d]{6} [ \d]{6} [ \d]{6} [ \d]{4} [ \d]{4} [ \d]{4} : [ \d]{4} [ \d]{4}$"
    )
    assert all(row.match(line) for line in lines[1:])
    names = [line.split()[0] for line in lines[1:]]
    assert names[0] == "kmem_cache"
    assert names[1:3] == ["size-131072(DMA)", "size-131072"]
    assert names[-2:] == ["size-32(DMA)", "size-32"]
    assert lines[1] == "kmem_cache            27     34    232    2    2    1 :  252  126"
    assert lines[-1].split()[-2:] == ["252", "126"]


def test_the_newest_cache_stands_behind_kmem_cache() -> None:
    cache_cy.kmem_cache_create("newest", 100, 0, 0, None, None)
    assert slabinfo.slabinfo_text().splitlines()[2].startswith("newest ")


def test_version_2_1_has_sixteen_tokens() -> None:
    lines = slabinfo.slabinfo_text("2.1").splitlines()
    assert lines[0] == "slabinfo - version: 2.1"
    assert lines[1].startswith("# name            <active_objs>")
    for line in lines[2:]:
        tokens = line.split()
        assert len(tokens) == 16 and tokens[6:8] == [":", "tunables"]
    with pytest.raises(ValueError, match="3.0"):
        slabinfo.slabinfo_text("3.0")


def test_a_name_with_a_blank_is_one_word_in_2_1() -> None:
    cache_cy.kmem_cache_create("two words", 100, 0, 0, None, None)
    assert slabinfo.slabinfo_text().splitlines()[2].startswith("two words ")
    line = slabinfo.slabinfo_text("2.1").splitlines()[3]
    assert line.split()[0] == "two_words" and len(line.split()) == 16


def test_objects_in_arrays_count_as_active() -> None:
    slab_cy.kfree(slab_cy.kmalloc(128, GFP_KERNEL))
    line = next(x for x in slabinfo.slabinfo_text().splitlines() if x.startswith("size-128 "))
    assert line.split()[1:3] == ["30", "30"]


def test_a_write_sets_limit_and_batchcount_of_every_cpu() -> None:
    assert slabinfo.slabinfo_write("size-256 40 20\n") == 15
    index = cache_cy.find_cache("size-256")
    for cpu in range(2):
        info = slab_state_cy.array_info(index, cpu)
        assert (info["limit"], info["batchcount"]) == (40, 20)
        assert slab_state_cy.object_info(info["cpucache"])["cache"] == "size-256"
    assert (cache("size-256")["limit"], cache("size-256")["batchcount"]) == (40, 20)


def test_a_limit_of_0_takes_the_arrays_away() -> None:
    address = slab_cy.kmalloc(128, GFP_KERNEL)
    assert slabinfo.slabinfo_write(b"size-128 0 0") == 12
    slab_cy.kfree(address)
    assert slab_state_cy.slab_counts(cache_cy.find_cache("size-128"))[0] == 0
    again = slab_cy.kmalloc(128, GFP_KERNEL)
    assert again
    assert slab_state_cy.slab_counts(cache_cy.find_cache("size-128"))[0] == 1


@pytest.mark.parametrize(
    "text",
    ["size-32", "size-32 1", "none 10 5", "size-32 -1 1", "size-32 1 2", "size-32 10 0",
     "size-32 1 -1", "size-32  10 5", "size-32\n10 5", " size-32 10 5",
     "size-32 1 1" + " " * 128, "", " "],
)  # fmt: skip
def test_a_write_that_makes_no_sense_is_refused(text: str) -> None:
    assert slabinfo.slabinfo_write(text) == -22
    with pytest.raises(OSError, match="Invalid argument: '/proc/slabinfo'"):
        slabinfo.proc_write(text)
    assert cache("size-32")["limit"] == 252


def test_a_write_is_read_as_2_4_reads_it() -> None:
    """The name ends at the first blank; no number is 0; what follows is not looked at."""
    assert slabinfo.slabinfo_write("size-64 30   15 and more") == 24
    assert (cache("size-64")["limit"], cache("size-64")["batchcount"]) == (30, 15)
    for text in ("size-64 ", "size-64 x 1"):
        slabinfo.slabinfo_write("size-64 30 15")
        assert slabinfo.slabinfo_write(text) == len(text)
    assert (cache("size-64")["limit"], cache("size-64")["batchcount"]) == (0, 0)
    assert slabinfo.slabinfo_write("size-32 1 1" + " " * 117) == 128


# ---- the statistics build


@pytest.fixture
def counting():
    slab_machine(64 << 20, cpus=2, options={"slab_statistics": True})


def columns(name: str) -> list[list[int]]:
    """Return the numbers of a cache's line, by the parts between its colons."""
    text = slabinfo.slabinfo_text()
    line = next(x for x in text.splitlines() if x.split()[0] == name)
    return [[int(word) for word in part.split()] for part in line[17:].split(":")]


def test_a_statistics_build_has_the_columns_of_2_4(counting) -> None:
    lines = slabinfo.slabinfo_text().splitlines()
    assert lines[0] == "slabinfo - version: 1.1 (statistics) (SMP)"
    row = re.compile(
        r"^.{17} [ \d]{6} [ \d]{6} [ \d]{6} [ \d]{4} [ \d]{4} [ \d]{4}"
        r" : [ \d]{6} [ \d]{7} [ \d]{5} [ \d]{4} [ \d]{4} : [ \d]{4} [ \d]{4}"
        r" : [ \d]{6} [ \d]{6} [ \d]{6} [ \d]{6}$"
    )
    assert all(row.match(line) for line in lines[1:])
    assert lines[1].startswith(
        "kmem_cache            27     28    272    2    2    1 :     27 "
    )


def test_2_1_of_a_statistics_build_has_globalstat_and_cpustat(counting) -> None:
    made = cache_cy.kmem_cache_create("half pages", 512, 0, 0, None, None)
    address = slab_cy.kmem_cache_alloc(made, GFP_KERNEL)
    lines = slabinfo.slabinfo_text("2.1").splitlines()
    assert lines[0] == "slabinfo - version: 2.1 (statistics)"
    assert lines[1].endswith(
        " : globalstat <listallocs> <maxobjs> <grown> <reaped> <error> <maxfreeable>"
        " <freelimit> <nodeallocs> : cpustat <allochit> <allocmiss> <freehit> <freemiss>"
    )
    line = next(x for x in lines if x.split()[0] == "half_pages")
    assert line.endswith(
        " : globalstat       8      8     1    0    0    0    0    0"
        " : cpustat      0      2      0      0"
    )
    slab_cy.kmem_cache_free(made, address)


def test_hits_and_misses_are_counted_as_2_4_does(counting) -> None:
    """128 bytes: 30 in a slab, a batch is 126: the first call misses, grows and misses."""
    assert columns("size-128")[1:] == [[0, 0, 0, 0, 0], [252, 126], [0, 0, 0, 0]]
    objects = [slab_cy.kmalloc(128, GFP_KERNEL) for _ in range(31)]
    assert columns("size-128")[1:] == [[60, 60, 2, 0, 0], [252, 126], [29, 4, 0, 0]]
    for address in objects:
        slab_cy.kfree(address)
    assert columns("size-128")[1:] == [[60, 60, 2, 0, 0], [252, 126], [29, 4, 31, 0]]


def test_a_full_array_is_a_miss_of_the_free(counting) -> None:
    objects = [slab_cy.kmalloc(2048, GFP_KERNEL) for _ in range(62)]
    for address in objects:
        slab_cy.kfree(address)
    parts = columns("size-2048")
    assert parts[1][:3] == [62, 62, 31]
    assert parts[3][2:] == [61, 1]


def test_kmem_cache_alloc_counts_as_kmalloc_does(counting) -> None:
    made = cache_cy.kmem_cache_create("mine", 1000, 0, 0, None, None)
    for _ in range(3):
        slab_cy.kmem_cache_free(made, slab_cy.kmem_cache_alloc(made, GFP_KERNEL))
    assert columns("mine")[1:] == [[4, 4, 1, 0, 0], [124, 62], [2, 2, 3, 0]]


def test_without_arrays_no_hit_and_no_miss_is_counted(counting) -> None:
    for _ in range(3):
        slab_cy.kfree(slab_cy.kmalloc(8192, GFP_KERNEL))
    assert columns("size-8192")[1:] == [[1, 3, 1, 0, 0], [0, 0], [0, 0, 0, 0]]


def test_a_new_cache_begins_to_count_at_0(counting) -> None:
    for _ in range(2):
        made = cache_cy.kmem_cache_create("again", 1000, 0, 0, None, None)
        assert columns("again")[1:] == [[0, 0, 0, 0, 0], [124, 62], [0, 0, 0, 0]]
        slab_cy.kmem_cache_free(made, slab_cy.kmem_cache_alloc(made, GFP_KERNEL))
        assert shrink_cy.kmem_cache_destroy(made) == 0


def test_reap_is_counted_and_shrink_is_not(counting) -> None:
    made = cache_cy.kmem_cache_create("big", 4096, 0, 0, None, None)
    for address in [slab_cy.kmem_cache_alloc(made, GFP_KERNEL) for _ in range(8)]:
        slab_cy.kmem_cache_free(made, address)
    while not columns("big")[1][3]:
        shrink_cy.reap(GFP_KERNEL)
    assert columns("big")[1][3] == (8 * 4 + 1) // 5
    shrink_cy.kmem_cache_shrink(made)
    assert columns("big")[1][3] == (8 * 4 + 1) // 5
