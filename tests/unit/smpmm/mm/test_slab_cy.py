"""kmalloc, kfree, kmem_cache_alloc and kmem_cache_free in one process."""

import pytest

from cpus.errors import BadFree, KernelBug, NullDereference
from smpmm.mm import cache_cy, page_calls_cy, shrink_cy, slab_cy, slab_state_cy
from tests.unit.smpmm.mm.slab_support import (
    GFP_ATOMIC,
    GFP_DMA,
    GFP_HIGHMEM,
    GFP_KERNEL,
    cache,
    counts,
    slab_machine,
)

PAGE_OFFSET = 0xC0000000


@pytest.fixture(autouse=True)
def machine():
    slab_machine()


@pytest.mark.parametrize(
    "size, objsize",
    [(0, 32), (1, 32), (32, 32), (33, 64), (256, 256), (257, 512), (131072, 131072)],
)
def test_kmalloc_takes_the_smallest_general_cache_that_fits(size, objsize) -> None:
    address = slab_cy.kmalloc(size, GFP_KERNEL)
    assert slab_cy.ksize(address) == objsize
    assert slab_state_cy.object_info(address)["cache"] == f"size-{objsize}"
    slab_cy.kfree(address)


@pytest.mark.parametrize("size", [131073, 1 << 40, -1])
def test_kmalloc_beyond_the_largest_fails_silently(size) -> None:
    assert slab_cy.kmalloc(size, GFP_KERNEL) == 0


def test_dma_objects_come_from_the_twin_cache_in_the_dma_zone() -> None:
    address = slab_cy.kmalloc(100, GFP_KERNEL | GFP_DMA)
    assert slab_state_cy.object_info(address)["cache"] == "size-128(DMA)"
    assert address < PAGE_OFFSET + (4 << 20)
    slab_cy.kfree(address)


def test_kfree_of_null_does_nothing() -> None:
    slab_cy.kfree(0)
    slab_cy.kfree(None)
    assert slab_cy.ksize(0) == 0


def test_the_newest_free_object_is_handed_out_again() -> None:
    first, second = (slab_cy.kmalloc(64, GFP_KERNEL) for _ in range(2))
    slab_cy.kfree(first)
    slab_cy.kfree(second)
    assert slab_cy.kmalloc(64, GFP_KERNEL) == second
    assert slab_cy.kmalloc(64, GFP_KERNEL) == first


def test_the_first_allocation_takes_a_batch_of_one_slab() -> None:
    slab_cy.kmalloc(128, GFP_KERNEL)
    index = cache_cy.find_cache("size-128")
    assert counts("size-128") == (30, 30, 1, 1)
    assert len(slab_state_cy.array_info(index, 0)["entries"]) == 29


def test_a_full_array_gives_its_last_batch_back() -> None:
    index = cache_cy.find_cache("size-32")
    objects = [slab_cy.kmalloc(32, GFP_KERNEL) for _ in range(400)]
    before = len(slab_state_cy.array_info(index, 0)["entries"])
    for i, address in enumerate(objects[: 252 - before]):
        slab_cy.kfree(address)
        assert len(slab_state_cy.array_info(index, 0)["entries"]) == before + i + 1
    slab_cy.kfree(objects[252 - before])
    assert len(slab_state_cy.array_info(index, 0)["entries"]) == 252 - 126 + 1


def test_objects_never_overlap_and_colours_differ_from_slab_to_slab() -> None:
    objects = sorted(slab_cy.kmalloc(256, GFP_KERNEL) for _ in range(150))
    assert all(b - a >= 256 for a, b in zip(objects, objects[1:], strict=False))
    index = cache_cy.find_cache("size-256")
    offsets = [s["colouroff"] for s in slab_state_cy.slab_list(index)]
    assert sorted(set(offsets)) == [96 + 32 * i for i in range(5)]


def test_a_large_object_costs_a_slab_and_its_management_from_a_general_cache() -> None:
    small = counts("size-32")[0]
    address = slab_cy.kmalloc(8192, GFP_KERNEL)
    assert address % 4096 == 0
    assert counts("size-8192") == (1, 1, 1, 1)
    assert counts("size-32")[0] > small
    slab_cy.kfree(address)
    assert counts("size-8192") == (0, 1, 0, 1)


def test_without_memory_kmalloc_returns_0_and_nothing_is_lost() -> None:
    taken = []
    while address := slab_cy.kmalloc(131072, GFP_ATOMIC):
        taken.append(address)
    assert taken
    for address in taken:
        slab_cy.kfree(address)
    assert slab_state_cy.nr_growing(cache_cy.find_cache("size-131072")) == 0
    assert slab_cy.kmalloc(131072, GFP_ATOMIC)


@pytest.mark.parametrize("flags", [GFP_HIGHMEM, 0x100])
def test_unknown_flags_are_a_bug_when_the_cache_grows(flags) -> None:
    with pytest.raises(KernelBug, match="kmem_cache_grow"):
        slab_cy.kmalloc(2048, GFP_ATOMIC | flags)
    assert slab_cy.kmalloc(2048, GFP_ATOMIC)


def test_no_grow_takes_what_there_is_only() -> None:
    assert slab_cy.kmalloc(1000, 0x1000 | GFP_ATOMIC) != 0  # the arrays' own cache has slabs
    assert slab_cy.kmalloc(2000, 0x1000 | GFP_ATOMIC) == 0


# ---- frees that the truth forbids


def refused(call, *args) -> str:
    before = slab_state_cy.allocated_objects()
    with pytest.raises(BadFree) as caught:
        call(*args)
    assert slab_state_cy.allocated_objects() == before
    return caught.value.report


def test_a_double_free_is_reported_with_where_the_object_is() -> None:
    address = slab_cy.kmalloc(256, GFP_KERNEL)
    slab_cy.kfree(address)
    report = refused(slab_cy.kfree, address)
    assert f"double free of {address:#010x}, cache size-256" in report
    assert "free, in the array of CPU 0" in report


def test_an_interior_pointer_is_reported_with_who_has_the_object() -> None:
    address = slab_cy.kmalloc(256, GFP_KERNEL)
    report = refused(slab_cy.kfree, address + 8)
    assert "not the start of an object, 8 bytes into it" in report
    assert "allocated by cpu0" in report and "test_slab_cy.py" in report
    slab_cy.kfree(address)


def test_a_pointer_to_the_slabs_own_words_is_reported() -> None:
    address = slab_cy.kmalloc(256, GFP_KERNEL)
    assert "the slab's management" in refused(slab_cy.kfree, address & ~4095)


def test_a_page_that_is_no_slab_is_reported_with_what_it_is() -> None:
    page = page_calls_cy.__get_free_page(GFP_KERNEL)
    report = refused(slab_cy.kfree, page)
    assert "not of a slab" in report and "allocated, order 0" in report
    page_calls_cy.free_page(page)


@pytest.mark.parametrize("address", [8, 0x08048000, 0xFFFFF000, 0xC07FFFFF + 2])
def test_an_address_outside_of_memory_is_reported(address) -> None:
    assert "no direct-mapped memory" in refused(slab_cy.kfree, address)


def test_an_object_of_another_cache_is_reported() -> None:
    one = cache_cy.kmem_cache_create("one", 64, 0, 0, None, None)
    other = cache_cy.kmem_cache_create("other", 64, 0, 0, None, None)
    address = slab_cy.kmem_cache_alloc(one, GFP_KERNEL)
    report = refused(slab_cy.kmem_cache_free, other, address)
    assert "expected cache other, got one" in report
    slab_cy.kmem_cache_free(one, address)


def test_what_the_allocator_has_for_itself_cannot_be_freed() -> None:
    made = cache_cy.kmem_cache_create("mine", 64, 0, 0, None, None)
    assert "belongs to the slab allocator" in refused(slab_cy.kfree, made.address)


def test_a_destroyed_cache_is_recognised() -> None:
    made = cache_cy.kmem_cache_create("gone", 64, 0, 0, None, None)
    assert shrink_cy.kmem_cache_destroy(made) == 0
    with pytest.raises(KernelBug, match="a cache that was destroyed"):
        slab_cy.kmem_cache_alloc(made, GFP_KERNEL)
    with pytest.raises(KernelBug, match="is no cache"):
        slab_cy.kmem_cache_alloc(slab_cy.kmalloc(32, GFP_KERNEL), GFP_KERNEL)
    with pytest.raises(NullDereference):
        slab_cy.kmem_cache_alloc(None, GFP_KERNEL)


def test_kmem_cache_alloc_takes_the_handle_or_its_address() -> None:
    made = cache_cy.kmem_cache_create("either", 64, 0, 0, None, None)
    by_handle = slab_cy.kmem_cache_alloc(made, GFP_KERNEL)
    by_address = slab_cy.kmem_cache_alloc(int(made), GFP_KERNEL)
    slab_cy.kmem_cache_free(int(made), by_handle)
    slab_cy.kmem_cache_free(made, by_address)
    assert cache("either")["repaired"] == 0


def test_pages_are_a_slabs_from_growth_to_shrink() -> None:
    free = page_calls_cy.nr_free_pages()
    made = cache_cy.kmem_cache_create("paged", 1024, 0, 0, None, None)
    after_create = page_calls_cy.nr_free_pages()
    objects = [slab_cy.kmem_cache_alloc(made, GFP_KERNEL) for _ in range(200)]
    assert page_calls_cy.nr_free_pages() < after_create
    for address in objects:
        slab_cy.kmem_cache_free(made, address)
    assert shrink_cy.kmem_cache_destroy(made) == 0
    shrink_cy.kmem_cache_shrink(
        slab_state_cy.cache_info(cache_cy.find_cache("size-32"))["address"]
    )
    shrink_cy.kmem_cache_shrink(
        slab_state_cy.cache_info(cache_cy.find_cache("size-1024"))["address"]
    )
    assert free - page_calls_cy.nr_free_pages() <= 1
