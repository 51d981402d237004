"""Interrupt-unsafe lock: a handler takes a lock that the interrupted task holds.

    smpmm run examples/irq_unsafe_lock.py

The bug: the task holds the lock with interrupts enabled. The interrupt comes on the same CPU,
its handler spins for the lock, and the task that would release it stands still until the
handler returns. On any other CPU the handler just waits a little, which is why it survives
testing.

The report: Deadlock, raised in the handler at its spin_lock, with both stacks: the handler's
and that of the task it interrupted. The handler ends there and the task goes on.

The fix: spin_lock_irqsave in the task. In the handler plain spin_lock is right.
"""

from smpmm.kernel import *

EXPECT = ("Deadlock", "")
IRQ = 5


class Device(KStruct):
    lock: spinlock_t
    entered: atomic_t
    events: u32


def interrupt(irq, dev_id, regs):
    device = Device.at(dev_id)
    atomic_inc(device.entered)
    with device.lock:
        device.events += 1


def main():
    device = Device.static()
    spin_lock_init(device.lock)
    error = request_irq(IRQ, interrupt, 0, "unsafe", device)
    if error:
        return error
    spin_lock(device.lock)
    raise_irq(IRQ, cpu=smp_processor_id())
    while not atomic_read(device.entered):
        udelay(10)  # here the interrupt arrives
    device.events += 1
    spin_unlock(device.lock)
    free_irq(IRQ, device)
