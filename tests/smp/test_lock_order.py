"""The kernel's own locks nest as cpus.lockorder says, whatever the machine does."""

from typing import Any

from cpus import lockorder
from smpmm import Machine
from smpmm_tools import runs, stress

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
        load = Load(OPTIONS, machine, runs.create("stress", str(tmp_path)))
        load.perform()
        nested = machine.run(pairs)
    assert load.made > 30
    for held, taken in nested:
        print(f"{taken:30} with {held} held")
    assert lockorder.breaches(nested) == []
    own = {pair for pair in nested if None not in map(lockorder.rank, pair)}
    assert ("lru_list_lock", "zone->lock") in own
    assert ("wait_queue_lock", "runqueue_lock") in own
