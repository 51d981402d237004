"""Tasklets and the bottom halves built on them (kernel/softirq.c, include/linux/interrupt.h).

A scheduled tasklet is on the list of the CPU that scheduled it, and runs there once, in its
softirq; a tasklet never runs on two CPUs at once: the one that finds it running puts it back.
A list belongs to its CPU and is changed inside a call with interrupts off.

Truth: the bits of a tasklet's state. SCHED says that it is on one list, PUSHER who is putting
it there; RUN with RUNNER who runs it, and BEGUN that SCHED is another's since. A CPU names in
`pushing`, `taking` and `current` the one that it moves or runs: when it is killed the monitor,
which no kill leaves half-way, completes that and hands its tasklets to a CPU that lives.
"""

import cython
from cython.cimports.cpus import percpu_cy, segment_cy
from cython.cimports.cpus.atomic import (
    atomic32_cmpxchg,
    atomic32_fetch_add,
    atomic32_fetch_and,
    atomic32_load,
    atomic32_store,
    atomic64_cmpxchg,
    atomic64_load,
    compiler_barrier,
    futex_wait,
    futex_wake,
)
from cython.cimports.cpus.handle_cy import address_of
from cython.cimports.cpus.kill_cy import KILL_TASKLET, kill_point
from cython.cimports.cpus.percpu_cy import (
    HARDIRQ_MASK,
    SOFTIRQ_MASK,
    enter,
    enter_sleeping,
    irq_restore,
    irq_save,
    leave,
    raise_softirq_pending,
)
from cython.cimports.cpus.segment_cy import native
from cython.cimports.cpus.whole import whole
from cython.cimports.cpython.exc import PyErr_CheckSignals
from cython.cimports.interrupts.irq_cy import global_irqs
from cython.cimports.interrupts.softirq_cy import HI_SOFTIRQ, TASKLET_SOFTIRQ
from cython.cimports.libc.string import memset

from cpus import bug, event_cy
from interrupts.callbacks import function_address
from interrupts.waiting import pause

BOTTOM_HALVES: int = NR_BHS
WAIT_NS = 1000000


def regions(config: object = None) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {"tasklets": cython.sizeof(tasklet_area)}


def attach(config: object = None) -> None:
    """Find this module's regions in the attached segment."""
    global tasklets
    tasklets = cython.cast(cython.pointer[tasklet_area], segment_cy.region_at(b"tasklets"))


def init(config: object = None) -> None:
    """Format the lists of a fresh segment."""
    nr: cython.int
    memset(tasklets, 0, cython.sizeof(tasklet_area))
    for nr in range(NR_BHS):
        tasklets.bh_task_vec[nr].func = nr


def tasklet_at(address):
    return cython.cast(
        cython.pointer[tasklet_struct], native(address, cython.sizeof(tasklet_struct))
    )


# The calls of drivers


def tasklet_init(t: object, function: object, data: object) -> None:
    """Prepare a tasklet that calls function(data); any context."""
    address: u64 = address_of(t)
    argument: u64 = address_of(data)
    text: u64 = function_address(function)
    p: cython.pointer[tasklet_struct]
    enter()
    p = tasklet_at(address)
    if p != cython.NULL:
        p.next = 0
        p.state = 0
        p.count = 0
        p.func = text
        p.data = argument
    leave()
    if p == cython.NULL:
        bug.bad_address("tasklet_init", address)


def tasklet_schedule(t: object) -> None:
    """Have a tasklet run once on this CPU, soon, unless that is due already. Any context."""
    address: u64 = address_of(t)
    p: cython.pointer[tasklet_struct]
    enter()
    p = tasklet_at(address)
    if p != cython.NULL:
        schedule(p, 0)
    leave()
    if p == cython.NULL:
        bug.bad_address("tasklet_schedule", address)


def tasklet_hi_schedule(t: object) -> None:
    """The same, before all ordinary tasklets. Any context."""
    address: u64 = address_of(t)
    p: cython.pointer[tasklet_struct]
    enter()
    p = tasklet_at(address)
    if p != cython.NULL:
        schedule(p, 1)
    leave()
    if p == cython.NULL:
        bug.bad_address("tasklet_hi_schedule", address)


def schedule(t, hi):
    """Put a tasklet on this CPU's list unless it is on one; inside a call."""
    head: cython.pointer[tasklet_head]
    state: u32
    flags: u64 = irq_save()
    head = own_head()
    head.pushing = cython.cast(u64, t) | (1 if hi else 0)
    compiler_barrier()
    while True:
        state = atomic32_load(cython.address(t.state))
        if state & TASKLET_STATE_SCHED:
            head.pushing = 0
            irq_restore(flags)
            return
        if (
            atomic32_cmpxchg(
                cython.address(t.state),
                state,
                state
                | TASKLET_STATE_SCHED
                | (cython.cast(u32, percpu_cy.this_cpu.number) + 1) << 8,
            )
            == state
        ):
            break
    push(head, t, hi)
    irq_restore(flags)


def push(head, t, hi):
    """Raise the softirq and put a tasklet on this CPU's list; inside, interrupts off."""
    raise_softirq_pending(HI_SOFTIRQ if hi else TASKLET_SOFTIRQ)
    link(head, t, hi)


def link(head, t, hi):
    """Put a tasklet on a list that is ours."""
    which: cython.int = 0 if hi else 1
    t.next = head.list[which]
    compiler_barrier()
    head.list[which] = cython.cast(u64, t)
    compiler_barrier()
    atomic32_fetch_and(cython.address(t.state), ~cython.cast(u32, TASKLET_PUSHER))
    head.pushing = 0


def own_head():
    """Return this CPU's lists, whole: whoever was killed as this CPU while it put a tasklet on
    a list left `pushing`. Inside a call, interrupts off.
    """
    head: cython.pointer[tasklet_head] = cython.address(
        tasklets.heads[percpu_cy.this_cpu.number]
    )
    hi: cython.int
    if head.pushing != 0:
        hi = head.pushing & 1
        finish_push(head, percpu_cy.this_cpu.number)
        raise_softirq_pending(HI_SOFTIRQ if hi else TASKLET_SOFTIRQ)
    return head


def finish_push(head, cpu):
    """Put the tasklet of `pushing` on its list, if it is not there and is `cpu`'s to put."""
    hi: cython.int = head.pushing & 1
    t: cython.pointer[tasklet_struct] = cython.cast(
        cython.pointer[tasklet_struct], head.pushing & ~cython.cast(u64, 1)
    )
    if (
        t != cython.NULL
        and (atomic32_load(cython.address(t.state)) & TASKLET_PUSHER) >> 8 == cpu + 1
    ):
        if head.list[0 if hi else 1] != cython.cast(u64, t):
            link(head, t, hi)
        atomic32_fetch_and(cython.address(t.state), ~cython.cast(u32, TASKLET_PUSHER))
    head.pushing = 0


def tasklet_disable_nosync(t: object) -> None:
    """Keep a tasklet from running, without waiting for it; nests. Any context."""
    change_count(t, 1, "tasklet_disable_nosync")


def tasklet_disable(t: object) -> None:
    """Keep a tasklet from running and wait until it does not; nests. Not from its function."""
    change_count(t, 1, "tasklet_disable")
    wait_state(t, TASKLET_STATE_RUN)


def tasklet_enable(t: object) -> None:
    """Undo one `tasklet_disable`. Any context."""
    change_count(t, -1, "tasklet_enable")


def change_count(t: object, by: cython.int, call: str) -> None:
    address: u64 = address_of(t)
    p: cython.pointer[tasklet_struct]
    enter()
    p = tasklet_at(address)
    if p != cython.NULL:
        atomic32_fetch_add(cython.cast(cython.pointer[u32], cython.address(p.count)), by)
    leave()
    if p == cython.NULL:
        bug.bad_address(call, address)


def tasklet_kill(t: object) -> None:
    """Wait until a tasklet is neither due nor running; may sleep. Nobody may schedule it."""
    address: u64 = address_of(t)
    p: cython.pointer[tasklet_struct]
    atomic: cython.bint
    enter()
    p = tasklet_at(address)
    atomic = percpu_cy.this_cpu.preempt_count & (HARDIRQ_MASK | SOFTIRQ_MASK) != 0
    leave()
    if p == cython.NULL:
        bug.bad_address("tasklet_kill", address)
    if atomic:
        event_cy.log("Attempt to kill tasklet from interrupt", 4)
    enter_sleeping(b"tasklet_kill")
    leave()
    while atomic32_load(cython.address(p.state)) & (TASKLET_STATE_SCHED | TASKLET_STATE_RUN):
        pause()


def wait_state(t: object, bits: cython.uint) -> None:
    """Wait until a tasklet has none of `bits` in its state; outside of any call."""
    address: u64 = address_of(t)
    p: cython.pointer[tasklet_struct]
    state: u32
    while True:
        enter()
        p = tasklet_at(address)
        state = 0 if p == cython.NULL else atomic32_load(cython.address(p.state))
        leave()
        if state & bits == 0:
            return
        futex_wait(cython.address(p.state), state, WAIT_NS)
        PyErr_CheckSignals()


# The rounds of a CPU


def take_list(nr: cython.uint) -> None:
    """Begin to run the tasklets of softirq `nr` on this CPU: those scheduled so far."""
    which: cython.int = 0 if nr == HI_SOFTIRQ else 1
    head: cython.pointer[tasklet_head]
    first: u64
    flags: u64
    enter()
    flags = irq_save()
    head = own_head()
    if head.running[which] == 0:
        head.running[which] = head.list[which]
        compiler_barrier()
        head.list[which] = 0
    while head.running[which] == 0:  # the monitor may put one more before them
        first = atomic64_load(cython.address(head.adopted[which]))
        if first == 0:
            break
        head.running[which] = first
        compiler_barrier()
        if atomic64_cmpxchg(cython.address(head.adopted[which]), first, 0) != first:
            head.running[which] = 0
    if atomic64_load(cython.address(head.adopted[which])) != 0:
        raise_softirq_pending(nr)
    irq_restore(flags)
    leave()


def next_tasklet(nr: cython.uint) -> object:
    """Take the next tasklet of the round and mark it running: (func, data), or None."""
    hi: cython.int = nr == HI_SOFTIRQ
    which: cython.int = 0 if hi else 1
    head: cython.pointer[tasklet_head]
    t: cython.pointer[tasklet_struct]
    flags: u64
    func: u64 = 0
    data: u64 = 0
    found: cython.bint = False
    enter()
    flags = irq_save()
    head = own_head()
    while head.running[which] != 0 and not found:
        t = cython.cast(cython.pointer[tasklet_struct], head.running[which])
        head.taking = cython.cast(u64, t) | (1 if hi else 0)
        compiler_barrier()
        head.running[which] = t.next
        compiler_barrier()
        kill_point(KILL_TASKLET)
        found = begin(t)
        if found:
            func = t.func
            data = t.data
            head.current = cython.cast(u64, t)
        else:
            push(head, t, hi)  # disabled, or running on another CPU: later
        compiler_barrier()
        head.taking = 0
    irq_restore(flags)
    leave()
    return (func, data) if found else None


def begin(t):
    """Mark a tasklet as running here; false when it is disabled or runs elsewhere."""
    runner: u32 = (cython.cast(u32, percpu_cy.this_cpu.number) + 1) << TASKLET_RUNNER_SHIFT
    state: u32
    while True:
        state = atomic32_load(cython.address(t.state))
        if state & TASKLET_STATE_RUN:
            return False
        if (
            atomic32_cmpxchg(
                cython.address(t.state), state, state | TASKLET_STATE_RUN | runner
            )
            == state
        ):
            break
    # Behind RUN: tasklet_disable counts, then looks whether it runs.
    if atomic32_load(cython.cast(cython.pointer[u32], cython.address(t.count))) != 0:
        atomic32_fetch_and(
            cython.address(t.state), ~cython.cast(u32, TASKLET_STATE_RUN | TASKLET_RUNNER)
        )
        return False
    # From SCHED to BEGUN by one exchange: SCHED is set, so an addition of the difference.
    atomic32_fetch_add(
        cython.address(t.state), cython.cast(u32, TASKLET_BEGUN - TASKLET_STATE_SCHED)
    )
    return True


def finish_tasklet() -> None:
    """Mark the tasklet that ran on this CPU as finished."""
    head: cython.pointer[tasklet_head]
    t: cython.pointer[tasklet_struct]
    enter()
    head = cython.address(tasklets.heads[percpu_cy.this_cpu.number])
    t = cython.cast(cython.pointer[tasklet_struct], head.current)
    if t != cython.NULL:
        end_run(t, percpu_cy.this_cpu.number)
        head.current = 0
    leave()


def end_run(t, cpu):
    """Clear RUN of a tasklet if `cpu` has set it, and wake who waits for that."""
    if (
        atomic32_load(cython.address(t.state)) & TASKLET_RUNNER
    ) >> TASKLET_RUNNER_SHIFT == cpu + 1:
        atomic32_fetch_and(
            cython.address(t.state),
            ~cython.cast(u32, TASKLET_STATE_RUN | TASKLET_BEGUN | TASKLET_RUNNER),
        )
        futex_wake(cython.address(t.state), 64)


# Bottom halves


def schedule_bh(nr):
    schedule(cython.address(tasklets.bh_task_vec[nr]), 1)


def mark_bh(nr: object) -> None:
    """Have bottom half `nr` run on this CPU, soon; any context."""
    number: cython.longlong = whole(nr, b"mark_bh", b"nr")
    if number < 0 or number >= NR_BHS:
        raise ValueError(f"no bottom half {number}: 0 to {NR_BHS - 1}")
    enter()
    schedule_bh(cython.cast(u32, number))
    leave()


def begin_bh(nr: cython.uint) -> bool:
    """Take the lock of all bottom halves; when that is taken, mark this one again: false."""
    taken: cython.bint = False
    cpu: u32
    owner: u64
    enter()
    cpu = cython.cast(u32, percpu_cy.this_cpu.number) + 1
    if atomic32_cmpxchg(cython.address(tasklets.global_bh_lock), 0, cpu) == 0:
        owner = atomic64_load(cython.address(global_irqs.owner))
        taken = owner == 0 or owner == cpu
        if not taken:
            atomic32_store(cython.address(tasklets.global_bh_lock), 0)
    if not taken:
        schedule_bh(nr)
    leave()
    return taken


def end_bh() -> None:
    """Give the lock of all bottom halves back."""
    enter()
    atomic32_store(cython.address(tasklets.global_bh_lock), 0)
    leave()


# Deaths


def release_bh_lock(cpu: cython.uint) -> None:
    """Free the lock of all bottom halves if a dead CPU has it; the monitor only."""
    atomic32_cmpxchg(cython.address(tasklets.global_bh_lock), cpu + 1, 0)


def tasklet_info(t: object) -> dict:
    """Return the words of a tasklet, for reports and tests."""
    p: cython.pointer[tasklet_struct] = tasklet_at(address_of(t))
    return {
        "next": p.next, "state": p.state, "count": p.count, "func": p.func, "data": p.data,
    }  # fmt: skip
