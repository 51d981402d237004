"""/proc/slabinfo, to the column, and tuning by writing it."""

import re

import pytest

from smpmm.mm import cache_cy, slab_cy, slab_state_cy, slabinfo
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
    assert lines[1] == "kmem_cache            27     32    244    2    2    1 :  252  126"
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
     "size-32 x 1", "size-32 1 1" + " " * 128],
)  # fmt: skip
def test_a_write_that_makes_no_sense_is_refused(text: str) -> None:
    assert slabinfo.slabinfo_write(text) == -22
    with pytest.raises(OSError, match="Invalid argument: '/proc/slabinfo'"):
        slabinfo.proc_write(text)
    assert cache("size-32")["limit"] == 252
