"""The processor: per-CPU area, preemption point, interrupt gate, contexts.

A kernel call publishes itself: `enter` sets this process's `inside` by an exchange and then loads
`pending`; `leave` stores 0 and loads `pending` again. A handler process that takes an interrupt for
a CPU adds itself to that CPU's `pending`, then looks in this order: `inside` of the runner is 0;
`irqs_off` is 0; then it takes `runner` by compare-and-exchange. The exchange, the addition and the
loads behind them are sequentially consistent, so of a call and an interrupt that start together at
least one sees the other, and the call gives way.

1. Fast path: exchange, load, equal to `pending_ignored`: go on (2–4 ns).
2. A handler is counted and interrupts are on: stand still, `inside` = 0, until it has finished.
3. A softirq is raised and may run here: run it, outside the call.
4. The task must give way and may: schedule, outside the call.

`irqs_off`, `preempt_count`, `current` are plain words of the process that is the CPU, inside a call.
"""

import cython
from cython.cimports.cpus.atomic import (
    atomic32_load,
    atomic32_store,
    atomic64_cmpxchg,
    atomic64_fetch_add,
    atomic64_fetch_and,
    atomic64_fetch_or,
    atomic64_fetch_sub,
    atomic64_load,
    atomic64_store,
    atomic64_store_release,
    atomic64_xchg,
    compiler_barrier,
    cpu_relax,
    futex_wait,
    futex_wake,
    gate_publish,
    low_half,
    unlikely,
)
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.callsite_cy import stack_sites
from cython.cimports.cpus.segment_cy import machine_ns
from cython.cimports.libc.string import strncpy

SPINS = 300
WAIT_NS = 1000000

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


def take_slot(slot: int, kind: int, name: str, cpu: int = 0) -> None:
    """Mark `slot` live for a process that is about to be forked; the monitor only."""
    s: cython.pointer[process_slot] = cython.address(process_slots[slot])
    encoded: bytes = name.encode()
    s.inside = 0
    s.interrupted = 0
    s.counted_cpu = 0
    s.waiting_lock = 0
    s.parked = 0
    s.nr_held = 0
    s.kind = kind
    s.cpu = cpu
    s.generation += 1
    strncpy(s.name, encoded, 23)
    s.state = SLOT_LIVE


def free_slot() -> int:
    """Return the first free slot; the monitor only. Raises OverflowError when there is none."""
    i: cython.int
    for i in range(NR_SLOTS):
        if process_slots[i].state == SLOT_FREE:
            return i
    raise OverflowError(f"all {NR_SLOTS} process slots are taken")


def become(slot: int, pid: int) -> None:
    """Be the process of `slot`; for a CPU's own process, be that CPU too."""
    global this_process, this_slot, this_cpu, pending_ignored, this_owner
    this_process = cython.address(process_slots[slot])
    this_process.pid = pid
    this_slot = slot + 1
    this_owner = cython.cast(u32, this_slot) | (this_process.generation & 0x7FFFFF) << 8
    pending_ignored = 0
    this_cpu = cython.address(cpu_areas[this_process.cpu])
    if this_process.kind == KIND_CPU:
        this_cpu.number = this_process.cpu
        this_cpu.runner = this_slot
        this_cpu.irqs_off = 0
        this_cpu.preempt_count = 0
        atomic64_store(cython.address(this_cpu.state), CPU_ONLINE)


def enter():
    gate_publish(cython.address(this_process.inside))  # pairs with the addition in gate_acquire
    if unlikely(atomic64_load(cython.address(this_cpu.pending)) != pending_ignored):
        return slow_path()
    return 0


def leave():
    # The store may still be under way when the load is done: a handler that waits for `inside`
    # looks again after a millisecond.
    atomic64_store_release(cython.address(this_process.inside), 0)
    if unlikely(
        (atomic64_load(cython.address(this_cpu.pending)) ^ pending_ignored) & PENDING_HANDLERS
    ):
        futex_wake(low_half(cython.address(this_process.inside)), 64)


def slow_path():
    pending: u64
    while True:
        pending = atomic64_load(cython.address(this_cpu.pending))
        if pending == pending_ignored or this_cpu.irqs_off != 0:
            return 0
        if (pending ^ pending_ignored) & PENDING_HANDLERS:
            stand_still()
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


def stand_still():
    """Give the CPU to the handlers that want it; come back when they have finished.

    `inside` is 0 meanwhile. Called inside a call with interrupts enabled.
    """
    pending: u64
    spins: cython.int = 0
    this_cpu.nr_calls_interrupted += 1
    while True:
        atomic64_store(cython.address(this_process.inside), 0)
        futex_wake(low_half(cython.address(this_process.inside)), 64)
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
            return


def stand_still_point():
    if unlikely(
        (atomic64_load(cython.address(this_cpu.pending)) ^ pending_ignored) & PENDING_HANDLERS
        and this_cpu.irqs_off == 0
    ):
        stand_still()


def call_out():
    leave()


def come_back():
    return enter()


def irq_save():
    flags: u64 = this_cpu.irqs_off
    this_cpu.irqs_off = 1
    return flags


def irq_restore(flags):
    this_cpu.irqs_off = flags
    if flags == 0:
        stand_still_point()


def may_sleep_here():
    return this_cpu.preempt_count == 0 and this_cpu.irqs_off == 0


def in_task():
    return (
        this_process.kind == KIND_CPU
        and this_cpu.preempt_count & (HARDIRQ_MASK | SOFTIRQ_MASK) == 0
        and this_cpu.current != 0
    )


def enter_sleeping(what):
    enter()
    if unlikely(this_cpu.preempt_count != 0 or this_cpu.irqs_off != 0):
        leave()
        if breach_hook is not None:
            breach_hook("sleeping", what.decode())
        enter()
    return 0


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


def gate_acquire(cpu):
    """Become `cpu`: wait until its runner is outside of any call with interrupts enabled.

    On return this process is inside a call as that CPU, interrupts are off and the count has a
    hardirq. The two words of the interrupted context are in this process's slot, for whoever must
    put them back if it is killed.
    """
    global this_cpu, pending_ignored
    c: cython.pointer[cpu_area] = cython.address(cpu_areas[cpu])
    runner: u64
    r: cython.pointer[process_slot]
    spins: cython.int = 0
    my_inside: cython.pointer[u64] = cython.address(this_process.inside)
    this_process.counted_cpu = cpu + 1
    atomic64_fetch_add(cython.address(c.pending), 1)  # pairs with the exchange in enter
    while True:
        if atomic64_load(cython.address(c.state)) != CPU_ONLINE:
            atomic64_fetch_sub(cython.address(c.pending), 1)
            this_process.counted_cpu = 0
            return -1
        runner = atomic64_load(cython.address(c.runner))
        r = cython.address(process_slots[runner - 1])
        if atomic64_load(cython.address(r.inside)) == 0:
            if atomic64_load(cython.address(c.irqs_off)) == 0:
                # Inside before the exchange: from then on others look at this process's word.
                atomic64_xchg(my_inside, 1)
                this_process.interrupted = runner
                if atomic64_cmpxchg(cython.address(c.runner), runner, this_slot) == runner:
                    break
                this_process.interrupted = 0
                atomic64_store(my_inside, 0)
                continue
        spins += 1
        if spins < SPINS:
            cpu_relax()
        else:
            futex_wait(low_half(cython.address(r.inside)), 1, WAIT_NS)
            if spins > 2 * SPINS and atomic64_load(cython.address(c.irqs_off)) != 0:
                futex_wait(low_half(cython.address(c.irqs_off)), 1, WAIT_NS // 4)
    c.irqs_off = 1
    this_process.saved_preempt = c.preempt_count + 1
    compiler_barrier()
    c.preempt_count += HARDIRQ_OFFSET
    if this_process.kind != KIND_CPU:
        this_process.cpu = cython.cast(u32, cpu)
    this_cpu = c
    pending_ignored = nr_handlers_below(runner, cpu) + 1
    leave()
    return 0


def nr_handlers_below(runner: u64, cpu: u64) -> u64:
    """Count the handlers on the stack of runners of `cpu`, from `runner` down to its own process."""
    n: u64 = 0
    r: cython.pointer[process_slot]
    while True:
        r = cython.address(process_slots[runner - 1])
        if (r.kind == KIND_CPU and r.cpu == cpu) or r.interrupted == 0:
            return n
        n += 1
        runner = r.interrupted


def gate_release():
    global pending_ignored, this_cpu
    c: cython.pointer[cpu_area] = this_cpu
    atomic64_xchg(cython.address(this_process.inside), 1)
    stand_still_point()
    c.irqs_off = 1
    c.preempt_count = this_process.saved_preempt - 1
    compiler_barrier()
    this_process.saved_preempt = 0
    # The interrupted context stands still until `pending` drops; others wait for irqs_off.
    atomic64_store_release(cython.address(c.runner), this_process.interrupted)
    atomic64_store(cython.address(c.irqs_off), 0)
    this_process.interrupted = 0
    atomic64_fetch_sub(cython.address(c.pending), 1)
    this_process.counted_cpu = 0
    futex_wake(low_half(cython.address(c.pending)), 64)
    atomic64_store(cython.address(this_process.inside), 0)
    pending_ignored = 0
    if atomic64_load(cython.address(c.softirq_pending)) != 0:
        set_pending(c, PENDING_SOFTIRQ)
    if this_process.kind == KIND_CPU:
        this_cpu = cython.address(cpu_areas[this_process.cpu])


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


def prepare_halt() -> bool:
    """Announce that this CPU halts; false when there is work after all (then it is not halted)."""
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
    """Store which task_struct (native address, 0 = idle) runs on this CPU; its scheduler only."""
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


def become_cpu(cpu: int) -> bool:
    """Take an interrupt for `cpu`: be that CPU, in hardirq context with interrupts off.

    False when the CPU is not online. The caller ends it with `leave_cpu`.
    """
    return gate_acquire(cpu) == 0


def leave_cpu() -> None:
    """End the interrupt that `become_cpu` began."""
    gate_release()


def mark_dead(slot: int) -> None:
    """Say that the process of `slot` is gone: after reaping it; the monitor only."""
    atomic32_store(cython.address(process_slots[slot].state), SLOT_DEAD)


def set_cpu_state(cpu: int, state: int) -> None:
    """Take a CPU online, offline or dead; the monitor only."""
    atomic64_store(cython.address(cpu_areas[cpu].state), state)


def reap_slot(slot: int) -> bool:
    """Put back what the dead process of `slot` had taken of CPUs; the monitor only.

    False when a live handler still runs above it: call again when that has finished. A dead
    process that was some CPU's runner gives it back to what it interrupted.
    """
    s: cython.pointer[process_slot] = cython.address(process_slots[slot])
    c: cython.pointer[cpu_area]
    i: cython.int
    cpu: u64
    s.inside = 0
    futex_wake(low_half(cython.address(s.inside)), 64)
    for i in range(cython.cast(cython.int, segment_cy.header.nr_cpus)):
        c = cython.address(cpu_areas[i])
        if s.kind == KIND_CPU and s.cpu == cython.cast(u32, i):
            continue
        if atomic64_load(cython.address(c.runner)) == cython.cast(u64, slot) + 1:
            if s.saved_preempt != 0:
                c.preempt_count = s.saved_preempt - 1
            atomic64_store(cython.address(c.runner), s.interrupted)
            atomic64_store(cython.address(c.irqs_off), 0)
        elif is_interrupted(cython.cast(u64, slot) + 1):
            return False
    cpu = s.counted_cpu
    s.interrupted = 0
    s.saved_preempt = 0
    s.counted_cpu = 0
    if cpu != 0:
        recount_handlers(cpu - 1)
    return True


def is_interrupted(slot: u64) -> cython.bint:
    """Whether a live process has pushed the process of `slot` (+1) aside."""
    i: cython.int
    for i in range(NR_SLOTS):
        if process_slots[i].state == SLOT_LIVE and process_slots[i].interrupted == slot:
            return True
    return False


def recount_handlers(cpu: u64) -> None:
    """Make the count in `pending` agree with the live processes that say they are in it.

    A process that is killed between marking its slot and the addition leaves the two apart, so the
    slots are the truth. They are read until count and slots stand still together.
    """
    c: cython.pointer[cpu_area] = cython.address(cpu_areas[cpu])
    before: u64
    after: u64
    counted: u64
    again: u64
    since: u64
    while True:
        before = atomic64_load(cython.address(c.pending))
        counted = nr_counted(cpu)
        since = machine_ns()
        while machine_ns() - since < 200000:
            cpu_relax()
        again = nr_counted(cpu)
        after = atomic64_load(cython.address(c.pending))
        if before != after or counted != again:
            continue
        if before & PENDING_HANDLERS <= counted:
            return
        after = (before & ~cython.cast(u64, PENDING_HANDLERS)) | counted
        if atomic64_cmpxchg(cython.address(c.pending), before, after) == before:
            futex_wake(low_half(cython.address(c.pending)), 64)
            return


def nr_counted(cpu: u64) -> u64:
    """Count the live processes that say they are counted in the `pending` of `cpu`."""
    n: u64 = 0
    i: cython.int
    for i in range(NR_SLOTS):
        if process_slots[i].state == SLOT_LIVE:
            n += atomic64_load(cython.address(process_slots[i].counted_cpu)) == cpu + 1
    return n


def slot_info(slot: int) -> dict:
    """Return what is known of a process slot, for reports."""
    s: cython.pointer[process_slot] = cython.address(process_slots[slot])
    return {
        "slot": slot, "name": s.name.decode(), "state": s.state, "kind": s.kind, "cpu": s.cpu,
        "pid": s.pid, "generation": s.generation, "inside": s.inside,
        "interrupted": s.interrupted, "counted_cpu": s.counted_cpu,
        "waiting_lock": s.waiting_lock, "waiting_site": s.waiting_site,
        "held": [
            (s.held[i].lock, s.held[i].site, s.held[i].flags) for i in range(min(s.nr_held, 48))
        ],
        "stack": [s.stack[i] for i in range(min(s.nr_stack, 16))],
    }


def cpu_info(cpu: int) -> dict:
    """Return the words of a CPU's area, for reports."""
    c: cython.pointer[cpu_area] = cython.address(cpu_areas[cpu])
    return {
        "cpu": cpu, "pending": c.pending, "runner": c.runner, "halted": c.halted,
        "softirq_pending": c.softirq_pending, "requested_ns": c.requested_ns,
        "nr_messages": c.nr_messages, "nr_queued": c.nr_queued, "irqs_off": c.irqs_off,
        "preempt_count": c.preempt_count, "current": c.current, "state": c.state,
        "nr_switches": c.nr_switches, "nr_calls_interrupted": c.nr_calls_interrupted,
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
