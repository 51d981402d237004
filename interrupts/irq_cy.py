"""Interrupt lines: edges, disabling, the chain of actions (arch/i386/kernel/irq.c).

An edge sets IRQ_PENDING and wakes the line's handler process; an edge that meets one pending
is merged with it, as in an interrupt controller. The process becomes a CPU, turns PENDING into
INPROGRESS unless the line is disabled, and runs the actions; so a line never nests with
itself, and what comes while it runs or is disabled is taken afterwards.

`irq_manage_cy` changes the chain, under the line's lock. `line` of an entry is the truth, the
chain an index of those that are complete; whoever takes the lock over from a dead process
frees entries that are in no chain.
"""

import cython
from cython.cimports.cpus import percpu_cy, segment_cy
from cython.cimports.cpus.atomic import (
    atomic32_cmpxchg,
    atomic32_fetch_and,
    atomic32_fetch_or,
    atomic32_load,
    atomic32_load_acquire,
    atomic32_store,
    atomic64_cmpxchg,
    atomic64_fetch_add,
    atomic64_load,
    atomic64_store,
    futex_wait,
    futex_wake,
    low_half,
)
from cython.cimports.cpus.event_cy import EVENT_IRQ_ENTRY, EVENT_IRQ_EXIT, trace_event
from cython.cimports.cpus.percpu_cy import (
    CPU_ONLINE,
    RUNNER_SLOT,
    WAIT_NS,
    cpu_area,
    enter,
    leave,
)
from cython.cimports.cpus.spinlock_cy import (
    CLASS_SPIN,
    RECOVER_IRQ,
    lock_class_named,
    register_recovery,
    spinlock_init,
)
from cython.cimports.cpus.whole import whole
from cython.cimports.libc.string import memset

NR_LINES: int = NR_IRQS
SHIRQ: int = SA_SHIRQ
INTERRUPT: int = SA_INTERRUPT


def regions(config: object = None) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {
        "irq_descs": NR_IRQS * cython.sizeof(irq_desc),
        "irq_actions": NR_ACTIONS * cython.sizeof(irqaction),
        "global_irq": cython.sizeof(global_irq),
    }


def attach(config: object = None) -> None:
    """Find this module's regions in the attached segment."""
    global irq_descs, irq_actions, global_irqs
    irq_descs = cython.cast(cython.pointer[irq_desc], segment_cy.region_at(b"irq_descs"))
    irq_actions = cython.cast(cython.pointer[irqaction], segment_cy.region_at(b"irq_actions"))
    global_irqs = cython.cast(cython.pointer[global_irq], segment_cy.region_at(b"global_irq"))
    register_recovery(RECOVER_IRQ, recover)


def init(config: object = None) -> None:
    """Format the lines of a fresh segment: no action, disabled."""
    i: cython.int
    class_: cython.ushort = lock_class_named(b"irq_desc->lock", CLASS_SPIN, RECOVER_IRQ)
    for i in range(NR_IRQS):
        memset(cython.address(irq_descs[i]), 0, cython.sizeof(irq_desc))
        spinlock_init(cython.address(irq_descs[i].lock), class_)
        irq_descs[i].status = IRQ_DISABLED
        irq_descs[i].affinity = ~cython.cast(u64, 0)


def recover(lock):
    """Free the entries of a line that its dead owner had not chained, or had unchained."""
    line: u64
    entry: u32
    for line in range(NR_IRQS):
        if cython.address(irq_descs[line].lock) != lock:
            continue
        for entry in range(NR_ACTIONS):
            if irq_actions[entry].line == line + 1 and not is_chained(line, entry + 1):
                atomic32_store(cython.address(irq_actions[entry].line), 0)
        if irq_descs[line].action == 0 or irq_descs[line].depth != 0:
            atomic32_fetch_or(cython.address(irq_descs[line].status), IRQ_DISABLED)
        else:
            atomic32_fetch_and(
                cython.address(irq_descs[line].status), ~cython.cast(u32, IRQ_DISABLED)
            )


def is_chained(line, entry):
    at: u32 = irq_descs[line].action
    while at != 0 and at != entry:
        at = irq_actions[at - 1].next
    return at != 0


def raise_irq(line: object, cpu: object = None) -> None:
    """Send an edge on `line`; `cpu` says who takes it, None = any CPU of its mask.

    Any process, any context, inside no call; does not wait for the handlers.
    """
    number: cython.longlong = whole(line, b"raise_irq", b"line")
    if not 0 <= number < NR_IRQS:
        raise ValueError(f"no interrupt line {number}: 0 to {NR_IRQS - 1}")
    if cpu is not None and not 0 <= cpu < segment_cy.header.nr_cpus:
        raise ValueError(f"no CPU {cpu}: 0 to {segment_cy.header.nr_cpus - 1}")
    d: cython.pointer[irq_desc] = cython.address(irq_descs[number])
    old: u32
    atomic64_fetch_add(cython.address(d.nr_raised), 1)
    if d.action == 0 or atomic32_load(cython.address(d.status)) & IRQ_SHUT:
        atomic64_fetch_add(cython.address(d.nr_lost), 1)
        return
    if cpu is not None:
        atomic32_store(cython.address(d.target), cython.cast(u32, cpu + 1))
    old = atomic32_fetch_or(cython.address(d.status), IRQ_PENDING)
    if old & IRQ_PENDING:
        atomic64_fetch_add(cython.address(d.nr_merged), 1)
    futex_wake(cython.address(d.status), 64)


def is_pending(line: cython.ulonglong) -> bool:
    """Whether an edge of a line has not been taken yet. Any process, any context."""
    return atomic32_load(cython.address(irq_descs[line].status)) & IRQ_PENDING != 0


# The handler process


def handler_ready(line: cython.ulonglong) -> None:
    """Say that this process takes the interrupts of `line`."""
    d: cython.pointer[irq_desc] = cython.address(irq_descs[line])
    atomic32_fetch_and(cython.address(d.status), ~cython.cast(u32, IRQ_SHUT | IRQ_INPROGRESS))
    atomic64_store(cython.address(d.handler), percpu_cy.this_slot)
    futex_wake(low_half(cython.address(d.handler)), 64)


def wait_edge(line: cython.ulonglong, timeout_ns: cython.ulonglong) -> bool:
    """Wait until an edge is pending on `line` and it may be taken; false after `timeout_ns`.

    In the line's handler process, while it is no CPU.
    """
    d: cython.pointer[irq_desc] = cython.address(irq_descs[line])
    status: u32
    turns: cython.int
    for turns in range(2):
        status = atomic32_load(cython.address(d.status))
        if status & IRQ_PENDING and status & (IRQ_DISABLED | IRQ_SHUT) == 0:
            owner: u64 = atomic64_load(cython.address(global_irqs.owner))
            if owner == 0:
                return True
            futex_wait(
                low_half(cython.address(global_irqs.owner)), cython.cast(u32, owner), WAIT_NS
            )
            return False
        if turns == 0:
            futex_wait(cython.address(d.status), status, timeout_ns)
    return False


def gate_is_open(cpu):
    """Whether an interrupt can get into a CPU now: nobody is in a call there, nothing off."""
    c: cython.pointer[cpu_area] = cython.address(percpu_cy.cpu_areas[cpu])
    runner: u64 = atomic64_load(cython.address(c.runner)) & RUNNER_SLOT
    return (
        runner != 0
        and atomic64_load(cython.address(percpu_cy.process_slots[runner - 1].inside)) == 0
        and atomic64_load(cython.address(c.irqs_off)) == 0
    )


def choose_cpu(line: cython.ulonglong) -> int:
    """Return the CPU that takes the next interrupt of `line`; -1 = none is up.

    In turn, first among those that would let it in at once: on a busy host a CPU's process may
    have been descheduled inside of a call, for milliseconds.
    """
    d: cython.pointer[irq_desc] = cython.address(irq_descs[line])
    nr: u64 = segment_cy.header.nr_cpus
    target: u32 = atomic32_load(cython.address(d.target))
    cpu: u64
    i: u64
    if target != 0 and target <= nr and percpu_cy.cpu_areas[target - 1].state == CPU_ONLINE:
        return target - 1
    for i in range(3 * nr):
        cpu = (d.last_cpu + 1 + i) % nr
        # A mask without a CPU that is up is no mask: third round.
        if i < 2 * nr and not (d.affinity >> cpu) & 1:
            continue
        if percpu_cy.cpu_areas[cpu].state != CPU_ONLINE or (i < nr and not gate_is_open(cpu)):
            continue
        d.last_cpu = cpu
        return cpu
    return -1


def begin_irq(line: cython.ulonglong) -> bool:
    """Take the pending edge of `line` as this CPU; false when it may not be taken now."""
    d: cython.pointer[irq_desc] = cython.address(irq_descs[line])
    status: u32
    cpu: u64
    owner: u64
    enter()
    cpu = percpu_cy.this_cpu.number
    while True:
        status = atomic32_load(cython.address(d.status))
        if not status & IRQ_PENDING or status & (IRQ_DISABLED | IRQ_SHUT | IRQ_INPROGRESS):
            leave()
            return False
        if (
            atomic32_cmpxchg(
                cython.address(d.status), status, (status & ~IRQ_PENDING) | IRQ_INPROGRESS
            )
            == status
        ):
            break
    atomic64_store(cython.address(d.cpu), cpu + 1)
    # Pairs with the exchange in cli: of cli and interrupt at least one sees the other.
    owner = atomic64_load(cython.address(global_irqs.owner))
    if owner != 0 and owner != cpu + 1:
        atomic64_store(cython.address(d.cpu), 0)
        atomic32_fetch_or(cython.address(d.status), IRQ_PENDING)
        atomic32_fetch_and(cython.address(d.status), ~cython.cast(u32, IRQ_INPROGRESS))
        leave()
        return False
    atomic32_store(cython.address(d.target), 0)
    d.counts[cpu] += 1
    trace_event(EVENT_IRQ_ENTRY, line, 0, 0, 0)
    leave()
    return True


def end_irq(line: cython.ulonglong, unhandled: cython.bint = False) -> None:
    """End what `begin_irq` began, as the same CPU."""
    d: cython.pointer[irq_desc] = cython.address(irq_descs[line])
    enter()
    d.nr_unhandled += unhandled
    trace_event(EVENT_IRQ_EXIT, line, 0, 0, 0)
    atomic64_store(cython.address(d.cpu), 0)
    atomic32_fetch_and(cython.address(d.status), ~cython.cast(u32, IRQ_INPROGRESS))
    futex_wake(cython.address(d.status), 64)
    leave()


def actions(line: cython.ulonglong) -> list:
    """Return (handler address, dev_id, flags, name) of each action of `line`, in order."""
    found = []
    at: u32 = atomic32_load_acquire(cython.address(irq_descs[line].action))
    while at != 0:
        a: cython.pointer[irqaction] = cython.address(irq_actions[at - 1])
        if a.line != line + 1:
            break  # unlinked meanwhile
        found.append((a.handler, a.dev_id, a.flags, a.name.decode("utf-8", "replace")))
        at = atomic32_load_acquire(cython.address(a.next))
    return found


def set_affinity(line: cython.ulonglong, mask: cython.ulonglong) -> None:
    """Say which CPUs take the interrupts of `line`."""
    irq_descs[line].affinity = mask


def other_cpu_in_irq(cpu):
    line: cython.int
    for line in range(NR_IRQS):
        if (
            atomic32_load(cython.address(irq_descs[line].status)) & IRQ_INPROGRESS
            and atomic64_load(cython.address(irq_descs[line].cpu)) != cpu + 1
            and atomic32_load(cython.address(irq_descs[line].status)) & IRQ_SHUT == 0
        ):
            return True
    return False


def release_irqlock(cpu):
    """Give the global interrupt lock back if `cpu` has it; any process."""
    if atomic64_cmpxchg(cython.address(global_irqs.owner), cpu + 1, 0) == cpu + 1:
        futex_wake(low_half(cython.address(global_irqs.owner)), 64)


# Deaths and reports


def line_of(slot: int) -> int:
    """Return the line whose handler process has `slot`, -1 when there is none."""
    line: cython.int
    for line in range(NR_IRQS):
        if irq_descs[line].handler == cython.cast(u64, slot) + 1:
            return line
    return -1


def shut_line(line: cython.ulonglong) -> None:
    """Take a line whose handler process has died out of service; the monitor only."""
    d: cython.pointer[irq_desc] = cython.address(irq_descs[line])
    atomic32_fetch_or(cython.address(d.status), IRQ_SHUT)
    atomic64_store(cython.address(d.cpu), 0)
    atomic64_store(cython.address(d.handler), 0)
    atomic32_fetch_and(
        cython.address(d.status), ~cython.cast(u32, IRQ_INPROGRESS | IRQ_PENDING)
    )
    futex_wake(cython.address(d.status), 64)


def any_edge() -> bool:
    """Return whether an edge waits to be taken, or is being served; any process."""
    line: cython.int
    status: u32
    for line in range(NR_IRQS):
        status = atomic32_load(cython.address(irq_descs[line].status))
        if status & IRQ_INPROGRESS:
            return True
        if status & IRQ_PENDING and status & (IRQ_DISABLED | IRQ_SHUT) == 0:
            return True
    return False


def line_info(line: cython.ulonglong) -> dict:
    """Return the words of a line, for reports and tests."""
    d: cython.pointer[irq_desc] = cython.address(irq_descs[line])
    nr: cython.int = segment_cy.header.nr_cpus
    return {
        "line": line,
        "depth": d.depth,
        "status": d.status,
        "handler": d.handler,
        "raised": d.nr_raised,
        "merged": d.nr_merged,
        "lost": d.nr_lost,
        "unhandled": d.nr_unhandled,
        "cpu": cython.cast(cython.longlong, d.cpu) - 1,
        "counts": [d.counts[cpu] for cpu in range(nr)],
        "actions": actions(line),
    }
