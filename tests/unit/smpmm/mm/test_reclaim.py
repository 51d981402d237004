"""Memory that is short becomes free again: clean buffers, written ones, free slabs."""

import pytest

from cpus import runqueue_cy, spinlock_cy, task_cy, waitqueue_cy
from smpmm.mm import (
    access_cy,
    buffer_check_cy,
    buffer_cy,
    cache_cy,
    disk_cy,
    page_alloc_cy,
    page_check_cy,
    reclaim,
    slab_cy,
    zone_cy,
)
from smpmm.mm.buffer_io_cy import bread, brelse, cache_info, mark_buffer_dirty
from smpmm.mm.page_calls_cy import __get_free_page, __get_free_pages, free_page, nr_free_pages
from smpmm.profile import GFP_2_4_0, MIB
from tests.support import small_machine

HDA = 0x300
KERNEL, BUFFER, ATOMIC = (GFP_2_4_0[f"GFP_{name}"] for name in ("KERNEL", "BUFFER", "ATOMIC"))


@pytest.fixture
def machine(tmp_path):
    """A machine of 8 MiB with a disk of 4 MiB, without kernel threads."""
    path = tmp_path / "disk"
    path.write_bytes(bytes(4 * MIB))
    small_machine(
        spinlock_cy,
        task_cy,
        runqueue_cy,
        waitqueue_cy,
        page_alloc_cy,
        cache_cy,
        disk_cy,
        buffer_cy,
        reclaim,
        ram_bytes=8 * MIB,
        disk=str(path),
    )
    yield path
    page_check_cy.check_pages()
    buffer_check_cy.check_buffers()


def fill_cache(blocks: int, dirty: bool) -> None:
    for block in range(blocks):
        address = bread(HDA, block)
        if dirty:
            access_cy.poke(address, b"dirt")
            mark_buffer_dirty(address)
        brelse(address)


def test_gfp_kernel_reclaims_the_whole_buffer_cache_before_it_fails(machine) -> None:
    free = nr_free_pages()
    fill_cache(500, dirty=True)
    taken = []
    while address := __get_free_page(KERNEL):
        taken.append(address)
    assert cache_info()["buffers"] < 10
    assert len(taken) > free - 100
    assert cache_info()["written"] >= 490
    counts = page_alloc_cy.vm_counters()
    assert counts["direct_freed"] > 0
    for address in taken:
        free_page(address)


def test_gfp_atomic_reclaims_nothing(machine) -> None:
    fill_cache(500, dirty=False)
    while __get_free_page(ATOMIC):
        pass
    assert cache_info()["buffers"] == 500


def test_gfp_buffer_writes_nothing(machine) -> None:
    fill_cache(300, dirty=True)
    fill = [bread(HDA, block) for block in range(300, 400)]
    for address in fill:
        brelse(address)
    while __get_free_page(BUFFER):
        pass
    assert cache_info()["written"] == 0
    assert cache_info()["dirty"] == cache_info()["buffers"] == 300


def test_a_block_of_pages_is_found_by_laundering(machine) -> None:
    fill_cache(900, dirty=True)
    singles = []
    while zone_cy.zone_info(0)["free_pages"] > 40:
        singles.append(__get_free_page(ATOMIC))
    assert __get_free_pages(KERNEL, 3) != 0


def test_free_slabs_are_given_back(machine) -> None:
    objects = [slab_cy.kmalloc(2048, KERNEL) for _ in range(400)]
    for address in objects:
        slab_cy.kfree(address)
    free = nr_free_pages()
    freed = sum(reclaim.reap_slabs(KERNEL) for _ in range(40))
    assert freed > 100
    assert nr_free_pages() == free + freed
    assert page_alloc_cy.vm_counters()["slab_freed"] == freed


def test_what_a_task_owns_is_counted_by_its_pid(machine) -> None:
    before = reclaim.pages_by_pid()[0]
    __get_free_pages(KERNEL, 4)
    slab_cy.kmalloc(8192, KERNEL)
    assert reclaim.pages_by_pid()[0] == before + 16 + 2
