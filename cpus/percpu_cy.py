"""The processor: per-CPU area, process slots, preemption point.

A kernel call publishes itself: `enter` sets this process's `inside` by an exchange and then
loads `pending`; `leave` stores 0 and loads `pending` again. A handler process that takes an
interrupt for a CPU (`gate_cy`) adds itself to that CPU's `pending`, then looks in this order:
`runner`; `inside` of the runner is 0; `irqs_off` is 0; then it takes `runner` by
compare-and-exchange. The exchange, the addition and the loads behind them are sequentially
consistent, so of a call and an interrupt that start together at least one sees the other, and
the call gives way.

1. Fast path: exchange, load, equal to `pending_ignored`: go on (2–4 ns).
2. A handler is counted and interrupts are on: stand still, `inside` = 0, until it is through.
3. A softirq is raised and may run here: run it, outside the call.
4. The task must give way and may: schedule, outside the call.

`irqs_off`, `preempt_count`, `current` are plain words of the process that is the CPU, inside a
call.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import (
    atomic32_load,
    atomic32_store,
    atomic64_fetch_add,
    atomic64_fetch_and,
    atomic64_fetch_or,
    atomic64_fetch_sub,
    atomic64_load,
    atomic64_store,
    atomic64_xchg,
    clock_ns,
    clock_ticks,
    cpu_relax,
    futex_wait,
    futex_wake,
    gate_publish,
    low_half,
    unlikely,
)
from cython.cimports.cpus.callsite_cy import stack_sites
from cython.cimports.cpus.kill_cy import KILL_STANDING_STILL, kill_point
from cython.cimports.cpus.segment_cy import machine_ns, ticks_to_ns
from cython.cimports.libc.string import strncpy

# Registered by later layers, called outside of any kernel call. No argument.
softirq_hook: object = None
schedule_hook: object = None
breach_hook: object = None
semaphores: list = []


def register_hooks(softirq=None, schedule=None, breach=None) -> None:
    """Register what the slow path calls: softirqs, the scheduler, the report of a breach."""
    global softirq_hook, schedule_hook, breach_hook
    if softirq is not None:
        softirq_hook = softirq
    if schedule is not None:
        schedule_hook = schedule
    if breach is not None:
        breach_hook = breach


def set_semaphores(each: list) -> None:
    """Keep the semaphores on which halted CPUs wait (posix_ipc, one per CPU)."""
    global semaphores
    semaphores = each


def regions(config: object = None) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {
        "cpu_areas": NR_CPUS * cython.sizeof(cpu_area),
        "process_slots": NR_SLOTS * cython.sizeof(process_slot),
    }


def attach(config: object = None) -> None:
    """Find this module's regions in the attached segment."""
    global cpu_areas, process_slots
    cpu_areas = cython.cast(cython.pointer[cpu_area], segment_cy.region_at(b"cpu_areas"))
    process_slots = cython.cast(
        cython.pointer[process_slot], segment_cy.region_at(b"process_slots")
    )


def become(slot: int, pid: int) -> None:
    """Be the process of `slot`; for a CPU's own process, be that CPU too."""
    global this_process, this_slot, this_cpu, pending_ignored, this_owner
    if process_slots[slot].cpu >= segment_cy.header.nr_cpus:
        raise ValueError(
            f"CPU {process_slots[slot].cpu} of a machine of {segment_cy.header.nr_cpus}"
        )
    this_process = cython.address(process_slots[slot])
    this_process.pid = pid
    this_slot = slot + 1
    this_owner = cython.cast(u32, this_slot) | (this_process.generation & 0x7FFFFF) << 8
    pending_ignored = 0
    this_cpu = cython.address(cpu_areas[this_process.cpu])
    if this_process.kind == KIND_CPU:
        this_cpu.number = this_process.cpu
        atomic64_store(
            cython.address(this_cpu.runner), runner_word(this_cpu.runner, this_slot)
        )
        this_cpu.irqs_off = 0
        this_cpu.preempt_count = 0
        atomic64_store(cython.address(this_cpu.state), CPU_ONLINE)


def wake_handlers():
    """Wake the handlers that wait for this process to be outside."""
    futex_wake(low_half(cython.address(this_process.inside)), 64)


def slow_path():
    pending: u64
    while True:
        pending = atomic64_load(cython.address(this_cpu.pending))
        if (pending ^ pending_ignored) & PENDING_HANDLERS:
            if not must_stand_still():
                return 0
            stand_still()
        elif pending == pending_ignored or this_cpu.irqs_off != 0:
            return 0
        elif (
            pending & PENDING_SOFTIRQ
            and (this_cpu.preempt_count & (SOFTIRQ_MASK | HARDIRQ_MASK)) == 0
            and softirq_hook is not None
        ):
            call_out()
            softirq_hook()
            gate_publish(cython.address(this_process.inside))
        elif (
            pending & PENDING_RESCHED
            and this_cpu.preempt_count == 0
            and this_cpu.current != 0
            and schedule_hook is not None
        ):
            call_out()
            # Returns 1 when the task gave way, 0 when its version keeps kernel code running.
            if not schedule_hook():
                gate_publish(cython.address(this_process.inside))
                if (
                    atomic64_load(cython.address(this_cpu.pending)) ^ pending_ignored
                ) & PENDING_HANDLERS:
                    continue
                return 0
            gate_publish(cython.address(this_process.inside))
        else:
            return 0


def must_stand_still():
    """Whether a handler wants or has this CPU and this context may not keep it.

    Called with `inside` set. A handler turns `irqs_off` on for itself, so the word counts only
    while this process is the runner; it is read before `runner`, which the handler takes first
    and gives back last.
    """
    if (
        atomic64_load(cython.address(this_cpu.pending)) ^ pending_ignored
    ) & PENDING_HANDLERS == 0:
        return False
    if atomic64_load(cython.address(this_cpu.irqs_off)) == 0:
        return True
    return atomic64_load(cython.address(this_cpu.runner)) & RUNNER_SLOT != this_slot


def stand_still():
    """Give the CPU to the handlers that want it; come back when they have finished.

    `inside` is 0 meanwhile. Called inside a call with interrupts enabled. Nothing of the CPU
    is touched before `inside` is 0: a handler may have it already.
    """
    pending: u64
    spins: cython.int = 0
    while True:
        atomic64_store(cython.address(this_process.inside), 0)
        futex_wake(low_half(cython.address(this_process.inside)), 64)
        futex_wake(low_half(cython.address(this_cpu.irqs_off)), 64)
        kill_point(KILL_STANDING_STILL)
        while True:
            pending = atomic64_load(cython.address(this_cpu.pending))
            if (pending ^ pending_ignored) & PENDING_HANDLERS == 0:
                break
            spins += 1
            if spins < SPINS:
                cpu_relax()
                continue
            if spins == SPINS:
                this_process.nr_stack = stack_sites(this_process.stack, 16)
            futex_wait(
                low_half(cython.address(this_cpu.pending)),
                cython.cast(u32, pending),
                WAIT_NS,
            )
        atomic64_xchg(cython.address(this_process.inside), 1)
        pending = atomic64_load(cython.address(this_cpu.pending))
        if (pending ^ pending_ignored) & PENDING_HANDLERS == 0:
            this_cpu.nr_calls_interrupted += 1
            this_process.nr_stack = 0
            return


def stand_still_point():
    if unlikely(
        (atomic64_load(cython.address(this_cpu.pending)) ^ pending_ignored) & PENDING_HANDLERS
    ):
        if must_stand_still():
            stand_still()


def call_out():
    leave()


def come_back():
    return enter()


def may_sleep_here():
    return this_cpu.preempt_count == 0 and this_cpu.irqs_off == 0


def in_task():
    return (
        this_process.kind == KIND_CPU
        and this_cpu.preempt_count & (HARDIRQ_MASK | SOFTIRQ_MASK) == 0
        and this_cpu.current != 0
    )


def sleeping_breach(what):
    """Report a call that may sleep where that is forbidden; inside the call again after it."""
    leave()
    if breach_hook is not None:
        breach_hook("sleeping", what.decode())
    return enter()


def set_pending(cpu, bits):
    if atomic64_fetch_or(cython.address(cpu.pending), bits) & bits != bits:
        atomic64_store(cython.address(cpu.requested_ns), machine_ns())
    wake_cpu(cpu)


def wake_cpu(cpu):
    # Pairs with prepare_halt: it sets `halted`, then looks for work once more.
    if unlikely(atomic64_load(cython.address(cpu.halted)) == 1):
        if atomic64_xchg(cython.address(cpu.halted), 0) == 1:
            semaphores[cpu.number].release()


def raise_softirq_pending(nr):
    atomic64_fetch_or(cython.address(this_cpu.softirq_pending), cython.cast(u64, 1) << nr)
    set_pending(this_cpu, PENDING_SOFTIRQ)


def prepare_halt() -> bool:
    """Announce that this CPU halts; false, and it does not, when there is work after all."""
    c: cython.pointer[cpu_area] = this_cpu
    atomic64_xchg(cython.address(c.halted), 1)  # pairs with the loads in wake_cpu
    if (
        atomic64_load(cython.address(c.pending)) & ~cython.cast(u64, PENDING_HANDLERS) != 0
        or atomic64_load(cython.address(c.nr_queued)) != 0
        or atomic64_load(cython.address(c.nr_messages)) != 0
    ):
        atomic64_xchg(cython.address(c.halted), 0)
        return False
    return True


def finish_halt() -> None:
    """The CPU's wait has ended, whatever ended it."""
    atomic64_store(cython.address(this_cpu.halted), 0)


def post_message(cpu: int) -> None:
    """Count a message in the control pipe of `cpu` and wake it; the monitor only."""
    atomic64_fetch_add(cython.address(cpu_areas[cpu].nr_messages), 1)
    wake_cpu(cython.address(cpu_areas[cpu]))


def take_message() -> bool:
    """Take one message off this CPU's count; false when there is none."""
    if atomic64_load(cython.address(this_cpu.nr_messages)) == 0:
        return False
    atomic64_fetch_sub(cython.address(this_cpu.nr_messages), 1)
    return True


def set_current(task: cython.ulonglong) -> None:
    """Store which task_struct (native address, 0 = idle) runs here; the scheduler only."""
    this_cpu.current = task


def request_resched(cpu: int) -> None:
    """Ask the task that runs on `cpu` to give way (need_resched); any context."""
    set_pending(cython.address(cpu_areas[cpu]), PENDING_RESCHED)


def clear_pending(bits: cython.ulonglong) -> None:
    """Take request bits off this CPU."""
    atomic64_fetch_and(cython.address(this_cpu.pending), ~bits)


def take_softirqs() -> int:
    """Return and clear the softirqs that are pending on this CPU; inside no call."""
    atomic64_fetch_and(cython.address(this_cpu.pending), ~cython.cast(u64, PENDING_SOFTIRQ))
    return atomic64_xchg(cython.address(this_cpu.softirq_pending), 0)


def preemption_point() -> None:
    """Pass the preemption point: the head of every kernel call. Any context."""
    enter()
    leave()


def take_slot(slot: int, kind: int, name: str, cpu: int = 0) -> None:
    """Mark `slot` live for a process that is about to be forked; the monitor only."""
    s: cython.pointer[process_slot] = cython.address(process_slots[slot])
    encoded: bytes = name.encode()
    s.inside = 0
    s.interrupted = 0
    s.counted_cpu = 0
    s.saved_preempt = 0
    s.pid = 0
    s.nr_stack = 0
    s.waiting_lock = 0
    s.parked = 0
    s.nr_held = 0
    s.kind = kind
    s.cpu = cpu
    s.generation += 1
    strncpy(s.name, encoded, 23)
    s.state = SLOT_LIVE


def free_slot() -> int:
    """Return the first free slot, else raise OverflowError; the monitor only."""
    i: cython.int
    for i in range(NR_SLOTS):
        if process_slots[i].state == SLOT_FREE:
            return i
    raise OverflowError(f"all {NR_SLOTS} process slots are taken")


def mark_dead(slot: int) -> None:
    """Say that the process of `slot` is gone: after reaping it; the monitor only."""
    atomic32_store(cython.address(process_slots[slot].state), SLOT_DEAD)


def set_cpu_state(cpu: int, state: int) -> None:
    """Take a CPU online, offline or dead; the monitor only."""
    atomic64_store(cython.address(cpu_areas[cpu].state), state)


def owner_slot(word):
    slot: u32 = word & 0xFF
    s: cython.pointer[process_slot]
    if slot == 0 or slot > NR_SLOTS:
        return cython.NULL
    s = cython.address(process_slots[slot - 1])
    if s.generation & 0x7FFFFF != (word >> 8) & 0x7FFFFF:
        return cython.NULL
    return s


def owner_dead(word):
    s: cython.pointer[process_slot] = owner_slot(word)
    return s == cython.NULL or atomic32_load(cython.address(s.state)) != SLOT_LIVE


def slot_info(slot: int) -> dict:
    """Return what is known of a process slot, for reports."""
    s: cython.pointer[process_slot] = cython.address(process_slots[slot])
    return {
        "slot": slot,
        "name": s.name.decode(),
        "state": s.state,
        "kind": s.kind,
        "cpu": s.cpu,
        "pid": s.pid,
        "generation": s.generation,
        "inside": s.inside,
        "interrupted": s.interrupted,
        "counted_cpu": s.counted_cpu,
        "waiting_lock": s.waiting_lock,
        "waiting_site": s.waiting_site,
        "waiting_ns": clock_ns() - s.waiting_since if s.waiting_lock != 0 else 0,
        "held": [
            (s.held[i].lock, s.held[i].site, s.held[i].flags)
            for i in range(min(s.nr_held, 48))
        ],
        "held_ns": [
            ticks_to_ns(clock_ticks() - s.held[i].taken) if s.held[i].taken != 0 else 0
            for i in range(min(s.nr_held, 48))
        ],
        "stack": [s.stack[i] for i in range(min(s.nr_stack, 16))],
    }


def cpu_info(cpu: int) -> dict:
    """Return the words of a CPU's area, for reports."""
    c: cython.pointer[cpu_area] = cython.address(cpu_areas[cpu])
    return {
        "cpu": cpu,
        "pending": c.pending,
        "runner": c.runner & RUNNER_SLOT,
        "halted": c.halted,
        "softirq_pending": c.softirq_pending,
        "requested_ns": c.requested_ns,
        "nr_messages": c.nr_messages,
        "nr_queued": c.nr_queued,
        "irqs_off": c.irqs_off,
        "preempt_count": c.preempt_count,
        "current": c.current,
        "state": c.state,
        "nr_switches": c.nr_switches,
        "nr_calls_interrupted": c.nr_calls_interrupted,
    }


def event_head(cpu: int) -> int:
    """Return how many records were ever written to a CPU's event ring."""
    return cpu_areas[cpu].event_head


def own_slot() -> int:
    """Return this process's slot, -1 in a process that has none."""
    return cython.cast(cython.int, this_slot) - 1


def own_cpu() -> int:
    """Return the CPU that this process is, without a kernel call."""
    return this_cpu.number
