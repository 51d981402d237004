"""Spinlocks as drivers call them: include/linux/spinlock.h, with every check on.

Arguments are kernel addresses or handles. Each function is one kernel call, in any context
that the lock's own rule allows; holding a lock is atomic context. A breach (double lock,
unlock of a free lock or of somebody else's, a wait that closes a cycle) is reported by
`cpus.bug` after the call has left the kernel; with on_bug='continue' a double lock or deadlock
ends the machine, since Linux would hang there, and a wrong unlock unlocks, as Linux does.
"""

import cython
from cython.cimports.cpus.atomic import atomic32_load, atomic32_xchg, futex_wake, unlikely
from cython.cimports.cpus.callsite_cy import call_site
from cython.cimports.cpus.handle_cy import address_of
from cython.cimports.cpus.lockstat_cy import CLASS_SPIN, RECOVER_NOTHING, lock_class_named
from cython.cimports.cpus.percpu_cy import (
    HELD_LOCKS,
    SOFTIRQ_MASK,
    SOFTIRQ_OFFSET,
    enter,
    irq_restore,
    irq_save,
    leave,
    owner_dead,
    this_cpu,
    this_owner,
    this_process,
)
from cython.cimports.cpus.rwlock_cy import read_release, rwlock, write_release
from cython.cimports.cpus.segment_cy import native
from cython.cimports.cpus.spinlock_cy import (
    LOCK_MAGIC,
    raw_spin_trylock,
    raw_spin_unlock,
    spin_acquire,
    spinlock_init,
)
from cython.cimports.cpus.waiting_cy import WAIT_READ, WAIT_WRITE, WAITERS
from cython.cimports.cpus.whole import whole

from cpus import bug, callsite_cy


def spin_lock(lock: object) -> None:
    """Take a spinlock; any context that cannot interrupt a holder of it on this CPU."""
    address: cython.ulonglong = address_of(lock)
    enter()
    at: cython.pointer[spinlock] = spinlock_at(address)
    result: cython.int = -2
    if at != cython.NULL:
        result = spin_acquire(at, call_site())
    leave()
    if unlikely(result < 0):
        refuse_lock("spin_lock", address, result)


def spin_unlock(lock: object) -> None:
    """Give a spinlock back; by the context that took it."""
    address: cython.ulonglong = address_of(lock)
    enter()
    wrong: cython.int = release(address)
    leave()
    if unlikely(wrong):
        refuse_unlock("spin_unlock", address, PLAIN, 0)


def lock_irqs_off(lock, name):
    """Turn interrupts off and take a spinlock; returns the old flag. Outside of calls."""
    address: cython.ulonglong = address_of(lock)
    enter()
    at: cython.pointer[spinlock] = spinlock_at(address)
    result: cython.int = -2
    flags: cython.ulonglong = irq_save()
    if at != cython.NULL:
        result = spin_acquire(at, call_site())
    if unlikely(result < 0):
        irq_restore(flags)
    leave()
    if unlikely(result < 0):
        refuse_lock(name, address, result)
    return cython.cast(cython.int, flags != 0)


def spin_lock_irq(lock: object) -> None:
    """Turn interrupts off and take a spinlock; only where interrupts are known to be on.

    Any context.
    """
    lock_irqs_off(lock, "spin_lock_irq")


def spin_lock_irqsave(lock: object) -> int:
    """Turn interrupts off and take a spinlock; returns the old flag for the unlock.

    Any context.
    """
    return lock_irqs_off(lock, "spin_lock_irqsave")


def spin_unlock_irq(lock: object) -> None:
    """Give a spinlock back and turn interrupts on. By the context that took it."""
    address: cython.ulonglong = address_of(lock)
    enter()
    wrong: cython.int = release(address)
    if not wrong:
        irq_restore(0)
    leave()
    if unlikely(wrong):
        refuse_unlock("spin_unlock_irq", address, IRQ, 0)


def spin_unlock_irqrestore(lock: object, flags: object) -> None:
    """Give a spinlock back and put the interrupt flag back. By the context that took it."""
    c_flags: u64 = cython.cast(u64, whole(flags, b"spin_unlock_irqrestore", b"flags"))
    address: cython.ulonglong = address_of(lock)
    enter()
    wrong: cython.int = release(address)
    if not wrong:
        irq_restore(1 if c_flags else 0)
    leave()
    if unlikely(wrong):
        refuse_unlock("spin_unlock_irqrestore", address, IRQ, c_flags != 0)


def spin_lock_bh(lock: object) -> None:
    """Keep softirqs off this CPU and take a spinlock; task context or softirq."""
    address: cython.ulonglong = address_of(lock)
    enter()
    at: cython.pointer[spinlock] = spinlock_at(address)
    result: cython.int = -2
    this_cpu.preempt_count += SOFTIRQ_OFFSET
    if at != cython.NULL:
        result = spin_acquire(at, call_site())
    if unlikely(result < 0):
        this_cpu.preempt_count -= SOFTIRQ_OFFSET
    leave()
    if unlikely(result < 0):
        refuse_lock("spin_lock_bh", address, result)


def spin_unlock_bh(lock: object) -> None:
    """Give a spinlock back and let softirqs in; what is pending runs now."""
    address: cython.ulonglong = address_of(lock)
    enter()
    wrong: cython.int = release(address)
    if not wrong:
        this_cpu.preempt_count -= SOFTIRQ_OFFSET
    leave()
    if unlikely(wrong):
        refuse_unlock("spin_unlock_bh", address, BH, 0)
    else:
        enter()
        leave()


def spin_trylock(lock: object) -> bool:
    """Take a spinlock if it is free; any context."""
    address: cython.ulonglong = address_of(lock)
    enter()
    at: cython.pointer[spinlock] = spinlock_at(address)
    taken: cython.bint = at != cython.NULL and raw_spin_trylock(at, call_site())
    leave()
    if unlikely(at == cython.NULL):
        refuse_lock("spin_trylock", address, -2)
    return taken


def spin_is_locked(lock: object) -> bool:
    """Return whether somebody holds a spinlock. Any context."""
    address: cython.ulonglong = address_of(lock)
    enter()
    at: cython.pointer[spinlock] = spinlock_at(address)
    word: u32 = atomic32_load(cython.address(at.word)) if at != cython.NULL else 0
    held: cython.bint = word != 0 and not owner_dead(word)
    leave()
    if unlikely(at == cython.NULL):
        refuse_lock("spin_is_locked", address, -2)
    return held


def release(address):
    """Unlock if this process holds it: 0; 1 with interrupts and counts untouched otherwise."""
    at: cython.pointer[spinlock] = spinlock_at(address)
    if unlikely(
        at == cython.NULL
        or atomic32_load(cython.address(at.word)) & ~cython.cast(u32, WAITERS) != this_owner
    ):
        return 1
    raw_spin_unlock(at)
    return 0


def spinlock_at(address):
    lock: cython.pointer[spinlock] = cython.cast(
        cython.pointer[spinlock], native(address, cython.sizeof(spinlock))
    )
    if unlikely(lock == cython.NULL or lock.magic != LOCK_MAGIC):
        return cython.NULL
    return lock


def restore(irq, flags):
    """Undo what a variant of a lock call did beside the lock; a safe point."""
    if irq == IRQ:
        irq_restore(1 if flags else 0)
    elif irq == BH and this_cpu.preempt_count & SOFTIRQ_MASK:
        this_cpu.preempt_count -= SOFTIRQ_OFFSET


def spin_lock_init(lock: object) -> None:
    """Make a spinlock free; its class is its struct field or the place of this call.

    Any context.
    """
    address: cython.ulonglong = address_of(lock)
    name: bytes = init_class_name(lock, call_site())
    enter()
    at: cython.p_void = native(address, cython.sizeof(spinlock))
    if at != cython.NULL:
        spinlock_init(
            cython.cast(cython.pointer[spinlock], at),
            lock_class_named(name, CLASS_SPIN, RECOVER_NOTHING),
        )
    leave()
    if at == cython.NULL:
        bug.bad_address("spin_lock_init", address)


def init_class_name(lock: object, site: cython.uint) -> bytes:
    """Name the class of a lock: its struct field, or the place that initialises it."""
    name = getattr(lock, "lock_name", None)
    if not name:
        function, file, line = callsite_cy.site_info(site)
        name = f"lock@{file.rpartition('/')[2]}:{line}"
    return name.encode()[:47]


def refuse_lock(call: str, address: int, result: int) -> None:
    """Report a lock not taken: -2 no lock, -1 held by us or a cycle, -3 too many held."""
    word, magic = lock_words(address)
    if magic != LOCK_MAGIC:
        bug.not_a_lock(call, address, magic)
    elif result == -3:
        bug.too_many_locks(call, address)
    else:
        bug.deadlock(call, address)


def refuse_unlock(call: str, address: int, irq: cython.int, flags: cython.int) -> None:
    """Report a wrong unlock; with on_bug='continue' unlock all the same, as Linux does."""
    word, magic = lock_words(address)
    if magic != LOCK_MAGIC:
        bug.not_a_lock(call, address, magic)
    else:
        bug.bad_unlock(call, address, word)
    force_unlock(address, call.startswith("read"), irq, flags)


def force_unlock(
    address: cython.ulonglong, read: cython.bint, irq: cython.int, flags: cython.int
) -> None:
    """Do what is left of a wrong unlock after its report; a read side stays as it is."""
    enter()
    at: cython.pointer[spinlock] = spinlock_at(address)
    if at != cython.NULL and not read and atomic32_xchg(cython.address(at.word), 0) & WAITERS:
        futex_wake(cython.address(at.word), 64)
    restore(irq, flags)
    leave()


def lock_words(address: cython.ulonglong) -> tuple:
    """Return (owner word without the waiters' bit, magic) of a lock; (0, 0) if unmapped."""
    at: cython.pointer[spinlock] = cython.cast(
        cython.pointer[spinlock], native(address, cython.sizeof(spinlock))
    )
    if at == cython.NULL:
        return 0, 0
    return at.word & ~cython.cast(u32, WAITERS), at.magic


def own_word() -> int:
    """Return the owner word of this process."""
    return this_owner


def held_locks() -> list:
    """Return [(native address, call site, flags)] of what this process holds, oldest first."""
    return [
        (this_process.held[i].lock, this_process.held[i].site, this_process.held[i].flags)
        for i in range(min(this_process.nr_held, HELD_LOCKS))
    ]


def give_back(keep: int = 0) -> int:
    """Release the locks that this context took beyond its first `keep`; returns how many.

    For a context that ended by an exception or returned with a lock held.
    """
    released: cython.int = 0
    n: u32
    lock: u64
    flags: u32
    enter()
    while this_process.nr_held > cython.cast(u32, keep):
        n = this_process.nr_held
        if n > HELD_LOCKS:
            this_process.nr_held = HELD_LOCKS
            continue
        lock = this_process.held[n - 1].lock
        flags = this_process.held[n - 1].flags
        if flags == WAIT_READ:
            read_release(cython.cast(cython.pointer[rwlock], lock))
        elif flags == WAIT_WRITE:
            write_release(cython.cast(cython.pointer[rwlock], lock))
        else:
            raw_spin_unlock(cython.cast(cython.pointer[spinlock], lock))
        released += 1
    leave()
    return released
