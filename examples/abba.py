"""AB-BA deadlock: two CPUs take the same two spinlocks in opposite order.

    smpmm run examples/abba.py

The bug: one CPU holds `a` and wants `b`, the other holds `b` and wants `a`. Neither will ever
go on. Here both wait until the other has its first lock, so that it happens at once; in a
driver it happens once a month.

The report: Deadlock, raised in the call that closes the cycle, with both CPUs, what each of
them holds and what it waits for. That CPU gives its lock back, and the other goes on.

The fix: one order for all, written down at the locks; or one lock.
"""

from smpmm.kernel import *

EXPECT = ("Deadlock", "")


class Shared(KStruct):
    a: spinlock_t
    b: spinlock_t
    holding: atomic_t
    finished: completion


def take_both(shared, first, second):
    with first:
        atomic_inc(shared.holding)
        while atomic_read(shared.holding) < 2:
            udelay(1)
        with second:
            pass


def other(address):
    shared = Shared.at(address)
    try:
        take_both(shared, shared.b, shared.a)
    finally:
        complete(shared.finished)


def main():
    shared = Shared.static()
    spin_lock_init(shared.a)
    spin_lock_init(shared.b)
    init_completion(shared.finished)
    kernel_thread(other, shared, cpu=smp_processor_id() ^ 1)
    try:
        take_both(shared, shared.a, shared.b)
    finally:
        wait_for_completion(shared.finished)
