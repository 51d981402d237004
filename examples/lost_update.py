"""Lost update: two CPUs increment one counter in RAM without a lock.

    smpmm run examples/lost_update.py

The bug: `counter += 1` is a load, an addition and a store. A CPU that loads between another's
load and store writes the same number a second time, and one increment is gone. mdelay holds
the window open for a millisecond, so that twenty rounds lose some with certainty.

The report: the count does not add up and main says BUG: `kernel BUG at lost_update.py`.

The fix: a spinlock around the three steps, or atomic_t and atomic_inc.
"""

from smpmm.kernel import *

EXPECT = ("KernelBug", "kernel BUG at")
ROUNDS = 20


class Shared(KStruct):
    counter: u32
    started: atomic_t
    finished: completion


def increment(shared):
    atomic_inc(shared.started)
    while atomic_read(shared.started) < 2:
        udelay(1)
    for _ in range(ROUNDS):
        value = shared.counter
        mdelay(1)
        shared.counter = value + 1


def other(address):
    shared = Shared.at(address)
    increment(shared)
    complete(shared.finished)


def main():
    shared = Shared.static()
    init_completion(shared.finished)
    kernel_thread(other, shared, cpu=smp_processor_id() ^ 1)
    increment(shared)
    wait_for_completion(shared.finished)
    lost = 2 * ROUNDS - shared.counter
    printk(f"lost_update: {lost} of {2 * ROUNDS} increments lost\n")
    if lost:
        BUG()
