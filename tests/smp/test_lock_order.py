"""The kernel's own locks nest as cpus.lockorder says, whatever the machine does."""

from collections.abc import Callable
from typing import Any

import pytest

from cpus import lockorder
from smpmm import CpuDied, Machine
from smpmm_tools import runs, sigint, stress

OPTIONS = {
    "drivers": "scull,scullc,scullp",
    "seconds": 3.0,
    "failslab": 2.0,
    "irq_rate": 1000,
    "tree": None,
    "seed": 11,
}


def caches(cpu: int, rounds: int) -> int:
    """Create, fill, shrink and destroy caches. A task."""
    from smpmm.kernel import (
        GFP_ATOMIC,
        GFP_KERNEL,
        kmem_cache_alloc,
        kmem_cache_create,
        kmem_cache_destroy,
        kmem_cache_free,
        kmem_cache_shrink,
    )  # fmt: skip

    made = 0
    for n in range(rounds):
        cache = kmem_cache_create(f"order-{cpu}-{n % 5}", 64 + 700 * (n % 5), 0, 0, None, None)
        if not cache:
            continue
        objects = [kmem_cache_alloc(cache, (GFP_ATOMIC, GFP_KERNEL)[i % 2]) for i in range(80)]
        for one in filter(None, objects):
            kmem_cache_free(cache, one)
        kmem_cache_shrink(cache)
        kmem_cache_destroy(cache)
        made += 1
    return made


def pairs() -> list[tuple[str, str]]:
    from cpus import lockorder

    return lockorder.recorded()


class Load(stress.Stress):
    """The load of `smpmm stress`, with caches and modules that come and go."""

    def wait(self) -> None:
        tasks = [self.machine.spawn(caches, cpu, 30, cpu=cpu) for cpu in range(self.cpus)]
        for _ in range(3):
            self.machine.insmod("tally")
            self.machine.rmmod("tally")
        super().wait()
        self.made = sum(task.result(60) for task in tasks)

    def note(self, sample: Any, elapsed: float) -> str:
        return ""


def test_locks_nest_as_the_table_says(tmp_path):
    with Machine(cpus=2, mem="16M", seed=11) as machine:
        load = Load(
            OPTIONS, machine, runs.create("stress", str(tmp_path)), sigint.Interrupts()
        )
        load.perform()
        nested = machine.run(pairs)
    assert load.made > 30
    for held, taken in nested:
        print(f"{taken:30} with {held} held")
    assert lockorder.breaches(nested) == []
    own = {pair for pair in nested if None not in map(lockorder.rank, pair)}
    assert ("lru_list_lock", "zone->lock") in own
    assert ("wait_queue_lock", "runqueue_lock") in own


def make_pages() -> None:
    from smpmm.kernel import GFP_KERNEL, __get_free_page, free_page

    while True:
        pages = [__get_free_page(GFP_KERNEL) for _ in range(600)]
        for address in pages:
            free_page(address)


def make_objects() -> None:
    from smpmm.kernel import GFP_KERNEL, kfree, kmalloc

    while True:
        objects = [kmalloc(300, GFP_KERNEL) for _ in range(500)]
        for address in objects:
            kfree(address)


def read_blocks() -> None:
    from smpmm.mm.buffer_io_cy import bread, brelse

    for block in range(5000):
        brelse(bread(0x300, block))


def map_pages() -> None:
    from smpmm.kernel import GFP_HIGHUSER, alloc_page, kmap

    while True:
        kmap(alloc_page(GFP_HIGHUSER))


def open_files() -> None:
    import smpmm

    while True:
        smpmm.open("/dev/scull0", "rb").close()


def sleep_a_tick() -> None:
    from smpmm.kernel import TASK_INTERRUPTIBLE, schedule_timeout, set_current_state

    while True:
        set_current_state(TASK_INTERRUPTIBLE)
        schedule_timeout(1)


def make_caches() -> None:
    caches(0, 1000)


def dies(point: str, work: Callable[[], None]) -> None:
    from cpus import kill_cy

    kill_cy.arm(point)
    work()


# Each dies with a lock of its own: zone->lock, a cache's (three times), lru_list_lock,
# kmap_lock, registry_lock, cache_chain_sem, runqueue_lock.
DEATHS = (
    ("page_split", make_pages),
    ("slab_grown", make_objects),
    ("slab_refill", make_objects),
    ("slab_flush", make_objects),
    ("buffer", read_blocks),
    ("kmap", map_pages),
    ("file_claimed", open_files),
    ("cache_create", make_caches),
    ("task_wake", sleep_a_tick),
)


def use_everything() -> int:
    """Take every lock once more, of which some are still to be taken over."""
    from smpmm.kernel import GFP_KERNEL, __get_free_pages, free_pages
    from smpmm.mm.buffer_io_cy import sync_buffers

    free_pages(__get_free_pages(GFP_KERNEL, 3), 3)
    sync_buffers()
    return caches(0, 5)


def test_recovery_keeps_to_the_table():
    from cpus import ship

    ship.register_by_value("tests")
    with Machine(cpus=2 + len(DEATHS), seed=5) as machine:
        machine.insmod("scull")
        for number, (point, work) in enumerate(DEATHS, 1):
            task = machine.spawn(dies, point, work, cpu=1 + number)
            with pytest.raises(CpuDied):
                task.result(60)
            machine._deaths(number)
        assert machine.spawn(use_everything, cpu=0).result(60) == 5
        nested = machine.spawn(pairs, cpu=0).result(60)
        machine.check()
    for held, taken in nested:
        print(f"{taken:30} with {held} held")
    assert lockorder.breaches(nested) == []
    # The repair of the buffer cache walks the zones with their locks.
    assert ("lru_list_lock", "zone->lock") in nested
