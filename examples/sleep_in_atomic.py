"""Sleeping in atomic context: kmalloc(GFP_KERNEL) with a spinlock held.

    smpmm run examples/sleep_in_atomic.py

The bug: GFP_KERNEL may put the task to sleep until memory is free. Whoever waits for the lock
meanwhile spins, and if the one that would free memory needs the lock, for ever. It mostly
works, because memory is mostly there: Linux 2.4 notices only when the cache has to grow.

The report: `sleeping function called from invalid context`, `in_atomic():1`, with the lock
that is held and where it was taken. With on_bug="continue" the memory is handed out.

The fix: allocate before taking the lock; or GFP_ATOMIC, and live with a 0.
"""

from smpmm.kernel import *

EXPECT = ("SleepingInAtomic", "sleeping function called from invalid context")


def main():
    lock = spinlock_t()
    spin_lock(lock)
    buffer = kmalloc(128, GFP_KERNEL)
    spin_unlock(lock)
    kfree(buffer)
