"""Rwlocks as drivers call them: include/linux/spinlock.h, with every check on.

Each name is one of two calls, take_side and give_side, with a side and what the variant does
beside the lock. Arguments, contexts and breaches are as in `lock_cy`.
"""

import cython
from cython.cimports.cpus import rwlock_cy
from cython.cimports.cpus.atomic import likely, unlikely
from cython.cimports.cpus.callsite_cy import call_site
from cython.cimports.cpus.handle_cy import address_of
from cython.cimports.cpus.lock_cy import BH, IRQ, PLAIN, restore
from cython.cimports.cpus.lockstat_cy import CLASS_RW, RECOVER_NOTHING, lock_class_named
from cython.cimports.cpus.percpu_cy import (
    HELD_LOCKS,
    SOFTIRQ_OFFSET,
    enter,
    irq_restore,
    leave,
    this_cpu,
    this_process,
)
from cython.cimports.cpus.rwlock_cy import (
    read_acquire,
    read_release,
    rwlock,
    rwlock_init,
    write_acquire,
    write_release,
)
from cython.cimports.cpus.segment_cy import native
from cython.cimports.cpus.spinlock_cy import LOCK_MAGIC
from cython.cimports.cpus.waiting_cy import WAIT_READ, WAIT_WRITE
from cython.cimports.cpus.whole import whole

from cpus import bug
from cpus.lock_cy import init_class_name, refuse_lock, refuse_unlock


def take_side(lock, name, write, irq):
    """Take one side of an rwlock. `irq`: 0 plain, IRQ interrupts off, BH softirqs off."""
    address: cython.ulonglong = address_of(lock)
    enter()
    at: cython.pointer[rwlock] = rwlock_at(address)
    result: cython.int = -2
    flags: cython.int = this_cpu.irqs_off != 0
    if irq == IRQ:
        this_cpu.irqs_off = 1
    elif irq == BH:
        this_cpu.preempt_count += SOFTIRQ_OFFSET
    if at != cython.NULL:
        result = write_acquire(at, call_site()) if write else read_acquire(at, call_site())
    if unlikely(result < 0):
        if irq == IRQ:
            irq_restore(flags)
        elif irq == BH:
            this_cpu.preempt_count -= SOFTIRQ_OFFSET
    leave()
    if unlikely(result < 0):
        refuse_lock(name, address, result)
    return flags


def give_side(lock, name, write, irq, flags):
    """Give one side of an rwlock back. `irq` as in take_side; `flags`: the flag to restore."""
    address: cython.ulonglong = address_of(lock)
    enter()
    at: cython.pointer[rwlock] = rwlock_at(address)
    wrong: cython.bint = at == cython.NULL or not holds_side(at, write)
    if likely(not wrong):
        if write:
            write_release(at)
        else:
            read_release(at)
        if irq != PLAIN:
            restore(irq, flags)
    leave()
    if unlikely(wrong):
        refuse_unlock(name, address, irq, flags)
    elif irq == BH:
        enter()
        leave()
    return 0


def read_lock(lock: object) -> None:
    """Take the read side; recursive, readers go before writers.

    Any context that cannot interrupt a writer on this CPU.
    """
    take_side(lock, "read_lock", 0, PLAIN)


def read_lock_irq(lock: object) -> None:
    """Turn interrupts off and take the read side. Any context."""
    take_side(lock, "read_lock_irq", 0, IRQ)


def read_lock_irqsave(lock: object) -> int:
    """Turn interrupts off, take the read side, return the old flag. Any context."""
    return take_side(lock, "read_lock_irqsave", 0, IRQ)


def read_lock_bh(lock: object) -> None:
    """Keep softirqs off and take the read side."""
    take_side(lock, "read_lock_bh", 0, BH)


def write_lock(lock: object) -> None:
    """Take the write side. Any context that cannot interrupt a holder on this CPU."""
    take_side(lock, "write_lock", 1, PLAIN)


def write_lock_irq(lock: object) -> None:
    """Turn interrupts off and take the write side. Any context."""
    take_side(lock, "write_lock_irq", 1, IRQ)


def write_lock_irqsave(lock: object) -> int:
    """Turn interrupts off, take the write side, return the old flag. Any context."""
    return take_side(lock, "write_lock_irqsave", 1, IRQ)


def write_lock_bh(lock: object) -> None:
    """Keep softirqs off and take the write side."""
    take_side(lock, "write_lock_bh", 1, BH)


def write_trylock(lock: object) -> bool:
    """Take the write side if nobody has either side. Any context."""
    address: cython.ulonglong = address_of(lock)
    enter()
    at: cython.pointer[rwlock] = rwlock_at(address)
    taken: cython.bint = at != cython.NULL and rwlock_cy.write_trylock(at, call_site())
    leave()
    if unlikely(at == cython.NULL):
        refuse_lock("write_trylock", address, -2)
    return taken


def read_unlock(lock: object) -> None:
    """Give the read side back. By the context that took it."""
    give_side(lock, "read_unlock", 0, PLAIN, 0)


def read_unlock_irq(lock: object) -> None:
    """Give the read side back and turn interrupts on. By the context that took it."""
    give_side(lock, "read_unlock_irq", 0, IRQ, 0)


def read_unlock_irqrestore(lock: object, flags: object) -> None:
    """Give the read side back and put the interrupt flag back. By the context that took it."""
    c_flags: u64 = cython.cast(u64, whole(flags, b"read_unlock_irqrestore", b"flags"))
    give_side(lock, "read_unlock_irqrestore", 0, IRQ, c_flags != 0)


def read_unlock_bh(lock: object) -> None:
    """Give the read side back and let softirqs in."""
    give_side(lock, "read_unlock_bh", 0, BH, 0)


def write_unlock(lock: object) -> None:
    """Give the write side back. By the context that took it."""
    give_side(lock, "write_unlock", 1, PLAIN, 0)


def write_unlock_irq(lock: object) -> None:
    """Give the write side back and turn interrupts on. By the context that took it."""
    give_side(lock, "write_unlock_irq", 1, IRQ, 0)


def write_unlock_irqrestore(lock: object, flags: object) -> None:
    """Give the write side back and put the interrupt flag back.

    By the context that took it.
    """
    c_flags: u64 = cython.cast(u64, whole(flags, b"write_unlock_irqrestore", b"flags"))
    give_side(lock, "write_unlock_irqrestore", 1, IRQ, c_flags != 0)


def write_unlock_bh(lock: object) -> None:
    """Give the write side back and let softirqs in."""
    give_side(lock, "write_unlock_bh", 1, BH, 0)


def rwlock_init_(lock: object) -> None:
    """Make an rwlock free; its class is its struct field or the place of this call.

    Any context.
    """
    address: cython.ulonglong = address_of(lock)
    name: bytes = init_class_name(lock, call_site())
    enter()
    at: cython.p_void = native(address, cython.sizeof(rwlock))
    if at != cython.NULL:
        rwlock_init(
            cython.cast(cython.pointer[rwlock], at),
            lock_class_named(name, CLASS_RW, RECOVER_NOTHING),
        )
    leave()
    if at == cython.NULL:
        bug.bad_address("rwlock_init", address)


def holds_side(at, write):
    """Whether this process holds that side of the rwlock."""
    i: u32 = this_process.nr_held if this_process.nr_held < HELD_LOCKS else HELD_LOCKS
    side: u32 = WAIT_WRITE if write else WAIT_READ
    while i != 0:
        i -= 1
        if (
            this_process.held[i].lock == cython.cast(u64, at)
            and this_process.held[i].flags == side
        ):
            return True
    return False


def rwlock_at(address):
    lock: cython.pointer[rwlock] = cython.cast(
        cython.pointer[rwlock], native(address, cython.sizeof(rwlock))
    )
    if unlikely(lock == cython.NULL or lock.magic != LOCK_MAGIC):
        return cython.NULL
    return lock
