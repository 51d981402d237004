"""The debugging build: red zones, poison, who had an object; each bug is reported once."""

import ctypes

import pytest

from cpus import event_cy, segment_cy
from cpus.errors import BadFree, KernelBug, SlabCorruption
from smpmm.invariants import check_objects
from smpmm.mm import (
    cache_cy,
    page_calls_cy,
    shrink_cy,
    slab_check,
    slab_cy,
    slab_debug_cy,
    slab_grow_cy,
    slab_state_cy,
    slabinfo,
)
from tests.unit.smpmm.mm.slab_support import (
    GFP_ATOMIC,
    GFP_DMA,
    GFP_KERNEL,
    SLAB_CACHE_DMA,
    SLAB_HWCACHE_ALIGN,
    SLAB_NO_REAP,
    cache,
    slab_machine,
)

CTOR, DTOR = 0xFF000100, 0xFF000200
INITIAL, RED_ZONE, POISON = 0x200, 0x400, 0x800
INACTIVE, ACTIVE = (0x5A2CF071).to_bytes(4, "little"), (0x170FC2A5).to_bytes(4, "little")


@pytest.fixture(autouse=True)
def calls():
    """The constructors' and destructors' calls; the machine is whole afterwards."""
    slab_machine(options={"slab_debug": True})
    made: list[tuple] = []
    slab_grow_cy.register_text(lambda *words: made.append(words))
    yield made
    slab_check.check_slabs()
    check_objects()
    slab_grow_cy.register_text(None)
    slab_machine()


def create(name="test", size=100, offset=0, flags=0, ctor=None, dtor=None):
    return cache_cy.kmem_cache_create(name, size, offset, flags, ctor, dtor)


def peek(address: int, nr_bytes: int) -> bytes:
    return ctypes.string_at(segment_cy.native_address(address, nr_bytes), nr_bytes)


def poke(address: int, data: bytes) -> None:
    ctypes.memmove(segment_cy.native_address(address, len(data)), data, len(data))


def corrupted(call, *args) -> str:
    with pytest.raises(SlabCorruption) as caught:
        call(*args)
    assert str(caught.value).startswith("kernel BUG at slab.c: ")
    return caught.value.report


# ---- layout


def test_small_objects_have_red_zones_and_no_alignment_to_cache_lines() -> None:
    info = cache("size-64")
    assert (info["objsize"], info["payload"], info["red_bytes"]) == (72, 64, 4)
    assert info["flags"] == RED_ZONE | POISON
    assert slab_cy.ksize(slab_cy.kmalloc(64, GFP_KERNEL)) == 64


def test_objects_of_an_eighth_of_a_page_have_poison_only() -> None:
    info = cache("size-512")
    assert (info["objsize"], info["payload"], info["red_bytes"]) == (512, 512, 0)
    assert info["flags"] == POISON | SLAB_HWCACHE_ALIGN


def test_kmem_cache_itself_has_neither() -> None:
    assert (cache("kmem_cache")["flags"], cache("kmem_cache")["objsize"]) == (
        SLAB_NO_REAP,
        272,
    )


def test_an_allocated_object_is_full_of_poison_between_active_words() -> None:
    address = slab_cy.kmalloc(32, GFP_KERNEL)
    assert peek(address - 4, 40) == ACTIVE + b"\x5a" * 31 + b"\xa5" + ACTIVE
    poke(address, b"x" * 32)
    slab_cy.kfree(address)
    assert peek(address - 4, 40) == INACTIVE + b"\x5a" * 31 + b"\xa5" + INACTIVE


@pytest.mark.parametrize("size", [32, 64, 128, 256, 504, 100])
def test_what_users_have_is_aligned_for_our_locks_where_the_size_is(size) -> None:
    """The kernel has it behind a word of four bytes; our locks have words of eight."""
    align = 8 if size % 8 == 0 else 4
    made = create(size=size)
    objects = [slab_cy.kmem_cache_alloc(made, GFP_KERNEL) for _ in range(300)]
    assert all(address % align == 0 for address in objects)
    assert max(address + size + 4 & 4095 for address in objects) <= 4095


def test_a_red_zone_that_is_asked_for_is_there_whatever_the_size() -> None:
    made = create(size=2000, flags=RED_ZONE)
    address = slab_cy.kmem_cache_alloc(made, GFP_KERNEL)
    assert peek(address + 2000, 4) == ACTIVE
    slab_cy.kmem_cache_free(made, address)
    assert peek(address - 4, 4) == INACTIVE


def test_what_of_the_flags_makes_no_sense_is_dropped_with_a_message() -> None:
    create("a", flags=INITIAL)
    assert "kmem_create: No con, but init state check requested - a" in event_cy.dmesg()
    assert cache("a")["flags"] == RED_ZONE | POISON
    create("b", flags=POISON, ctor=CTOR)
    assert "kmem_create: Poisoning requested, but con given - b" in event_cy.dmesg()
    assert cache("b")["flags"] == RED_ZONE


@pytest.mark.parametrize("flags", [0x100, 0x8000])
def test_flags_that_no_build_knows_are_a_bug(flags) -> None:
    with pytest.raises(KernelBug, match=f"flags {flags:#x}"):
        create(flags=flags)


def test_slabinfo_has_statistics_and_the_sizes_with_red_zones() -> None:
    lines = slabinfo.slabinfo_text().splitlines()
    assert lines[0] == "slabinfo - version: 1.1 (statistics) (SMP)"
    row = next(line for line in lines if line.startswith("size-128 "))
    assert row.split()[3] == "136"


def test_hits_are_counted() -> None:
    for _ in range(3):
        slab_cy.kfree(slab_cy.kmalloc(128, GFP_KERNEL))
    assert slab_state_cy.array_hits(cache_cy.find_cache("size-128")) == (2, 2, 3, 0)


# ---- bugs of drivers


@pytest.mark.parametrize(
    "offset, says", [(64, "behind object"), (-1, "before object"), (67, "behind object")]
)
def test_an_off_by_one_write_is_reported_at_the_free(offset, says) -> None:
    address = slab_cy.kmalloc(64, GFP_KERNEL)
    poke(address + offset, b"!")
    report = corrupted(slab_cy.kfree, address)
    assert f"kfree: size-64: the red zone {says} {address:#010x} is overwritten" in report
    assert f"object {address:#010x}, number" in report and "cache size-64 (64 bytes)" in report
    assert "allocated by cpu0" in report and "test_slab_debug.py" in report
    assert "last found whole" in report
    slab_cy.kfree(address)  # reported once


def test_the_bytes_of_a_damaged_red_zone_are_shown() -> None:
    address = slab_cy.kmalloc(64, GFP_KERNEL)
    poke(address + 64, b"!")
    report = corrupted(slab_cy.kfree, address)
    assert (
        f"red zone behind it, at {address + 64:#010x}: 21 c2 0f 17, not a5 c2 0f 17" in report
    )
    slab_cy.kfree(address)


def test_a_damaged_red_zone_leaves_the_object_allocated() -> None:
    address = slab_cy.kmalloc(64, GFP_KERNEL)
    poke(address + 64, b"!")
    corrupted(slab_cy.kfree, address)
    assert slab_state_cy.object_info(address)["kind"] == "allocated"
    slab_cy.kfree(address)


def test_a_write_after_the_free_is_reported_at_the_next_allocation() -> None:
    address = slab_cy.kmalloc(2000, GFP_KERNEL)
    slab_cy.kfree(address)
    poke(address + 100, b"late")
    report = corrupted(slab_cy.kmalloc, 2000, GFP_ATOMIC)
    assert f"size-2048: free object {address:#010x} was written to" in report
    assert f"4 bytes from offset 100, at {address + 100:#010x}: 6c 61 74 65" in report
    assert "last allocated by cpu0" in report and "last freed by cpu0" in report
    assert "silent: it looks for the first byte a5 only" in report
    assert slab_cy.kmalloc(2000, GFP_ATOMIC) == address  # reported once, and not lost


def test_what_2_4_itself_would_have_seen_is_said() -> None:
    address = slab_cy.kmalloc(2000, GFP_KERNEL)
    slab_cy.kfree(address)
    poke(address + 2047, b"\x00")
    assert "BUG() when the object leaves" in corrupted(slab_cy.kmalloc, 2000, GFP_KERNEL)


def test_kmem_cache_alloc_looks_too() -> None:
    made = create()
    address = slab_cy.kmem_cache_alloc(made, GFP_KERNEL)
    slab_cy.kmem_cache_free(made, address)
    poke(address, b"late")
    assert "test: free object" in corrupted(slab_cy.kmem_cache_alloc, made, GFP_KERNEL)
    assert slab_cy.kmem_cache_alloc(made, GFP_KERNEL) == address


def test_an_object_without_array_is_looked_at() -> None:
    address = slab_cy.kmalloc(8192, GFP_KERNEL)
    slab_cy.kfree(address)
    poke(address + 5000, b"late")
    assert "size-8192: free object" in corrupted(slab_cy.kmalloc, 8192, GFP_KERNEL)
    assert slab_cy.kmalloc(8192, GFP_KERNEL) == address


def bad_free(call, *args) -> str:
    with pytest.raises(BadFree) as caught:
        call(*args)
    return caught.value.report


def test_a_double_free_says_who_freed_it_first() -> None:
    address = slab_cy.kmalloc(64, GFP_KERNEL)
    slab_cy.kfree(address)
    report = bad_free(slab_cy.kfree, address)
    assert f"double free of {address:#010x}, cache size-64" in report
    assert "last allocated by cpu0" in report and "last freed by cpu0" in report


def test_a_free_to_the_wrong_cache_says_who_had_it() -> None:
    one, other = create("one"), create("other")
    address = slab_cy.kmem_cache_alloc(one, GFP_KERNEL)
    report = bad_free(slab_cy.kmem_cache_free, other, address)
    assert "expected cache other, got one" in report
    assert "last allocated by cpu0" in report and "last freed" not in report
    slab_cy.kmem_cache_free(one, address)


def test_flags_for_another_zone_than_the_caches_are_a_bug() -> None:
    plain, dma = create("plain"), create("dma", flags=SLAB_CACHE_DMA)
    with pytest.raises(KernelBug, match="GFP_DMA and SLAB_CACHE_DMA go together"):
        slab_cy.kmem_cache_alloc(plain, GFP_KERNEL | GFP_DMA)
    with pytest.raises(KernelBug, match="GFP_DMA and SLAB_CACHE_DMA go together"):
        slab_cy.kmem_cache_alloc(dma, GFP_KERNEL)
    assert slab_cy.kmem_cache_alloc(dma, GFP_KERNEL | GFP_DMA)
    assert slab_cy.kmalloc(100, GFP_KERNEL | GFP_DMA)


# ---- who looks besides


def test_shrink_reports_an_allocated_object_that_was_overrun() -> None:
    made = create()
    address = slab_cy.kmem_cache_alloc(made, GFP_KERNEL)
    poke(address + 100, b"!")
    report = corrupted(shrink_cy.kmem_cache_shrink, made)
    assert f"kmem_cache_shrink: test: the red zone behind object {address:#010x}" in report
    assert shrink_cy.kmem_cache_shrink(made) == 1


def test_shrink_reports_a_free_object_of_each_kind_at_once() -> None:
    made = create()
    objects = [slab_cy.kmem_cache_alloc(made, GFP_KERNEL) for _ in range(3)]
    for address in objects:
        slab_cy.kmem_cache_free(made, address)
    for address in objects:
        poke(address + 8, b"late")
    report = corrupted(shrink_cy.kmem_cache_shrink, made)
    assert all(f"{address:#010x}" in report for address in objects)
    assert shrink_cy.kmem_cache_shrink(made) == 0


def test_destroy_reports_and_can_be_called_again() -> None:
    made = create()
    address = slab_cy.kmem_cache_alloc(made, GFP_KERNEL)
    slab_cy.kmem_cache_free(made, address)
    poke(address, b"late")
    corrupted(shrink_cy.kmem_cache_destroy, made)
    assert cache_cy.find_cache("test") >= 0
    assert shrink_cy.kmem_cache_destroy(made) == 0


def test_reap_logs_what_it_finds_and_harms_nobody() -> None:
    made = create(size=4000)
    objects = [slab_cy.kmem_cache_alloc(made, GFP_KERNEL) for _ in range(10)]
    for address in objects:
        slab_cy.kmem_cache_free(made, address)
    for address in objects:
        poke(address, b"late")
    while not cache("test")["reaped"]:
        shrink_cy.reap(GFP_KERNEL)
    assert "kmem_slab_destroy: test: free object" in event_cy.dmesg()
    with pytest.raises(SlabCorruption):
        shrink_cy.kmem_cache_shrink(made)  # those that are left


def test_check_reports_each_time_and_changes_nothing() -> None:
    address = slab_cy.kmalloc(64, GFP_KERNEL)
    poke(address + 64, b"!")
    for _ in range(2):
        assert "check: size-64: the red zone behind object" in corrupted(check_objects)
    assert peek(address + 64, 1) == b"!"
    slab_debug_cy.make_whole(address, True)


@pytest.mark.parametrize("damage", ["before", "behind", "inside"])
def test_check_names_each_way_in_which_a_free_object_is_damaged(damage) -> None:
    address = slab_cy.kmalloc(64, GFP_KERNEL)
    slab_cy.kfree(address)
    poke(address + {"before": -4, "behind": 64, "inside": 63}[damage], b"!")
    report = corrupted(check_objects)
    says = {"before": "red zone before", "behind": "red zone behind", "inside": "written to"}
    assert says[damage] in report
    slab_debug_cy.make_whole(address, False)


def test_when_an_object_was_last_whole_moves_with_each_look() -> None:
    address = slab_cy.kmalloc(64, GFP_KERNEL)
    first = slab_debug_cy.user_info(address)["verified_ns"]
    check_objects()
    assert slab_debug_cy.user_info(address)["verified_ns"] > first


def test_a_new_slab_at_an_old_place_knows_nobody() -> None:
    made = create()
    address = slab_cy.kmem_cache_alloc(made, GFP_KERNEL)
    slab_cy.kmem_cache_free(made, address)
    assert slab_debug_cy.user_info(address)["freed"]
    assert shrink_cy.kmem_cache_shrink(made) == 0
    while slab_cy.kmem_cache_alloc(made, GFP_KERNEL) != address:
        pass
    assert not slab_debug_cy.user_info(address)["freed"]


# ---- constructors


def test_the_constructor_gets_the_object_between_its_red_zones(calls) -> None:
    made = create(ctor=CTOR, dtor=DTOR)
    address = slab_cy.kmem_cache_alloc(made, GFP_KERNEL)
    assert address in {c[1] for c in calls} and len(calls) == cache("test")["num"]
    slab_cy.kmem_cache_free(made, address)
    objects = {c[1] for c in calls}
    calls.clear()
    assert shrink_cy.kmem_cache_shrink(made) == 0
    assert {c[1] for c in calls} == objects and {c[0] for c in calls} == {DTOR}


def test_debug_initial_has_the_constructor_verify_each_free(calls) -> None:
    made = create(flags=INITIAL, ctor=CTOR)
    address = slab_cy.kmem_cache_alloc(made, GFP_KERNEL)
    calls.clear()
    slab_cy.kmem_cache_free(made, address)
    assert calls == [(CTOR, address, made.address, 5)]
    bad_free(slab_cy.kmem_cache_free, made, address)
    assert len(calls) == 1
    again = slab_cy.kmem_cache_alloc(made, GFP_KERNEL)
    slab_cy.kfree(again)
    assert calls[1:] == [(CTOR, again, made.address, 5)]


def test_a_verification_that_raises_leaves_the_object_allocated() -> None:
    made = create(flags=INITIAL, ctor=CTOR)
    address = slab_cy.kmem_cache_alloc(made, GFP_KERNEL)

    def fail(*words):
        raise RuntimeError("not in its constructed state")

    slab_grow_cy.register_text(fail)
    with pytest.raises(RuntimeError, match="constructed state"):
        slab_cy.kmem_cache_free(made, address)
    assert slab_state_cy.object_info(address)["kind"] == "allocated"
    slab_grow_cy.register_text(lambda *words: None)
    slab_cy.kmem_cache_free(made, address)


def test_a_constructed_object_keeps_its_state_without_poison(calls) -> None:
    made = create(ctor=CTOR)
    address = slab_cy.kmem_cache_alloc(made, GFP_KERNEL)
    poke(address, b"state")
    slab_cy.kmem_cache_free(made, address)
    assert peek(address, 5) == b"state"
    assert slab_cy.kmem_cache_alloc(made, GFP_KERNEL) == address


def test_pages_come_back_whole() -> None:
    made = create()
    free = page_calls_cy.nr_free_pages()
    objects = [slab_cy.kmem_cache_alloc(made, GFP_KERNEL) for _ in range(200)]
    for address in objects:
        slab_cy.kmem_cache_free(made, address)
    assert shrink_cy.kmem_cache_shrink(made) == 0
    assert page_calls_cy.nr_free_pages() == free


@pytest.mark.parametrize("word_bytes", [4, 8])
def test_small_sizes_work_to_the_word(word_bytes) -> None:
    made = create(size=word_bytes)
    objects = [slab_cy.kmem_cache_alloc(made, GFP_KERNEL) for _ in range(500)]
    assert len(set(objects)) == 500
    for address in objects:
        poke(address, b"\xff" * word_bytes)
        slab_cy.kmem_cache_free(made, address)
    assert shrink_cy.kmem_cache_destroy(made) == 0
