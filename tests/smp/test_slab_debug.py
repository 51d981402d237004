"""A machine built with slab_debug: bugs that one CPU makes and another meets; real drivers."""

import struct
from typing import Any

import pytest

from cpus import ship
from smpmm import BadFree, Machine, SlabCorruption, SleepingInAtomic
from smpmm.kernel import (
    GFP_ATOMIC,
    GFP_KERNEL,
    SLAB_CTOR_VERIFY,
    kfree,
    kmalloc,
    kmem_cache_alloc,
    kmem_cache_create,
    kmem_cache_destroy,
    kmem_cache_free,
    memset,
    peek,
    poke,
    schedule_timeout,
    smp_processor_id,
)

ship.register_by_value("tests")


@pytest.fixture(scope="module", params=["raise", "continue"])
def machine(request):
    with Machine(cpus=2, cmdline="slab_debug", on_bug=request.param) as machine:
        yield machine
        machine.check()


def overrun(size: int) -> int:
    """Write one byte too many."""
    address = kmalloc(size, GFP_KERNEL)
    memset(address, 0, size + 1)
    return address


def free(address: int) -> None:
    kfree(address)


def allocate_freed() -> int:
    """Free an object, write to it, and let somebody allocate it."""
    address = kmalloc(1000, GFP_KERNEL)
    kfree(address)
    poke(address + 8, b"late")
    return kmalloc(1000, GFP_ATOMIC)


def create(name: str, size: int, flags: int = 0, ctor: Any = None, dtor: Any = None) -> int:
    return int(kmem_cache_create(name, size, 0, flags, ctor, dtor))


def allocate(cache: int, flags: int = 7) -> int:
    return kmem_cache_alloc(cache, flags)


def give(cache: int, address: int) -> None:
    kmem_cache_free(cache, address)


def test_an_off_by_one_write_of_one_cpu_is_reported_to_the_other(machine) -> None:
    address = machine.run(overrun, 128, cpu=0)
    with pytest.raises(SlabCorruption) as caught:
        machine.run(free, address, cpu=1)
    report = caught.value.report
    assert f"kfree: size-128: the red zone behind object {address:#010x}" in report
    assert "allocated by cpu0" in report and "at overrun (test_slab_debug.py:" in report
    assert "CPU: 1" in report
    machine.run(free, address, cpu=1)


def test_a_write_after_the_free_is_reported_with_who_freed_it(machine) -> None:
    with pytest.raises(SlabCorruption) as caught:
        machine.run(allocate_freed, cpu=1)
    report = caught.value.report
    assert "4 bytes from offset 8" in report and "last freed by cpu1" in report
    assert "at allocate_freed (test_slab_debug.py:" in report


def test_a_double_free_names_both(machine) -> None:
    address = machine.run(kmalloc, 128, 7, cpu=0)
    machine.run(free, address, cpu=1)
    with pytest.raises(BadFree) as caught:
        machine.run(free, address, cpu=0)
    assert "last allocated by cpu0" in caught.value.report
    assert "last freed by cpu1" in caught.value.report


def test_a_free_to_the_wrong_cache_names_both_caches(machine) -> None:
    one, other = machine.run(create, "one", 100), machine.run(create, "other", 100)
    address = machine.run(allocate, one, cpu=1)
    with pytest.raises(BadFree, match="expected cache other, got one") as caught:
        machine.run(give, other, address, cpu=0)
    assert "allocated by cpu1" in caught.value.report
    machine.run(give, one, address)
    assert [machine.run(kmem_cache_destroy, each) for each in (one, other)] == [0, 0]


def test_check_reports_what_a_driver_has_damaged(machine) -> None:
    address = machine.run(overrun, 64)
    with pytest.raises(SlabCorruption, match="check: size-64"):
        machine.check()
    with pytest.raises(SlabCorruption):
        machine.run(free, address)
    machine.run(free, address)
    machine.check()


@pytest.mark.parametrize("name", ["scull", "scullc", "scullp"])
def test_drivers_work_and_leave_nothing(machine, name: str) -> None:
    machine.insmod(name)
    with machine.open(f"/dev/{name}0", "wb") as device:
        device.write(b"debugged" * 5000)
    with machine.open(f"/dev/{name}0", "rb") as device:
        assert device.read() == b"debugged" * 5000
    machine.rmmod(name)
    machine.check()


# ---- constructors, from a process that never saw who made the cache


def stamp(address: int, cache: int, flags: int) -> None:
    """A constructor: the first word is who called, the second how."""
    if not flags & SLAB_CTOR_VERIFY:
        poke(address, struct.pack("<II", 0x51AB0000 | smp_processor_id(), flags))
    elif peek(address, 4)[2:] != b"\xab\x51":
        raise ValueError("not in its constructed state")


def unstamp(address: int, cache: int, flags: int) -> None:
    poke(address, b"gone")


def sleepy(address: int, cache: int, flags: int) -> None:
    schedule_timeout(1)


def words(address: int) -> tuple[int, ...]:
    return struct.unpack("<II", peek(address, 8))


@pytest.mark.parametrize("flags, told", [(7, 1), (2, 3)])
def test_a_constructor_runs_on_whichever_cpu_grows_the_cache(machine, flags, told) -> None:
    cache = machine.run(create, "stamped", 3000, 0x200, stamp, unstamp, cpu=0)
    address = machine.run(allocate, cache, flags, cpu=1)
    assert machine.run(words, address) == (0x51AB0001, told)
    machine.run(give, cache, address, cpu=0)
    assert machine.run(kmem_cache_destroy, cache, cpu=1) == 0


def spoil(cache: int, address: int) -> None:
    poke(address, b"spoilt")
    kmem_cache_free(cache, address)


def test_a_constructor_that_verifies_refuses_the_free(machine) -> None:
    cache = machine.run(create, "verified", 3000, 0x200, stamp, None, cpu=0)
    address = machine.run(allocate, cache, cpu=1)
    with pytest.raises(ValueError, match="not in its constructed state"):
        machine.run(spoil, cache, address, cpu=1)
    machine.run(stamp, address, cache, 1)
    machine.run(give, cache, address, cpu=1)
    assert machine.run(kmem_cache_destroy, cache) == 0


def test_a_constructor_that_sleeps_where_it_must_not_is_reported(machine) -> None:
    if machine.config.on_bug == "continue":
        pytest.skip("the constructor sleeps, as it can on Linux")
    cache = machine.run(create, "sleepy", 3000, 0, sleepy, None)
    with pytest.raises(SleepingInAtomic):
        machine.run(allocate, cache, 2)
    address = machine.run(allocate, cache, 7)
    machine.run(give, cache, address)
    assert machine.run(kmem_cache_destroy, cache) == 0
