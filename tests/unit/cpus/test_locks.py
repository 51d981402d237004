"""Spinlocks and rwlocks: what is refused, what is counted, and what survives a dead owner."""

import os
import re
import signal

import pytest

from cpus import (
    bug,
    context_cy,
    errors,
    event_cy,
    gate_cy,
    kill_cy,
    lock_cy,
    lockstat,
    lockstat_cy,
    percpu_cy,
    rwlock_calls_cy,
    segment_cy,
    spinlock_cy,
)  # fmt: skip
from tests.support import KIND_CPU, in_child, small_machine

LOCK = 0xC0001000
OTHER = 0xC0002000
RW = 0xC0003000


@pytest.fixture(autouse=True)
def machine():
    small_machine(spinlock_cy, cpus=4)
    percpu_cy.register_hooks(breach=bug.breach)
    lock_cy.spin_lock_init(LOCK)
    lock_cy.spin_lock_init(OTHER)
    rwlock_calls_cy.rwlock_init_(RW)


def cpu_of(number: int):
    """Be CPU `number` in a child process."""
    percpu_cy.take_slot(number, KIND_CPU, f"cpu{number}", number)
    percpu_cy.become(number, os.getpid())


def stat(name_part: str):
    return next(c for c in lockstat.gather().classes if name_part in c.name)


def test_holding_a_spinlock_is_atomic_context():
    lock_cy.spin_lock(LOCK)
    assert context_cy.in_atomic()
    lock_cy.spin_unlock(LOCK)
    assert not context_cy.in_atomic()


def test_irqsave_nests_and_restores():
    outer = lock_cy.spin_lock_irqsave(LOCK)
    inner = lock_cy.spin_lock_irqsave(OTHER)
    assert (outer, inner) == (0, 1)
    lock_cy.spin_unlock_irqrestore(OTHER, inner)
    assert context_cy.irqs_disabled()
    lock_cy.spin_unlock_irqrestore(LOCK, outer)
    assert not context_cy.irqs_disabled()


def test_bh_variant_keeps_softirqs_off():
    lock_cy.spin_lock_bh(LOCK)
    assert context_cy.in_softirq()
    lock_cy.spin_unlock_bh(LOCK)
    assert not context_cy.in_softirq()


def test_double_lock_is_reported_with_its_holder():
    lock_cy.spin_lock(LOCK)
    with pytest.raises(errors.Deadlock, match="spinlock recursion on CPU#0") as caught:
        lock_cy.spin_lock(LOCK)
    assert "test_double_lock_is_reported_with_its_holder" in caught.value.report
    lock_cy.spin_unlock(LOCK)
    assert not context_cy.in_atomic()


def test_unlock_of_a_free_lock_is_reported():
    with pytest.raises(errors.BadLock, match="already unlocked"):
        lock_cy.spin_unlock(LOCK)


def test_unlock_of_somebody_elses_lock_is_reported():
    def take():
        cpu_of(1)
        lock_cy.spin_lock(LOCK)

    in_child(take)
    with pytest.raises(errors.BadLock, match="wrong owner") as caught:
        lock_cy.spin_unlock(LOCK)
    assert "owner: cpu1" in caught.value.report


def test_a_lock_that_was_never_initialised_is_reported():
    with pytest.raises(errors.BadLock, match="bad magic"):
        lock_cy.spin_lock(0xC0100000)


def test_a_lock_at_null_is_an_oops():
    with pytest.raises(errors.NullDereference, match="00000000"):
        lock_cy.spin_lock(0)


def test_sleeping_under_a_spinlock_is_reported():
    lock_cy.spin_lock(LOCK)
    with pytest.raises(errors.SleepingInAtomic) as caught:
        context_cy.might_sleep()
    assert "in_atomic(): 1, irqs_disabled(): 0" in caught.value.report
    assert "1 lock held by" in caught.value.report
    lock_cy.spin_unlock(LOCK)


def test_two_processes_exclude_each_other():
    counter = segment_cy.native_address(0xC0005000, 8)

    def work(number):
        cpu_of(number)
        for _ in range(20000):
            flags = lock_cy.spin_lock_irqsave(LOCK)
            spinlock_cy.add_unlocked(counter, 1)
            lock_cy.spin_unlock_irqrestore(LOCK, flags)

    children = [in_child(work, n, wait=False) for n in (1, 2, 3)]
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    assert spinlock_cy.add_unlocked(counter, 0) == 60000
    assert stat("test_locks").acquisitions >= 60000


def test_a_dead_owners_lock_is_taken_over():
    def die():
        cpu_of(1)
        lock_cy.spin_lock(LOCK)
        os.kill(os.getpid(), signal.SIGKILL)

    in_child(die, expect=signal.SIGKILL)
    percpu_cy.mark_dead(1)
    lock_cy.spin_lock(LOCK)
    lock_cy.spin_unlock(LOCK)
    assert re.search(r"lock .* its owner cpu1 died, taken over", event_cy.dmesg())


def test_readers_share_and_keep_a_writer_out():
    rwlock_calls_cy.read_lock(RW)
    rwlock_calls_cy.read_lock(RW)
    assert not rwlock_calls_cy.write_trylock(RW)
    rwlock_calls_cy.read_unlock(RW)
    rwlock_calls_cy.read_unlock(RW)
    assert rwlock_calls_cy.write_trylock(RW)
    rwlock_calls_cy.write_unlock(RW)


def test_a_dead_reader_does_not_keep_a_writer_out():
    def die():
        cpu_of(1)
        rwlock_calls_cy.read_lock(RW)
        os.kill(os.getpid(), signal.SIGKILL)

    in_child(die, expect=signal.SIGKILL)
    percpu_cy.mark_dead(1)
    rwlock_calls_cy.write_lock(RW)
    rwlock_calls_cy.write_unlock(RW)


def test_unlocking_the_side_that_is_not_held_is_reported():
    rwlock_calls_cy.read_lock(RW)
    with pytest.raises(errors.BadLock):
        rwlock_calls_cy.write_unlock(RW)
    rwlock_calls_cy.read_unlock(RW)


def test_write_after_own_read_is_a_deadlock():
    rwlock_calls_cy.read_lock(RW)
    with pytest.raises(errors.Deadlock):
        rwlock_calls_cy.write_lock(RW)
    rwlock_calls_cy.read_unlock(RW)
    assert not context_cy.in_atomic()


def test_ab_ba_is_found_as_a_cycle_and_one_of_the_two_goes_on():
    """cpu1 holds A and wants B, cpu2 holds B and wants A: exactly one is told."""
    gate = segment_cy.native_address(0xC0006000, 8)

    def take(number, first, second):
        cpu_of(number)
        lock_cy.spin_lock(first)
        spinlock_cy.add_unlocked(gate, 1)
        while spinlock_cy.add_unlocked(gate, 0) < 2:
            os.sched_yield()
        try:
            lock_cy.spin_lock(second)
        except errors.Deadlock as deadlock:
            assert "waits for" in deadlock.report
            lock_cy.spin_unlock(first)
            os._exit(7)
        lock_cy.spin_unlock(second)
        lock_cy.spin_unlock(first)

    first = in_child(take, 1, LOCK, OTHER, wait=False)
    second = in_child(take, 2, OTHER, LOCK, wait=False)
    codes = sorted(os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]) for p in (first, second))
    assert codes == [0, 7]


def test_locks_beyond_the_list_are_counted_all_the_same():
    locks = [0xC0010000 + 32 * i for i in range(60)]
    for lock in locks:
        lock_cy.spin_lock_init(lock)
        lock_cy.spin_lock(lock)
    for lock in [*locks[50:], *locks[:50]]:
        lock_cy.spin_unlock(lock)
    assert lock_cy.held_locks() == []
    assert not context_cy.in_atomic()


def test_a_read_side_that_cannot_be_noted_is_refused():
    for _ in range(48):
        rwlock_calls_cy.read_lock(RW)
    with pytest.raises(errors.BadLock, match="MAX_LOCK_DEPTH too low"):
        rwlock_calls_cy.read_lock(RW)
    assert lock_cy.give_back() == 48
    assert rwlock_calls_cy.write_trylock(RW)
    rwlock_calls_cy.write_unlock(RW)


def test_trylock_takes_a_dead_owners_lock_over():
    def die():
        cpu_of(1)
        lock_cy.spin_lock(LOCK)
        os.kill(os.getpid(), signal.SIGKILL)

    in_child(die, expect=signal.SIGKILL)
    # Nobody has said yet that it is dead.
    assert lock_cy.spin_is_locked(LOCK) and not lock_cy.spin_trylock(LOCK)
    percpu_cy.mark_dead(1)
    assert not lock_cy.spin_is_locked(LOCK) and lock_cy.spin_trylock(LOCK)
    lock_cy.spin_unlock(LOCK)
    assert not context_cy.in_atomic()


@pytest.mark.parametrize("point", ["read_noted", "read_leaving"])
def test_a_reader_that_dies_at_any_point_does_not_count(point):
    def die():
        cpu_of(1)
        kill_cy.arm(point)
        rwlock_calls_cy.read_lock(RW)
        rwlock_calls_cy.read_unlock(RW)

    in_child(die, expect=signal.SIGKILL)
    percpu_cy.mark_dead(1)
    for _ in range(3):
        assert rwlock_calls_cy.write_trylock(RW)
        rwlock_calls_cy.write_unlock(RW)
        rwlock_calls_cy.read_lock(RW)
        assert not rwlock_calls_cy.write_trylock(RW)
        rwlock_calls_cy.read_unlock(RW)


def test_a_class_whose_claimer_died_is_filled_in_by_the_next():
    def die():
        cpu_of(1)
        kill_cy.arm("class_claimed")
        lockstat_cy.class_named("half")

    in_child(die, expect=signal.SIGKILL)
    percpu_cy.mark_dead(1)
    number = lockstat_cy.class_named("whole")
    assert lockstat_cy.class_names()[number][0] == "whole"


def test_a_wrong_unlock_with_continue_restores_what_its_variant_does():
    segment_cy.set_header(1, 0)
    context_cy.local_irq_disable()
    lock_cy.spin_unlock_irqrestore(LOCK, 0)
    assert not context_cy.irqs_disabled()
    rwlock_calls_cy.read_unlock(RW)
    assert rwlock_calls_cy.write_trylock(RW)
    rwlock_calls_cy.write_unlock(RW)


def test_forgotten_locks_are_given_back():
    lock_cy.spin_lock(LOCK)
    rwlock_calls_cy.read_lock(RW)
    assert lock_cy.give_back() == 2
    assert not context_cy.in_atomic()
    lock_cy.spin_lock(LOCK)
    lock_cy.spin_unlock(LOCK)


def test_contention_names_waiter_and_holder():
    def hold_a_while():
        cpu_of(1)
        lock_cy.spin_lock(LOCK)
        spinlock_cy.add_unlocked(segment_cy.native_address(0xC0007000, 8), 1)
        start = segment_cy.uptime_ns()
        while segment_cy.uptime_ns() - start < 20_000_000:
            pass
        lock_cy.spin_unlock(LOCK)

    child = in_child(hold_a_while, wait=False)
    while not spinlock_cy.add_unlocked(segment_cy.native_address(0xC0007000, 8), 0):
        os.sched_yield()
    lock_cy.spin_lock(LOCK)
    lock_cy.spin_unlock(LOCK)
    os.waitpid(child, 0)
    found = stat("test_locks")
    assert found.contentions == 1
    assert found.points[0].holder.startswith("hold_a_while (")
    assert found.points[0].wait_total_ns >= found.points[0].parked_ns > 0


def test_sender_of_an_interrupt_is_part_of_a_cycle():
    """CPU 0 holds a lock and interrupts CPU 1, which wants it with interrupts off."""
    ready, readiness = os.pipe()

    def other():
        cpu_of(1)
        context_cy.local_irq_disable()
        os.write(readiness, b"r")
        with pytest.raises(errors.Deadlock) as caught:
            lock_cy.spin_lock(LOCK)
        context_cy.local_irq_enable()
        text = caught.value.report
        assert "cpu0 sends an interrupt to CPU 1, on which cpu1 has interrupts off" in text
        assert "cpu1 waits for c0001000" in text

    percpu_cy.take_slot(1, KIND_CPU, "cpu1", 1)
    lock_cy.spin_lock(LOCK)
    pid = in_child(other, wait=False)
    os.read(ready, 1)
    assert gate_cy.become_cpu(1)
    gate_cy.leave_cpu()
    lock_cy.spin_unlock(LOCK)
    assert os.waitpid(pid, 0)[1] == 0


def test_two_that_are_each_others_cpu_are_no_cycle():
    """CPU 0 and CPU 1 interrupt each other; CPU 0, as CPU 1, waits for a lock of CPU 2."""
    crossed, crossing = os.pipe()
    over, ending = os.pipe()

    def other():
        cpu_of(1)
        assert gate_cy.become_cpu(0)
        os.write(crossing, b"c")
        os.read(over, 1)
        gate_cy.leave_cpu()

    def hold_until_wanted():
        cpu_of(2)
        lock_cy.spin_lock(LOCK)
        os.write(crossing, b"c")
        while not percpu_cy.slot_info(0)["waiting_lock"]:
            os.sched_yield()
        until = segment_cy.uptime_ns() + 50_000_000  # many searches of the waiter
        while segment_cy.uptime_ns() < until:
            os.sched_yield()
        lock_cy.spin_unlock(LOCK)

    percpu_cy.take_slot(1, KIND_CPU, "cpu1", 1)
    pids = [in_child(other, wait=False), in_child(hold_until_wanted, wait=False)]
    while len(os.read(crossed, 1)) + len(os.read(crossed, 1)) < 2:
        pass
    assert gate_cy.become_cpu(1)
    lock_cy.spin_lock(LOCK)
    lock_cy.spin_unlock(LOCK)
    gate_cy.leave_cpu()
    os.write(ending, b"o")
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0]


def test_nested_locks_leave_pairs():
    assert spinlock_cy.pairs() == []
    lock_cy.spin_lock(LOCK)
    lock_cy.spin_unlock(LOCK)
    assert spinlock_cy.pairs() == []
    lock_cy.spin_lock(LOCK)
    lock_cy.spin_lock(OTHER)
    lock_cy.spin_unlock(OTHER)
    lock_cy.spin_unlock(LOCK)
    rwlock_calls_cy.read_lock(RW)
    lock_cy.spin_lock(LOCK)
    lock_cy.spin_unlock(LOCK)
    rwlock_calls_cy.read_unlock(RW)
    lock, other, rw = (spinlock_cy.class_of(native(at)) for at in (LOCK, OTHER, RW))
    assert spinlock_cy.pairs() == sorted([(lock, other), (rw, lock)])


def native(address: int) -> int:
    return segment_cy.native_address(address)
