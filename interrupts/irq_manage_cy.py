"""What drivers do to an interrupt line: its actions, disabling, waiting for its handlers.

An action is linked by one store, unlinked by one store, and its entry is used again only after
the line's handlers have finished: the handler process follows the chain without a lock.

Locks: a line's lock guards its depth and its chain and is taken with interrupts off, in a
call.
"""

import cython
from cython.cimports.cpus import percpu_cy
from cython.cimports.cpus.atomic import (
    atomic32_cmpxchg,
    atomic32_fetch_and,
    atomic32_fetch_or,
    atomic32_load,
    atomic32_store,
    atomic32_store_release,
    atomic64_fetch_add,
    atomic64_load,
    futex_wait,
    futex_wake,
    low_half,
)
from cython.cimports.cpus.callsite_cy import call_site
from cython.cimports.cpus.percpu_cy import HARDIRQ_MASK, WAIT_NS, enter, enter_sleeping, leave
from cython.cimports.cpus.spinlock_cy import raw_spin_lock_irqsave, raw_spin_unlock_irqrestore
from cython.cimports.cpython.exc import PyErr_CheckSignals
from cython.cimports.interrupts.irq_cy import (
    IRQ_DISABLED,
    IRQ_INPROGRESS,
    IRQ_PENDING,
    IRQ_SHUT,
    NR_ACTIONS,
    SA_SHIRQ,
    irq_actions,
    irq_desc,
    irq_descs,
    irqaction,
)
from cython.cimports.libc.string import strncpy

EBUSY = 16
ENOMEM = 12


def add_action(
    line: cython.ulonglong,
    handler: cython.ulonglong,
    flags: cython.uint,
    name: bytes,
    dev_id: cython.ulonglong,
) -> int:
    """Chain an action; the first one enables the line. 0, -EBUSY or -ENOMEM (setup_irq)."""
    d: cython.pointer[irq_desc] = cython.address(irq_descs[line])
    site: u32 = call_site()
    text: cython.p_const_char = name
    a: cython.pointer[irqaction]
    last: cython.longlong
    flagged: u64
    entry: u32
    enter()
    entry = new_action(line)
    if entry == 0:
        leave()
        return -ENOMEM
    a = cython.address(irq_actions[entry - 1])
    a.handler = handler
    a.dev_id = dev_id
    a.flags = flags
    a.next = 0
    strncpy(a.name, text, 31)
    flagged = raw_spin_lock_irqsave(cython.address(d.lock), site)
    last = chain_end(d, flags)
    if last > 0:
        atomic32_store_release(cython.address(irq_actions[last - 1].next), entry)
    elif last == 0:
        d.depth = 0
        atomic32_store_release(cython.address(d.action), entry)
        atomic32_fetch_and(
            cython.address(d.status), ~cython.cast(u32, IRQ_DISABLED | IRQ_PENDING)
        )
    raw_spin_unlock_irqrestore(cython.address(d.lock), flagged)
    if last < 0:
        atomic32_store(cython.address(a.line), 0)
    leave()
    return 0 if last >= 0 else -EBUSY


def chain_end(d, flags):
    """Return the last entry + 1 of a chain, 0: it is empty, -1: it is not to be shared."""
    at: u32 = d.action
    last: u32 = 0
    while at != 0:
        last = at
        if not (irq_actions[at - 1].flags & flags & SA_SHIRQ):
            return -1
        at = irq_actions[at - 1].next
    return last


def remove_action(line: cython.ulonglong, dev_id: cython.ulonglong) -> bool:
    """Unchain the action of `dev_id` and wait until no handler runs; false: there is none."""
    d: cython.pointer[irq_desc] = cython.address(irq_descs[line])
    site: u32 = call_site()
    at: cython.pointer[u32] = cython.address(d.action)
    entry: u32
    flags: u64
    enter()
    flags = raw_spin_lock_irqsave(cython.address(d.lock), site)
    while at[0] != 0 and irq_actions[at[0] - 1].dev_id != dev_id:
        at = cython.address(irq_actions[at[0] - 1].next)
    entry = at[0]
    if entry != 0:
        atomic32_store_release(at, irq_actions[entry - 1].next)
        if d.action == 0:
            atomic32_fetch_or(cython.address(d.status), IRQ_DISABLED)
            atomic32_fetch_and(cython.address(d.status), ~cython.cast(u32, IRQ_PENDING))
    raw_spin_unlock_irqrestore(cython.address(d.lock), flags)
    leave()
    if entry == 0:
        return False
    wait_while_running(line, 0)
    atomic32_store(cython.address(irq_actions[entry - 1].line), 0)
    return True


def disable_line(line: cython.ulonglong, wait: cython.bint) -> None:
    """Disable a line once more; with `wait`, return when its handlers have finished."""
    d: cython.pointer[irq_desc] = cython.address(irq_descs[line])
    site: u32 = call_site()
    flags: u64
    enter()
    flags = raw_spin_lock_irqsave(cython.address(d.lock), site)
    d.depth += 1
    atomic32_fetch_or(cython.address(d.status), IRQ_DISABLED)
    raw_spin_unlock_irqrestore(cython.address(d.lock), flags)
    leave()
    if wait:
        wait_while_running(line, 0)


def enable_line(line: cython.ulonglong) -> bool:
    """Undo one `disable_line`; what came meanwhile is taken. False: nothing was disabled."""
    d: cython.pointer[irq_desc] = cython.address(irq_descs[line])
    site: u32 = call_site()
    flags: u64
    balanced: cython.bint
    enter()
    flags = raw_spin_lock_irqsave(cython.address(d.lock), site)
    balanced = d.depth != 0
    if balanced:
        d.depth -= 1
        if d.depth == 0 and d.action != 0:
            atomic32_fetch_and(cython.address(d.status), ~cython.cast(u32, IRQ_DISABLED))
            futex_wake(cython.address(d.status), 64)
    raw_spin_unlock_irqrestore(cython.address(d.lock), flags)
    leave()
    return balanced


def synchronize_line(line: cython.ulonglong) -> None:
    """Wait until no handler of `line` runs."""
    wait_while_running(line, 0)


def wait_while_running(line, turns):
    """Wait until no handler of `line` runs (`turns` 0: for ever); outside of any call.

    A handler does not wait: it may be the one that is waited for.
    """
    d: cython.pointer[irq_desc] = cython.address(irq_descs[line])
    status: u32
    turn: u64 = 0
    while True:
        enter()
        if percpu_cy.this_cpu.preempt_count & HARDIRQ_MASK:
            leave()
            return True
        leave()
        status = atomic32_load(cython.address(d.status))
        if status & IRQ_INPROGRESS == 0 or status & IRQ_SHUT:
            return True
        turn += 1
        if turn == turns:
            return False
        futex_wait(cython.address(d.status), status, WAIT_NS)
        PyErr_CheckSignals()


def enter_request() -> None:
    """Be the head of request_irq, which may sleep."""
    enter_sleeping(b"request_irq")
    leave()


def has_handler(line: cython.ulonglong) -> bool:
    """Return whether the handler process of `line` is ready."""
    d: cython.pointer[irq_desc] = cython.address(irq_descs[line])
    return (
        atomic64_load(cython.address(d.handler)) != 0
        and atomic32_load(cython.address(d.status)) & IRQ_SHUT == 0
    )


def wait_handler(line: cython.ulonglong) -> bool:
    """Wait at most 1 ms for the handler process of `line`; true when it is ready."""
    d: cython.pointer[irq_desc] = cython.address(irq_descs[line])
    handler: u64 = atomic64_load(cython.address(d.handler))
    enter()
    leave()
    if not has_handler(line):
        futex_wait(low_half(cython.address(d.handler)), cython.cast(u32, handler), WAIT_NS)
    return has_handler(line)


def nr_refused(line: cython.ulonglong) -> int:
    """Return how often the host gave `line` no handler process."""
    return atomic64_load(cython.address(irq_descs[line].nr_refused))


def refuse_handler(line: cython.ulonglong) -> None:
    """Tell who waits for the handler process of `line` that there is none; the monitor."""
    d: cython.pointer[irq_desc] = cython.address(irq_descs[line])
    atomic64_fetch_add(cython.address(d.nr_refused), 1)
    futex_wake(low_half(cython.address(d.handler)), 64)


def new_action(line):
    """Claim a free entry for `line`; returns entry + 1, 0 when there is none."""
    entry: u32
    for entry in range(NR_ACTIONS):
        if (
            atomic32_load(cython.address(irq_actions[entry].line)) == 0
            and atomic32_cmpxchg(
                cython.address(irq_actions[entry].line), 0, cython.cast(u32, line + 1)
            )
            == 0
        ):
            return entry + 1
    return 0
