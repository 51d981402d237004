"""The interrupt gate: how another process becomes a CPU, and gives it back.

A handler process adds itself to the CPU's `pending`, waits until the runner is outside of any
call with interrupts enabled, and takes `runner` by compare-and-exchange. It is that CPU then,
in hardirq context; the interrupted context stands still until `pending` drops. Handlers nest:
each keeps in its slot whom it pushed aside. `percpu_cy` has the other side of the protocol.
"""

import cython
from cython.cimports.cpus import percpu_cy
from cython.cimports.cpus.atomic import (
    atomic64_cmpxchg,
    atomic64_fetch_add,
    atomic64_fetch_sub,
    atomic64_load,
    atomic64_store,
    atomic64_xchg,
    compiler_barrier,
    cpu_relax,
    futex_wait,
    futex_wake,
    low_half,
)
from cython.cimports.cpus.kill_cy import (
    KILL_GATE_COUNTED,
    KILL_GATE_RELEASING,
    KILL_GATE_TAKEN,
    kill_point,
)
from cython.cimports.cpus.percpu_cy import (
    COUNT_MOVING,
    CPU_ONLINE,
    HARDIRQ_OFFSET,
    KIND_CPU,
    PENDING_HANDLERS,
    PENDING_SOFTIRQ,
    RUNNER_SLOT,
    SPINS,
    WAIT_NS,
    cpu_area,
    cpu_areas,
    leave,
    must_stand_still,
    process_slot,
    process_slots,
    runner_word,
    set_pending,
    stand_still,
    this_process,
    this_slot,
)
from cython.cimports.cpus.segment_cy import machine_ns


def gate_acquire(cpu):
    return gate_try(cpu, 0)


def gate_try(cpu, timeout_ns):
    """Become `cpu`: wait until its runner is outside of any call with interrupts enabled.

    On return this process is that CPU, outside a call, interrupts are off and the count has a
    hardirq. The words of the interrupted context are in this process's slot, for whoever must
    put them back if it is killed. The caller is outside a call itself, and in no interrupt.
    """
    c: cython.pointer[cpu_area] = cython.address(cpu_areas[cpu])
    word: u64
    r: cython.pointer[process_slot]
    spins: cython.int = 0
    until: u64 = machine_ns() + timeout_ns if timeout_ns != 0 else 0
    count_in(c, cpu)
    kill_point(KILL_GATE_COUNTED)
    while True:
        if atomic64_load(cython.address(c.state)) != CPU_ONLINE:
            count_out(c)
            return -1
        word = atomic64_load(cython.address(c.runner))
        if word & RUNNER_SLOT == 0:
            cpu_relax()  # its own process has died: the state says so next
            continue
        r = cython.address(process_slots[(word & RUNNER_SLOT) - 1])
        if atomic64_load(cython.address(r.inside)) == 0:
            if atomic64_load(cython.address(c.irqs_off)) == 0:
                if take_runner(c, word):
                    break
                continue
        spins += 1
        if spins < SPINS:
            cpu_relax()
        elif until != 0 and machine_ns() > until:
            count_out(c)
            return -1
        else:
            wait_for_runner(c, r, spins)
    begin_interrupt(c, cpu, word & RUNNER_SLOT)
    return 0


def take_runner(c, word):
    """Become the runner in place of the one that `word` names, which was looked at."""
    # Inside before the exchange: from then on others look at this process's word.
    atomic64_xchg(cython.address(this_process.inside), 1)
    this_process.interrupted = word & RUNNER_SLOT
    # The word has a number: a runner that left and came back is another.
    if atomic64_cmpxchg(cython.address(c.runner), word, runner_word(word, this_slot)) == word:
        return True
    this_process.interrupted = 0
    atomic64_store(cython.address(this_process.inside), 0)
    return False


def wait_for_runner(c, r, spins):
    """Sleep until the runner has left its call or enabled interrupts, or WAIT_NS are over."""
    futex_wait(low_half(cython.address(r.inside)), 1, WAIT_NS)
    if spins > 2 * SPINS and atomic64_load(cython.address(c.irqs_off)) != 0:
        futex_wait(low_half(cython.address(c.irqs_off)), 1, WAIT_NS)


def begin_interrupt(c, cpu, interrupted):
    """This process is the runner: save the interrupted words, be in hardirq context."""
    kill_point(KILL_GATE_TAKEN)
    c.irqs_off = 1
    this_process.saved_preempt = c.preempt_count + 1
    compiler_barrier()
    c.preempt_count += HARDIRQ_OFFSET
    if this_process.kind != KIND_CPU:
        this_process.cpu = cython.cast(u32, cpu)
    percpu_cy.this_cpu = c
    percpu_cy.pending_ignored = nr_handlers_below(interrupted, cpu) + 1
    leave()


def nr_handlers_below(runner, cpu):
    """Count the handlers on the stack of runners of `cpu`, from `runner` downwards."""
    n: u64 = 0
    r: cython.pointer[process_slot]
    while True:
        r = cython.address(process_slots[runner - 1])
        if (r.kind == KIND_CPU and r.cpu == cpu) or r.interrupted == 0:
            return n
        n += 1
        runner = r.interrupted


def gate_release():
    c: cython.pointer[cpu_area] = percpu_cy.this_cpu
    others: cython.bint
    atomic64_xchg(cython.address(this_process.inside), 1)
    if must_stand_still():
        stand_still()
    c.irqs_off = 1
    c.preempt_count = this_process.saved_preempt - 1
    compiler_barrier()
    this_process.saved_preempt = 0
    # Nobody takes the CPU before `runner` changes, since `inside` is 1; killed in between, the
    # monitor finds this process as the runner and does the rest. The interrupted context
    # stands still until `pending` drops.
    atomic64_store(cython.address(c.irqs_off), 0)
    atomic64_store(cython.address(c.runner), runner_word(c.runner, this_process.interrupted))
    kill_point(KILL_GATE_RELEASING)
    this_process.interrupted = 0
    others = (
        atomic64_load(cython.address(c.pending)) ^ percpu_cy.pending_ignored
    ) & PENDING_HANDLERS != 0
    count_out(c)
    atomic64_store(cython.address(this_process.inside), 0)
    if others:
        futex_wake(low_half(cython.address(this_process.inside)), 64)
        futex_wake(low_half(cython.address(c.irqs_off)), 64)
    percpu_cy.pending_ignored = 0
    if atomic64_load(cython.address(c.softirq_pending)) != 0:
        set_pending(c, PENDING_SOFTIRQ)
    if this_process.kind == KIND_CPU:
        percpu_cy.this_cpu = cython.address(cpu_areas[this_process.cpu])


def count_in(c, cpu):
    atomic64_store(cython.address(this_process.counted_cpu), (cpu + 1) | COUNT_MOVING)
    atomic64_fetch_add(cython.address(c.pending), 1)  # pairs with the exchange in enter
    atomic64_store(cython.address(this_process.counted_cpu), cpu + 1)


def count_out(c):
    atomic64_store(
        cython.address(this_process.counted_cpu), this_process.counted_cpu | COUNT_MOVING
    )
    atomic64_fetch_sub(cython.address(c.pending), 1)
    atomic64_store(cython.address(this_process.counted_cpu), 0)
    futex_wake(low_half(cython.address(c.pending)), 64)


def become_cpu(cpu: int) -> bool:
    """Take an interrupt for `cpu`: be that CPU, in hardirq context with interrupts off.

    False when the CPU is not online. The caller ends it with `leave_cpu`.
    """
    return gate_acquire(cpu) == 0


def try_become_cpu(cpu: int, timeout_ns: int) -> bool:
    """The same, but wait `timeout_ns` at most for it to let an interrupt in."""
    return gate_try(cpu, timeout_ns) == 0


def leave_cpu() -> None:
    """End the interrupt that `become_cpu` began."""
    gate_release()
