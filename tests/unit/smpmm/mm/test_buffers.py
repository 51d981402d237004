"""The buffer cache: blocks of a host file in pages, written back, given up when clean."""

import os
import signal
import tempfile

import pytest

from cpus import kill_cy, percpu_cy, runqueue_cy, spinlock_cy, task_cy, waitqueue_cy
from cpus.errors import KernelBug
from smpmm.mm import (
    access_cy,
    buffer_check_cy,
    buffer_cy,
    disk_cy,
    page_alloc_cy,
    page_check_cy,
    page_cy,
    zone_cy,
)
from smpmm.mm.buffer_io_cy import (
    bread,
    brelse,
    buffer_info,
    cache_info,
    getblk,
    launder,
    mark_buffer_dirty,
    read_buffer,
    refill_inactive,
    sync_buffers,
)
from smpmm.profile import MIB
from tests.support import in_child, small_machine

HDA = 0x300
PAGE_OFFSET = 0xC0000000
DMA = 0


@pytest.fixture
def disk(tmp_path):
    """A machine of 8 MiB with a disk of 4 MiB; the block's number stands in each block."""
    path = tmp_path / "disk"
    path.write_bytes(b"".join(n.to_bytes(4, "little") * 1024 for n in range(1024)))
    small_machine(
        spinlock_cy,
        task_cy,
        runqueue_cy,
        waitqueue_cy,
        page_alloc_cy,
        disk_cy,
        buffer_cy,
        ram_bytes=8 * MIB,
        cpus=2,
        disk=str(path),
    )
    yield path
    page_check_cy.check_pages()


def pfn_of(address: int) -> int:
    return (address - PAGE_OFFSET) >> 12


def block_of(path, number: int) -> bytes:
    return path.read_bytes()[number * 4096 : (number + 1) * 4096]


def test_bread_reads_the_block_once(disk) -> None:
    address = bread(HDA, 7)
    assert access_cy.peek(address, 8) == b"\7\0\0\0" * 2
    assert bread(HDA, 7) == address
    assert buffer_info(address)["count"] == 2
    assert cache_info()["reads"] == 1
    assert page_cy.page_info(pfn_of(address))["kind"] == 5
    for _ in range(2):
        brelse(address)


def test_a_dirty_buffer_is_written_by_sync(disk) -> None:
    address = bread(HDA, 3)
    access_cy.poke(address, b"changed!")
    mark_buffer_dirty(address)
    brelse(address)
    assert block_of(disk, 3)[:4] == b"\3\0\0\0"
    assert sync_buffers() == 1
    assert block_of(disk, 3)[:8] == b"changed!"
    assert cache_info()["dirty"] == 0
    assert sync_buffers() == 0


def test_a_block_beyond_the_disk_is_an_error(disk) -> None:
    assert bread(HDA, 1024) == 0
    assert bread(0x1600, 0) == 0
    address = getblk(HDA, 4096)
    assert read_buffer(address) == 5
    assert buffer_info(address)["error"] == 5
    brelse(address)


def test_an_unused_page_goes_from_active_to_clean_and_to_the_buddy_lists(disk) -> None:
    address = bread(HDA, 1)
    brelse(address)
    free = zone_cy.zone_info(DMA)["free_pages"]
    assert refill_inactive(10) == 0  # used since the last look
    assert refill_inactive(10) == 1
    assert buffer_info(address)["list"] == "inactive dirty"
    assert launder(10, False) == 1
    assert zone_cy.zone_info(DMA)["inactive_clean_pages"] == 1
    assert buffer_cy.reclaim(DMA, 10) == 1
    assert zone_cy.zone_info(DMA)["free_pages"] == free + 1
    assert zone_cy.zone_info(DMA)["inactive_clean_pages"] == 0
    assert cache_info()["buffers"] == 0


def test_a_dirty_page_is_written_before_it_becomes_clean(disk) -> None:
    address = getblk(HDA, 2)
    access_cy.poke(address, b"two " * 1024)
    mark_buffer_dirty(address)
    brelse(address)
    refill_inactive(1)
    refill_inactive(1)
    assert launder(1, False) == 0
    assert launder(2, True) == 1
    assert block_of(disk, 2) == b"two " * 1024
    assert buffer_cy.reclaim(DMA, 1) == 1


def test_a_buffer_in_use_is_never_given_up(disk) -> None:
    address = bread(HDA, 1)
    for _ in range(3):
        refill_inactive(10)
        launder(10, True)
        assert buffer_cy.reclaim(DMA, 10) == 0
    brelse(address)


def test_a_page_used_again_after_laundering_is_kept(disk) -> None:
    address = bread(HDA, 1)
    brelse(address)
    refill_inactive(1)
    refill_inactive(1)
    assert launder(1, False) == 1
    brelse(bread(HDA, 1))
    assert buffer_cy.reclaim(DMA, 10) == 0
    assert buffer_info(address)["list"] == "active"


def test_allocation_takes_clean_pages_when_few_are_free(disk) -> None:
    for block in range(600):
        brelse(bread(HDA, block))
    refill_inactive(600)
    refill_inactive(600)
    launder(600, False)
    assert zone_cy.zone_info(DMA)["inactive_clean_pages"] == 600
    from smpmm.mm.page_calls_cy import __get_free_page

    taken = [__get_free_page(7) for _ in range(zone_cy.zone_info(DMA)["free_pages"] + 300)]
    assert all(taken)
    assert cache_info()["buffers"] < 600


def test_brelse_of_a_free_buffer_is_reported(disk) -> None:
    address = bread(HDA, 1)
    brelse(address)
    with pytest.raises(KernelBug, match="Trying to free free buffer"):
        brelse(address)
    brelse(0)


@pytest.mark.parametrize("point", ["buffer", "writeback"])
def test_a_killed_process_loses_no_buffer_and_no_change(disk, point: str) -> None:
    kept = bread(HDA, 9)
    access_cy.poke(kept, b"nine")
    mark_buffer_dirty(kept)
    free = zone_cy.zone_info(DMA)["free_pages"]

    def die() -> None:
        percpu_cy.take_slot(1, 1, "cpu1", 1)
        percpu_cy.become(1, os.getpid())
        kill_cy.arm(point)
        if point == "buffer":
            bread(HDA, 10)
        sync_buffers()

    in_child(die, expect=signal.SIGKILL)
    percpu_cy.mark_dead(1)
    other = bread(HDA, 10)
    assert access_cy.peek(other, 1) == b"\n"
    assert sync_buffers() == 1
    assert block_of(disk, 9)[:4] == b"nine"
    assert cache_info()["buffers"] == 2
    assert zone_cy.zone_info(DMA)["free_pages"] == free - 1
    buffer_check_cy.check_buffers()


def test_without_a_path_the_disk_is_an_empty_temporary_file() -> None:
    before = set(os.listdir(tempfile.gettempdir()))
    small_machine(
        spinlock_cy, task_cy, runqueue_cy, waitqueue_cy, page_alloc_cy, disk_cy, buffer_cy
    )
    assert disk_cy.disk_size() == 64 * MIB // 4096
    assert access_cy.peek(bread(HDA, 5), 4) == bytes(4)
    assert (
        not {name for name in os.listdir(tempfile.gettempdir()) if "smpmm-disk" in name}
        - before
    )
