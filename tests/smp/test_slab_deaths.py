"""A process dies at each named point of the slab allocator and at random: nothing is lost.

A fork of the test is CPU 1; the test, CPU 0, recovers what it left, as survivors do.
"""

import os
import random
import signal

import pytest

from cpus import kill_cy, percpu_cy, reap_cy
from smpmm.invariants import check_objects
from smpmm.mm import (
    cache_cy,
    page_calls_cy,
    page_check_cy,
    page_cy,
    shrink_cy,
    slab_check,
    slab_cy,
    slab_grow_cy,
    slab_recover_cy,
    slab_state_cy,
    slabinfo,
    zone_cy,
)
from tests.support import in_child
from tests.unit.smpmm.mm.slab_support import GFP_ATOMIC, GFP_KERNEL, slab_machine

KIND_CPU = 1
POINTS = ("slab_refill", "slab_flush", "slab_grow", "slab_grown", "slab_destroy",
          "cache_create", "cache_destroy", "cache_destroyed", "slab_tune", "page_split",
          "page_allocated")  # fmt: skip


def be_cpu1() -> None:
    percpu_cy.take_slot(1, KIND_CPU, "cpu1", 1)
    percpu_cy.become(1, os.getpid())


def work(rounds: int, seed: int = 0) -> None:
    """Allocate, free, create, shrink and destroy, for the named points to be passed."""
    dice = random.Random(seed)
    held: list[int] = []
    for _ in range(rounds):
        name = f"c{dice.random():.12f}"
        made = cache_cy.kmem_cache_create(name, 600, 0, 0, None, None)
        for size in (32, 600, 2048, 8192):
            held += [slab_cy.kmalloc(size, GFP_ATOMIC) for _ in range(dice.randrange(300))]
        objects = [slab_cy.kmem_cache_alloc(made, GFP_KERNEL) for _ in range(140)]
        limit = dice.randrange(2, 250)
        assert slabinfo.slabinfo_write(f"{name} {limit} {limit // 2}") > 0
        dice.shuffle(held)
        for address in objects:
            slab_cy.kmem_cache_free(made, address)
        while len(held) > 200:
            slab_cy.kfree(held.pop())
        shrink_cy.kmem_cache_destroy(made)
        shrink_cy.reap(GFP_KERNEL)


def bury(slot: int = 1, cpu: int = 1) -> int:
    """Do what a machine does after a death; frees what the dead one had, returns how many."""
    percpu_cy.mark_dead(slot)
    reap_cy.reap_slot(slot)
    slab_recover_cy.recover(slot, KIND_CPU, cpu)
    check_objects()
    zone_cy.rebuild()
    slab_check.check_slabs()
    page_check_cy.check_pages()
    left = [o for o in slab_state_cy.allocated_objects() if o["slot"] == slot]
    for found in left:
        slab_cy.kfree(found["address"])
    for pfn, order, site, _pid in page_cy.pages_of_slot(slot):
        assert site, f"pfn {pfn:#x} has no call site"
        page_calls_cy.free_pages(0xC0000000 + (pfn << 12), order)
    slab_check.check_slabs()
    return len(left)


def shrink_all() -> None:
    for index in slab_state_cy.live_caches():
        info = slab_state_cy.cache_info(index)
        if info["name"].startswith("c0."):
            assert shrink_cy.kmem_cache_destroy(info["address"]) == 0
    for _ in range(2):
        for index in slab_state_cy.live_caches():
            shrink_cy.kmem_cache_shrink(slab_state_cy.cache_info(index)["address"])


@pytest.fixture(params=[False, True], ids=["plain", "slab_debug"])
def free_pages(request) -> int:
    slab_machine(16 << 20, cpus=2, options={"slab_debug": request.param})
    work(2)
    left = [o["address"] for o in slab_state_cy.allocated_objects()]
    for address in left:
        slab_cy.kfree(address)
    shrink_all()
    return page_calls_cy.nr_free_pages()


@pytest.mark.parametrize("point", POINTS)
def test_a_death_at_a_named_point_loses_nothing(free_pages, point) -> None:
    def die() -> None:
        be_cpu1()
        kill_cy.arm(point)
        work(3)

    in_child(die, expect=signal.SIGKILL)
    bury()
    shrink_all()
    slab_check.check_slabs()
    assert page_calls_cy.nr_free_pages() == free_pages
    work(1)
    slab_check.check_slabs()


def test_a_death_while_a_debugged_object_is_on_its_way_loses_nothing() -> None:
    slab_machine(16 << 20, cpus=2, options={"slab_debug": True})
    made = cache_cy.kmem_cache_create("c0.way", 600, 0, 0, None, None)
    held = slab_cy.kmem_cache_alloc(made, GFP_KERNEL)
    for first in (True, False):  # on the way to its user, and back

        def die(alloc: bool = first) -> None:
            be_cpu1()
            if alloc:
                kill_cy.arm("slab_claimed")
                slab_cy.kmem_cache_alloc(made, GFP_KERNEL)
            kill_cy.arm("slab_claimed")
            slab_cy.kmem_cache_free(made, held)

        in_child(die, expect=signal.SIGKILL)
        assert bury() == 0
    assert shrink_cy.kmem_cache_destroy(made) == 0


def test_a_death_in_a_constructor_loses_nothing(free_pages) -> None:
    made = cache_cy.kmem_cache_create("c0.ctor", 600, 0, 0, 0xFF000100, None)
    slab_grow_cy.register_text(lambda *words: os.kill(os.getpid(), signal.SIGKILL))

    def die() -> None:
        be_cpu1()
        slab_cy.kmem_cache_alloc(made, GFP_KERNEL)

    in_child(die, expect=signal.SIGKILL)
    slab_grow_cy.register_text(lambda *words: None)
    bury()
    assert slab_state_cy.nr_growing(cache_cy.find_cache("c0.ctor")) == 0
    shrink_all()
    assert page_calls_cy.nr_free_pages() == free_pages


def test_deaths_at_random_instants_lose_nothing(free_pages) -> None:
    dice = random.Random(5)

    def die(turn: int, delay_s: float) -> None:
        be_cpu1()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process wherever it is
        signal.setitimer(signal.ITIMER_REAL, delay_s)
        work(100000, turn)

    for turn in range(40):
        in_child(die, turn, dice.uniform(0.002, 0.02), expect=signal.SIGALRM)
        bury()
    shrink_all()
    assert page_calls_cy.nr_free_pages() == free_pages


def test_what_is_allocated_is_told_while_another_cpu_allocates_and_frees(free_pages) -> None:
    def churn() -> None:
        be_cpu1()
        while True:
            for address in [slab_cy.kmalloc(32, GFP_ATOMIC) for _ in range(20)]:
                slab_cy.kfree(address)

    child = in_child(churn, wait=False)
    try:
        while percpu_cy.slot_info(1)["pid"] != child:
            os.sched_yield()
        for _ in range(3000):
            assert all(each["site"] for each in slab_state_cy.allocated_objects())
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
