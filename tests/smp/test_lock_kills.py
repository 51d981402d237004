"""Processes that contend for locks and are killed at any instant: the others go on.

A parent does the monitor's part: it kills a process, reaps it, marks its slot dead, wakes the
parked, and lets a new process take its place. What each lock protects is a pair of words that
are equal whenever the lock is free; the recovery is the taker's: it makes them equal again.
"""

import os
import random
import signal
import time

import pytest

from cpus import (
    bug,
    gate_cy,
    kill_cy,
    lock_cy,
    percpu_cy,
    reap_cy,
    rwlock_calls_cy,
    segment_cy,
    spinlock_cy,
)
from tests.support import KIND_CPU, in_child, small_machine

LOCKS = [0xC0001000 + 64 * i for i in range(3)]
RWLOCKS = [0xC0002000 + 64 * i for i in range(2)]
PAIRS = 0xC0004000  # for each lock two words
TORN, DONE, INSIDE = 0xC0005000, 0xC0005008, 0xC0005040
NR_WORKERS = 4
SECONDS = 3.0
POINTS = (
    "lock_taken", "lock_releasing", "lock_parked", "lock_handed", "read_noted",
    "read_leaving", "write_taken",
)  # fmt: skip


@pytest.fixture(autouse=True)
def machine():
    small_machine(spinlock_cy, cpus=NR_WORKERS + 1)
    percpu_cy.register_hooks(breach=bug.breach)
    for lock in LOCKS:
        lock_cy.spin_lock_init(lock)
    for lock in RWLOCKS:
        rwlock_calls_cy.rwlock_init_(lock)


def word(address: int) -> int:
    return segment_cy.native_address(address, 8)


def add(address: int, n: int) -> int:
    return spinlock_cy.add_unlocked(word(address), n)


def change(pair: int) -> None:
    """Make both words of a pair one larger; what a dead process left behind is put right."""
    first, second = add(pair, 0), add(pair + 8, 0)
    if first != second:
        add(pair + 8, first - second)
    add(pair, 1)
    add(pair + 8, 1)


def look(pair: int) -> None:
    """Read both words of a pair: a writer inside would be seen between them."""
    before = add(pair + 8, 0), add(pair, 0)
    after = add(pair + 8, 0), add(pair, 0)
    if before != after:
        add(TORN, 1)


def work(number: int, seed: int) -> None:
    """Take and give locks for ever, in every way."""
    dice = random.Random(seed)
    percpu_cy.become(number, os.getpid())
    while True:
        i = dice.randrange(len(LOCKS))
        pair = PAIRS + 16 * i
        kind = dice.randrange(5)
        if kind == 0:
            flags = lock_cy.spin_lock_irqsave(LOCKS[i])
            change(pair)
            lock_cy.spin_unlock_irqrestore(LOCKS[i], flags)
        elif kind == 1:
            lock_cy.spin_lock(LOCKS[i])
            change(pair)
            lock_cy.spin_unlock(LOCKS[i])
        else:
            i = dice.randrange(len(RWLOCKS))
            pair = PAIRS + 256 + 16 * i
            if kind == 2:
                rwlock_calls_cy.write_lock(RWLOCKS[i])
                change(pair)
                rwlock_calls_cy.write_unlock(RWLOCKS[i])
            else:
                rwlock_calls_cy.read_lock(RWLOCKS[i])
                look(pair)
                rwlock_calls_cy.read_unlock(RWLOCKS[i])
        add(INSIDE + 8 * number, 1)


class Crowd:
    """The workers, by slot; the parent is their monitor."""

    def __init__(self) -> None:
        self.pids: dict[int, int] = {}
        self.started = 0
        self.with_locks = 0

    def start(self, number: int) -> None:
        percpu_cy.take_slot(number, KIND_CPU, f"cpu{number}", number)
        self.started += 1
        self.pids[number] = in_child(work, number, self.started, wait=False)

    def bury(self, number: int) -> None:
        """Reap a killed worker and say that it is dead."""
        status = os.waitpid(self.pids.pop(number), 0)[1]
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        info = percpu_cy.slot_info(number)
        self.with_locks += bool(info["held"] or info["waiting_lock"])
        percpu_cy.mark_dead(number)
        reap_cy.reap_slot(number)
        spinlock_cy.wake_parked()

    def kill(self, number: int) -> None:
        os.kill(self.pids[number], signal.SIGKILL)
        self.bury(number)

    def dead(self) -> int:
        """Return a worker that has killed itself, 0 when none has."""
        for number, pid in self.pids.items():
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return number
        return 0


def progress() -> list[int]:
    return [add(INSIDE + 8 * n, 0) for n in range(1, NR_WORKERS + 1)]


def wait_for_all(crowd: Crowd) -> None:
    """Wait until every worker has gone on since now."""
    before = progress()
    until = time.monotonic() + 20
    while any(now <= then for now, then in zip(progress(), before, strict=True)):
        assert time.monotonic() < until, [percpu_cy.slot_info(n) for n in crowd.pids]
        time.sleep(0.001)


def test_kills_at_any_instant(capsys):
    crowd = Crowd()
    dice = random.Random(7)
    for number in range(1, NR_WORKERS + 1):
        crowd.start(number)
    until = time.monotonic() + SECONDS
    kills = 0
    try:
        while time.monotonic() < until:
            number = 0
            if kills % 2:
                kill_cy.arm(POINTS[kills // 2 % len(POINTS)])
                patience = time.monotonic() + 0.02
                while not (number := crowd.dead()) and time.monotonic() < patience:
                    time.sleep(0.0002)
                if kill_cy.disarm() and not number:
                    kills += 1
                    continue
                patience = time.monotonic() + 20
                while not number:
                    assert time.monotonic() < patience, "hit a point, and nobody has died"
                    number = crowd.dead()
                crowd.bury(number)
            else:
                # A random instant is what this kill is about: nothing is waited for.
                time.sleep(dice.random() * 0.004)
                number = dice.randrange(1, NR_WORKERS + 1)
                crowd.kill(number)
            crowd.start(number)
            kills += 1
        wait_for_all(crowd)
    finally:
        for number in list(crowd.pids):
            crowd.kill(number)
    hits = {name: kill_cy.hits()[name] for name in POINTS}
    with capsys.disabled():
        print(f"\n{kills} kills, {crowd.with_locks} with a lock held or waited for; {hits}")
    assert add(TORN, 0) == 0
    assert crowd.with_locks > kills // 20
    for lock, pair in zip(LOCKS, (PAIRS, PAIRS + 16, PAIRS + 32), strict=True):
        lock_cy.spin_lock(lock)
        change(pair)
        assert add(pair, 0) == add(pair + 8, 0)
        lock_cy.spin_unlock(lock)
    for lock in RWLOCKS:
        rwlock_calls_cy.write_lock(lock)
        rwlock_calls_cy.write_unlock(lock)


def test_a_handler_that_waits_for_the_lock_of_what_it_interrupted_is_told_at_once():
    """Both stacks are in the report, and the interrupted process goes on."""
    taken = 0xC0006000
    percpu_cy.take_slot(1, KIND_CPU, "cpu1", 1)
    percpu_cy.take_slot(2, 2, "irq5", 1)

    def interrupted_here():
        lock_cy.spin_lock(LOCKS[0])
        add(taken, 1)
        while not add(taken + 8, 0):
            percpu_cy.preemption_point()
        lock_cy.spin_unlock(LOCKS[0])

    def cpu():
        percpu_cy.become(1, os.getpid())
        interrupted_here()

    def handler():
        percpu_cy.become(2, os.getpid())
        while not add(taken, 0):
            time.sleep(0.0005)
        assert gate_cy.become_cpu(1)
        try:
            lock_cy.spin_lock(LOCKS[0])
        except bug.Deadlock as deadlock:
            text = deadlock.report
        else:
            text = ""
        gate_cy.leave_cpu()
        add(taken + 8, 1)
        assert "deadlock detected on CPU#1" in text
        assert "irq5 waits for c0001000" in text and "held by cpu1, taken at" in text
        assert "cpu1 stands still until the interrupt in irq5 is over" in text
        assert (
            "interrupted_here" in text.partition("stack of cpu1")[2].partition("Call Trace")[0]
        )
        assert "handler" in text.partition("Call Trace")[2]

    children = [in_child(function, wait=False) for function in (cpu, handler)]
    assert [os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]) for p in children] == [0, 0]


def test_a_waiter_that_is_interrupted_is_in_two_waits():
    """cpu1 waits for cpu2's lock and is interrupted; the handler waits for cpu1's lock."""
    ready = 0xC0006100
    for slot, kind, name, cpu in (
        (1, KIND_CPU, "cpu1", 1),
        (2, KIND_CPU, "cpu2", 2),
        (3, 2, "irq5", 1),
    ):
        percpu_cy.take_slot(slot, kind, name, cpu)

    def waiter():
        percpu_cy.become(1, os.getpid())
        while add(ready, 0) < 1:
            os.sched_yield()
        lock_cy.spin_lock(LOCKS[0])
        lock_cy.spin_lock(LOCKS[1])
        lock_cy.spin_unlock(LOCKS[1])
        lock_cy.spin_unlock(LOCKS[0])

    def holder():
        percpu_cy.become(2, os.getpid())
        lock_cy.spin_lock(LOCKS[1])
        add(ready, 1)
        while add(ready + 8, 0) < 1:
            os.sched_yield()
        lock_cy.spin_unlock(LOCKS[1])

    def handler():
        percpu_cy.become(3, os.getpid())
        while not percpu_cy.slot_info(1)["waiting_lock"]:
            time.sleep(0.0005)
        assert gate_cy.become_cpu(1)
        try:
            lock_cy.spin_lock(LOCKS[0])
        except bug.Deadlock:
            return
        finally:
            gate_cy.leave_cpu()
            add(ready + 8, 1)
        os._exit(5)

    children = [in_child(function, wait=False) for function in (waiter, holder, handler)]
    assert [os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]) for p in children] == [0, 0, 0]
