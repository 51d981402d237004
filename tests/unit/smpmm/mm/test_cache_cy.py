"""kmem_cache_create, shrink, reap and destroy in one process."""

import pytest

from cpus import context_cy, event_cy
from cpus.errors import KernelBug, SleepingInAtomic
from smpmm.mm import (
    cache_cy,
    page_calls_cy,
    shrink_cy,
    slab_check,
    slab_cy,
    slab_grow_cy,
    slab_state_cy,
)
from tests.unit.smpmm.mm.slab_support import (
    GFP_ATOMIC,
    GFP_KERNEL,
    SLAB_CACHE_DMA,
    SLAB_HWCACHE_ALIGN,
    SLAB_NO_REAP,
    cache,
    counts,
    slab_machine,
)

CTOR, DTOR = 0xFF000100, 0xFF000200


@pytest.fixture(autouse=True)
def calls():
    """The constructors' and destructors' calls: (function, object, cache, flags)."""
    slab_machine()
    made: list[tuple] = []
    slab_grow_cy.register_text(lambda *words: made.append(words))
    yield made
    slab_check.check_slabs()
    slab_grow_cy.register_text(None)


def create(name="test", size=100, offset=0, flags=0, ctor=None, dtor=None):
    return cache_cy.kmem_cache_create(name, size, offset, flags, ctor, dtor)


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"name": None}, "no name"),
        ({"name": "nineteen characters"}, "19 characters, at most 18"),
        ({"size": 3}, "size 3"),
        ({"size": 131073}, "size 131073"),
        ({"dtor": DTOR}, "destructor without a constructor"),
        ({"offset": -1}, "offset -1"),
        ({"offset": 101}, "offset 101"),
        ({"flags": 0x400}, "flags 0x400"),
        ({"flags": 0x800 | SLAB_HWCACHE_ALIGN}, "flags 0x800"),
        ({"flags": 0x8000}, "flags 0x8000"),
        ({"name": "size-32"}, "size-32 exists already"),
    ],
)
def test_what_2_4_calls_a_bug_is_one(wrong, says) -> None:
    before = slab_state_cy.live_caches()
    with pytest.raises(KernelBug, match=says):
        create(**wrong)
    assert slab_state_cy.live_caches() == before


def test_a_name_of_eighteen_characters_is_fine() -> None:
    made = create("eighteen character")
    assert cache("eighteen character")["address"] == made.address


@pytest.mark.parametrize(
    "call",
    [
        create,
        lambda: shrink_cy.kmem_cache_shrink(cache("size-32")["address"]),
        lambda: shrink_cy.kmem_cache_destroy(cache("size-32")["address"]),
        lambda: slab_cy.kmalloc(32, GFP_KERNEL),
        lambda: shrink_cy.kmem_cache_reap(GFP_KERNEL),
    ],
)
def test_what_may_sleep_is_reported_in_atomic_context(call) -> None:
    context_cy.preempt_disable()
    try:
        with pytest.raises(SleepingInAtomic):
            call()
    finally:
        context_cy.preempt_enable()


def test_a_size_that_is_no_multiple_of_a_word_is_rounded_with_a_message() -> None:
    create("odd", 33)
    assert cache("odd")["objsize"] == 36
    assert "kmem_create: Forcing size word alignment - odd" in event_cy.dmesg()


def test_the_figures_of_a_cache_are_those_of_its_geometry() -> None:
    create("scullc", 4000, 0, SLAB_HWCACHE_ALIGN)
    info = cache("scullc")
    assert (info["objsize"], info["gfporder"], info["num"]) == (4000, 0, 1)
    assert (info["off_slab"], info["colour"], info["limit"]) == (False, 2, 60)


def test_a_dma_cache_takes_its_pages_from_the_dma_zone() -> None:
    made = create("dma", 512, 0, SLAB_CACHE_DMA)
    assert slab_cy.kmem_cache_alloc(made, GFP_KERNEL) < 0xC0000000 + (4 << 20)


def test_small_objects_have_a_truth_word_each() -> None:
    made = create("tiny", 4)
    objects = {slab_cy.kmem_cache_alloc(made, GFP_KERNEL) for _ in range(1500)}
    assert len(objects) == 1500
    for address in objects:
        slab_cy.kmem_cache_free(made, address)
    assert shrink_cy.kmem_cache_destroy(made) == 0


@pytest.mark.parametrize("gfp, flags", [(GFP_KERNEL, 1), (GFP_ATOMIC, 3)])
def test_the_constructor_runs_once_for_each_object_of_a_new_slab(calls, gfp, flags) -> None:
    made = create(ctor=CTOR, dtor=DTOR)
    assert calls == []
    address = slab_cy.kmem_cache_alloc(made, gfp)
    assert len(calls) == cache("test")["num"]
    assert {c[0] for c in calls} == {CTOR} and {c[2:] for c in calls} == {
        (made.address, flags)
    }
    assert len({c[1] for c in calls}) == len(calls) and address in {c[1] for c in calls}
    slab_cy.kmem_cache_free(made, address)
    slab_cy.kmem_cache_alloc(made, gfp)
    assert len(calls) == cache("test")["num"]


def test_the_destructor_runs_when_the_slab_goes(calls) -> None:
    made = create(ctor=CTOR, dtor=DTOR)
    slab_cy.kmem_cache_free(made, slab_cy.kmem_cache_alloc(made, GFP_KERNEL))
    objects = {c[1] for c in calls}
    calls.clear()
    assert shrink_cy.kmem_cache_shrink(made) == 0
    assert {c[1] for c in calls} == objects and {c[0] for c in calls} == {DTOR}
    assert {c[3] for c in calls} == {0}


def test_a_constructor_that_raises_loses_nothing() -> None:
    free = page_calls_cy.nr_free_pages()
    made = create(ctor=CTOR)
    taken = free - page_calls_cy.nr_free_pages()

    def fail(*words):
        raise RuntimeError("constructor")

    slab_grow_cy.register_text(fail)
    with pytest.raises(RuntimeError, match="constructor"):
        slab_cy.kmem_cache_alloc(made, GFP_KERNEL)
    assert free - page_calls_cy.nr_free_pages() == taken
    assert slab_state_cy.nr_growing(cache_cy.find_cache("test")) == 0
    slab_grow_cy.register_text(lambda *words: None)
    assert slab_cy.kmem_cache_alloc(made, GFP_KERNEL)


def test_a_constructor_may_allocate() -> None:
    made = create(ctor=CTOR)
    got = []
    slab_grow_cy.register_text(lambda *words: got.append(slab_cy.kmalloc(32, GFP_KERNEL)))
    assert slab_cy.kmem_cache_alloc(made, GFP_KERNEL)
    assert len(set(got)) == cache("test")["num"]


def test_destroy_fails_while_an_object_lives() -> None:
    made = create()
    address = slab_cy.kmem_cache_alloc(made, GFP_KERNEL)
    assert shrink_cy.kmem_cache_destroy(made) == 1
    assert f"kmem_cache_destroy: Can't free all objects {made.address:08x}" in event_cy.dmesg()
    slab_cy.kmem_cache_free(made, address)
    assert shrink_cy.kmem_cache_destroy(made) == 0
    assert cache_cy.find_cache("test") == -1


def test_a_name_can_be_used_again_after_destroy() -> None:
    handles = []
    for _ in range(300):
        made = create()
        handles.append(made.address)
        slab_cy.kmem_cache_free(made, slab_cy.kmem_cache_alloc(made, GFP_KERNEL))
        assert shrink_cy.kmem_cache_destroy(made) == 0


def test_the_table_is_full_at_last_and_create_returns_none() -> None:
    made = []
    while (one := create(f"n{len(made)}", 32)) is not None:
        made.append(one)
    assert len(made) == 256 - 27
    for one in made:
        assert shrink_cy.kmem_cache_destroy(one) == 0


def test_shrink_returns_1_while_slabs_remain() -> None:
    made = create()
    first = slab_cy.kmem_cache_alloc(made, GFP_KERNEL)
    assert shrink_cy.kmem_cache_shrink(made) == 1
    slab_cy.kmem_cache_free(made, first)
    assert shrink_cy.kmem_cache_shrink(made) == 0
    assert counts("test") == (0, 0, 0, 0)


def free_slabs(name: str, nr: int, flags: int = 0) -> None:
    """Make a cache with `nr` free slabs of one object each."""
    made = create(name, 4096, 0, flags)
    for address in [slab_cy.kmem_cache_alloc(made, GFP_KERNEL) for _ in range(nr)]:
        slab_cy.kmem_cache_free(made, address)


def reap_until_quiet() -> int:
    """Reap until a whole round of the clock finds nothing; returns pages."""
    total = quiet = 0
    while quiet < 6:
        got = shrink_cy.reap(GFP_KERNEL)
        total += got
        quiet = 0 if got else quiet + 1
    return total


def test_reap_passes_a_cache_that_has_grown_once_and_takes_eighty_percent() -> None:
    free_slabs("big", 8)
    for _ in range(10):
        before = counts("big")[3]
        if shrink_cy.reap(GFP_KERNEL) and counts("big")[3] != before:
            break
    assert before == 8
    assert counts("big")[3] == 8 - (8 * 4 + 1) // 5


def test_reap_leaves_a_cache_that_says_so() -> None:
    free_slabs("kept", 20, SLAB_NO_REAP)
    free_slabs("gone", 20)
    reap_until_quiet()
    assert counts("kept")[3] == 20
    assert counts("gone")[3] == 0


def test_a_second_growth_starts_at_another_colour() -> None:
    made = create("colours", 256)
    for _ in range(16 + 126):
        slab_cy.kmem_cache_alloc(made, GFP_KERNEL)
    offsets = {s["colouroff"] for s in slab_state_cy.slab_list(cache_cy.find_cache("colours"))}
    assert len(offsets) == cache("colours")["colour"]
