"""Locks of drivers as context managers: class by field, call site by the driver's line."""

import pytest

from cpus import lock_cy, percpu_cy, rwlock_calls_cy, spinlock_cy
from cpus.context_cy import in_atomic, irqs_disabled
from cpus.errors import BadLock
from smpmm.kstruct import KStruct, sizeof
from smpmm.sync import (
    completion,
    rw_semaphore,
    rwlock_t,
    semaphore,
    spinlock_t,
    timer_list,
    tq_struct,
    wait_queue_head_t,
)
from tests.support import small_machine

AT = 0xC0010000


class Tally(KStruct):
    lock: spinlock_t
    sides: rwlock_t


@pytest.fixture(scope="module", autouse=True)
def machine():
    small_machine(spinlock_cy, ram_bytes=1 << 20)


@pytest.fixture
def tally():
    tally = Tally.at(AT)
    lock_cy.spin_lock_init(tally.lock)
    rwlock_calls_cy.rwlock_init_(tally.sides)
    return tally


def held():
    return percpu_cy.slot_info(0)["held"]


def test_with_takes_a_lock_and_gives_it_back(tally):
    with tally.lock as lock:
        assert lock == tally.lock and in_atomic() and len(held()) == 1
    assert not in_atomic() and not held()
    with pytest.raises(KeyError), tally.lock:
        raise KeyError
    assert not held()


@pytest.mark.parametrize("way", ["irqsave", "irq", "bh"])
def test_guards_turn_off_what_they_say(tally, way):
    with getattr(tally.lock, way)():
        assert irqs_disabled() == (way != "bh") and len(held()) == 1
    assert not irqs_disabled() and not held() and not in_atomic()


@pytest.mark.parametrize("way", ["read", "write", "read_irqsave", "write_irqsave"])
def test_both_sides_of_an_rwlock(tally, way):
    with getattr(tally.sides, way)():
        assert irqs_disabled() == way.endswith("irqsave") and len(held()) == 1
    assert not held() and not irqs_disabled()


def test_a_lock_is_named_by_field_and_drivers_line(tally):
    from cpus import callsite_cy, lockstat

    assert lockstat.lock_name_at(int(tally.lock)) == "Tally.lock"
    with tally.lock:
        ((_lock, site, _flags),) = held()
    function, file, _line = callsite_cy.site_info(site)
    assert function == "test_a_lock_is_named_by_field_and_drivers_line"
    assert file.endswith("test_sync.py")


def test_a_lock_that_was_not_initialised_does_not_run_the_body():
    ran = []
    with pytest.raises(BadLock), Tally.at(AT + 0x1000).lock:
        ran.append(1)
    assert not ran


def test_native_sizes_and_fields_of_deferred_work():
    assert sizeof(spinlock_t) == 24 and sizeof(rwlock_t) == 40
    for kind in (wait_queue_head_t, semaphore, rw_semaphore, completion):
        assert sizeof(kind) % 8 == 0 and kind.__align_bytes__ == 8
    timer = timer_list.at(AT + 0x2000)
    timer.expires, timer.data = 2**40, timer
    assert timer.expires == 2**40 and timer.data == timer
    assert timer_list.__offsets__["function"] == tq_struct.__offsets__["routine"] == 24
    assert sizeof(timer_list) == sizeof(tq_struct) == 40


def test_sleeping_locks_have_the_size_that_the_kernel_compiled():
    from cpus import sleeplock_cy, wait_cy
    from smpmm import sync

    sizes = sleeplock_cy.struct_bytes() | wait_cy.struct_bytes()
    assert len(sizes) == 4
    for name, nr_bytes in sizes.items():
        assert sizeof(getattr(sync, name)) == nr_bytes, name
