"""check() of the slab allocator: it names each way in which memory is damaged."""

import ctypes

import pytest

from cpus.errors import CorruptionError
from smpmm.mm import cache_cy, slab_check, slab_cy, slab_recover_cy, slab_state_cy
from tests.unit.smpmm.mm.slab_support import GFP_KERNEL, slab_machine


@pytest.fixture
def index() -> int:
    """The number of a cache with full, partial and free slabs, and objects in the array."""
    slab_machine()
    made = cache_cy.kmem_cache_create("checked", 1024, 0, 0, None, None)
    objects = [slab_cy.kmem_cache_alloc(made, GFP_KERNEL) for _ in range(150)]
    for address in objects[:140]:
        slab_cy.kmem_cache_free(made, address)
    number = cache_cy.find_cache("checked")
    slab_check.check_slabs()
    return number


def poke32(address: int, value: int) -> None:
    ctypes.c_uint32.from_address(address).value = value


def poke64(address: int, value: int) -> None:
    ctypes.c_uint64.from_address(address).value = value


def field(what: str, name: str, number: int, cpu: int = 0) -> int:
    struct = {"cache": "kmem_cache", "array": "array_cache"}.get(what, what)
    return slab_state_cy.native(what, number, cpu) + slab_state_cy.offset(f"{struct}.{name}")


def broken(says: str) -> None:
    with pytest.raises(CorruptionError) as caught:
        slab_check.check_slabs()
    assert says in "\n".join(slab_check.broken_invariants()), caught.value


def some_slab(index: int, **wanted) -> dict:
    slabs = slab_state_cy.slab_list(index)
    return next(s for s in slabs if all(s[k] == v for k, v in wanted.items()))


def test_a_wrong_inuse_is_named_and_rebuilt(index) -> None:
    slab = some_slab(index, inuse=0)
    poke32(field("slab", "inuse", slab["pfn"]), 1)
    broken("inuse counts the objects that are not free")
    slab_recover_cy.rebuild()
    slab_check.check_slabs()


def test_a_damaged_free_list_is_named_and_rebuilt(index) -> None:
    slab = some_slab(index, inuse=0)
    poke32(field("slab", "free", slab["pfn"]), 0xFFFFFFFF)
    broken("The free list has exactly the free objects")
    slab_recover_cy.rebuild()
    slab_check.check_slabs()


def test_a_wrong_length_is_named(index) -> None:
    poke64(field("cache", "nr_slabs", index), 1)
    broken("nr_slabs is the list's length")


def test_a_wrong_count_of_active_objects_is_named_and_recounted(index) -> None:
    poke64(field("cache", "num_active", index), 3)
    broken("num_active is the sum of what the slabs have in use")
    slab_recover_cy.rebuild()
    slab_check.check_slabs()


def test_a_wrong_firstnotfull_is_named(index) -> None:
    poke64(field("cache", "firstnotfull", index), 0)
    broken("firstnotfull is the first slab that is not full")


def test_a_lost_slab_is_named(index) -> None:
    poke64(field("cache", "first", index), 0)
    broken("Each slab is on its cache's list")
    slab_recover_cy.rebuild()
    slab_check.check_slabs()


def test_a_cycle_is_named(index) -> None:
    pfns = [s["pfn"] for s in slab_state_cy.slab_list(index)]
    poke64(field("slab", "next", pfns[-1]), slab_state_cy.native("slab", pfns[0]))
    broken("has a cycle")


def test_a_slab_of_another_cache_is_named(index) -> None:
    slab = some_slab(index, inuse=0)
    ctypes.c_uint16.from_address(field("slab", "cache", slab["pfn"])).value = 3
    broken("The struct slab of a page names the page's cache")


def test_an_array_entry_that_is_not_cached_is_named(index) -> None:
    avail = len(slab_state_cy.array_info(index, 0)["entries"])
    poke32(field("array", "avail", index), avail - 1)
    broken("A CPU's array has exactly the objects whose truth says so")


def test_an_array_beyond_its_limit_is_named(index) -> None:
    poke32(field("array", "limit", index), 3)
    broken("An array holds at most its limit")


def test_a_truth_word_that_says_nothing_is_named(index) -> None:
    slab = some_slab(index, inuse=0)
    poke64(slab_state_cy.native("truth", slab["truth"]), 7)
    broken("An object is free, cached or allocated")


def test_a_truth_word_with_a_wrong_place_is_named(index) -> None:
    slab = some_slab(index, inuse=0)
    poke64(slab_state_cy.native("truth", slab["truth"]), 1 | 0x1234 << 16)
    broken("A free object's truth names its place")


def test_an_object_that_nobody_alive_brings_home_is_named(index) -> None:
    slab = some_slab(index, inuse=0)
    at = slab_state_cy.native("truth", slab["truth"])
    poke64(at, ctypes.c_uint64.from_address(at).value & ~0xFFFF | 40 << 8 | 5)
    broken("An object on its way into an array has a live process that brings it")


def test_a_truth_word_of_a_cpu_that_is_not_there_is_named(index) -> None:
    slab = some_slab(index, inuse=0)
    at = slab_state_cy.native("truth", slab["truth"])
    poke64(at, ctypes.c_uint64.from_address(at).value & ~0xFFFF | 9 << 8 | 2)
    broken("A cached object names a CPU of the machine")


def test_a_management_object_that_is_another_is_named(index) -> None:
    slab = some_slab(index, inuse=0)
    other = slab_cy.kmalloc(64, GFP_KERNEL)
    poke64(field("slab", "management", slab["pfn"]), other - 0xC0000000)
    broken("The management of an off-slab slab is an object that is its own")


def test_a_handle_that_names_another_cache_is_named(index) -> None:
    from cpus import segment_cy

    address = slab_state_cy.cache_info(index)["address"]
    poke32(segment_cy.native_address(address, 4), index + 1)
    broken("A cache's handle names the cache")


def test_an_array_that_is_no_cpus_is_named(index) -> None:
    poke64(field("array", "cpucache", index), 0)
    broken("What the allocator has for itself is a management, a handle or an array")


def test_full_slabs_behind_others_are_named(index) -> None:
    slabs = slab_state_cy.slab_list(index)
    assert slabs[0]["inuse"] and not slabs[-1]["inuse"]
    poke32(field("slab", "inuse", slabs[-1]["pfn"]), 4)
    broken("Full slabs stand before partial ones")


def test_a_free_list_damaged_by_an_overrun_is_repaired_when_it_is_followed() -> None:
    """A driver writes below its object, over the bufctl array at the slab's start."""
    slab_machine()
    made = cache_cy.kmem_cache_create("overrun", 256, 0, 0, None, None)
    first = slab_cy.kmem_cache_alloc(made, GFP_KERNEL)
    index = cache_cy.find_cache("overrun")
    assert slab_state_cy.array_info(index, 0)["entries"]
    got = {first}
    from cpus import segment_cy

    page = first & ~4095
    ctypes.memset(segment_cy.native_address(page, 96), 0xFF, 96)
    got |= {slab_cy.kmem_cache_alloc(made, GFP_KERNEL) for _ in range(100)}
    assert len(got) == 101
    for address in got:
        slab_cy.kmem_cache_free(made, address)
    assert len(slab_state_cy.allocated_objects(index)) == 0
