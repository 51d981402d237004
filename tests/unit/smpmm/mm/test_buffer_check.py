"""check() of the buffer cache: it names each way in which memory is damaged."""

import ctypes
from collections.abc import Callable

import pytest

from cpus import runqueue_cy, segment_cy, spinlock_cy, task_cy, waitqueue_cy
from cpus.errors import CorruptionError
from smpmm.mm import buffer_cy, disk_cy, page_alloc_cy, page_cy, zone_cy
from smpmm.mm.buffer_check_cy import check_buffers
from smpmm.mm.buffer_io_cy import bread, brelse
from smpmm.profile import MIB
from tests.support import small_machine

HDA = 0x300
NR_BLOCKS = 8
# Offsets in buffer_cache: of lru[LIST_ACTIVE], of counters, of the hash.
ACTIVE_FIRST = 48
ACTIVE_LAST = 56
ACTIVE_NR = 64
NR_DIRTY = 120
HASH = 1448
HASH_BYTES = 4 * 4096
# In buffer_head, page, vm_state and zone.
HEAD_BYTES = 48
HEAD_KEY = 0
HEAD_STATE = 24
HEAD_LIST = 32
LRU_NEXT = 8
LRU_PREV = 16
NR_BUFFER_PAGES = 96
INACTIVE_CLEAN_PAGES = 272

DIRTY = 2


def peek64(address: int) -> int:
    return ctypes.c_uint64.from_address(address).value


def poke64(address: int, value: int) -> None:
    ctypes.c_uint64.from_address(address).value = value


def poke32(address: int, value: int) -> None:
    ctypes.c_uint32.from_address(address).value = value


def cache(offset: int) -> int:
    return segment_cy.region_address("buffer_cache") + offset


def vm(offset: int) -> int:
    return segment_cy.region_address("vm_state") + offset


def head(pfn: int, offset: int) -> int:
    return segment_cy.region_address("buffer_heads") + pfn * HEAD_BYTES + offset


def page(pfn: int, offset: int = 0) -> int:
    return page_cy.native_address(pfn) + offset


def newest() -> int:
    """The page frame at the head of the active list."""
    return (peek64(cache(ACTIVE_FIRST)) - page(0)) // page_cy.sizeof_page()


def lose_all() -> None:
    """Lists and counters are right, but for pages of which they know nothing."""
    poke32(head(newest(), HEAD_LIST), 0)
    for offset in (ACTIVE_FIRST, ACTIVE_LAST, ACTIVE_NR):
        poke64(cache(offset), 0)
    poke64(vm(NR_BUFFER_PAGES), 0)


DAMAGES: dict[str, tuple[str, Callable[[], object]]] = {
    "an entry that is no buffer": (
        "What is on an LRU list is, by its truth, a page of the buffer cache",
        lambda: poke64(cache(ACTIVE_FIRST), page(0)),
    ),
    "an entry that is no page": (
        "What is on an LRU list is, by its truth, a page of the buffer cache",
        lambda: poke64(cache(ACTIVE_FIRST), 0x10),
    ),
    "an entry whose buffer names another list": (
        "A buffer's `list` says which LRU list its page is on",
        lambda: poke32(head(newest(), HEAD_LIST), 2),
    ),
    "a predecessor that is another": (
        "Each entry of an LRU list is the predecessor of its successor",
        lambda: poke64(page(newest(), LRU_PREV), page(1)),
    ),
    "a length": (
        "The length of an LRU list counts its entries",
        lambda: poke64(cache(ACTIVE_NR), NR_BLOCKS + 1),
    ),
    "a last entry that is another": (
        "The length of an LRU list counts its entries",
        lambda: poke64(cache(ACTIVE_LAST), page(newest())),
    ),
    "a list that is cut off": (
        "The length of an LRU list counts its entries",
        lambda: poke64(page(newest(), LRU_NEXT), 0),
    ),
    "pages on no list": ("Every page of the buffer cache is on an LRU list", lose_all),
    "a hash that is lost": (
        "A buffer is found by its device and block",
        lambda: ctypes.memset(cache(HASH), 0, HASH_BYTES),
    ),
    "a block number that is another": (
        "A buffer is found by its device and block",
        lambda: poke64(head(newest(), HEAD_KEY), 12345),
    ),
    "a counter of dirty buffers": (
        "nr_dirty counts the dirty buffers",
        lambda: poke64(cache(NR_DIRTY), 1),
    ),
    "a buffer that became dirty by itself": (
        "nr_dirty counts the dirty buffers",
        lambda: poke32(head(newest(), HEAD_STATE), DIRTY),
    ),
    "a zone's counter": (
        "inactive_clean_pages of the zones count the inactive clean list",
        lambda: poke64(zone_cy.zone_info(0)["address"] + INACTIVE_CLEAN_PAGES, 1),
    ),
    "the counter of all buffers": (
        "The number of buffers is that of the pages that are buffers by their truth",
        lambda: poke64(vm(NR_BUFFER_PAGES), NR_BLOCKS + 1),
    ),
}


@pytest.fixture
def buffers(tmp_path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(bytes(4096 * NR_BLOCKS))
    small_machine(
        spinlock_cy,
        task_cy,
        runqueue_cy,
        waitqueue_cy,
        page_alloc_cy,
        disk_cy,
        buffer_cy,
        ram_bytes=8 * MIB,
        disk=str(path),
    )
    for number in range(NR_BLOCKS):
        brelse(bread(HDA, number))
    check_buffers()


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named(buffers, damage) -> None:
    says, do = DAMAGES[damage]
    do()
    with pytest.raises(CorruptionError) as caught:
        check_buffers()
    assert str(caught.value).startswith(says)


def test_every_invariant_is_damaged_here() -> None:
    from smpmm.mm import buffer_check_cy

    named = {says for says, _ in DAMAGES.values()}
    assert {text.rstrip(".") for text in buffer_check_cy.INVARIANTS.values()} == named
