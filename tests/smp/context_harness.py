"""Runs rows of `context_table` in a context, on a machine; every process imports it by name.

`run` is a task. For each row it fills an Env, enters the context, makes the call there and
comes back with what happened: a `Seen`. What a handler or a tasklet saw comes through RAM.
"""

from operator import index
from typing import Any, NamedTuple

from cpus.errors import KernelPanic
from smpmm.kernel import *
from smpmm.mm import user_cy
from tests.smp import context_table as table
from tests.smp.context_row import Env, prepare, tidy

REPORT_BYTES = 3000
USER_BYTES = 256
IRQ, QUIET_IRQ, SPARE_IRQ = 9, 10, 11
STATES = ("not reached", "entered", "ok", "bug", "broken")
NOT_REACHED, ENTERED, WAS_OK, WAS_BUG, BROKEN = range(5)


class Seen(NamedTuple):
    """What came of one call: `state` is one of STATES."""

    label: str
    name: str
    state: str
    error: str  # class of the exception
    report: str
    left: str  # how it changed its context, "" = not at all


class Bench(KStruct):
    """What the contexts of one run share."""

    lock: spinlock_t  # held in the context "spinlock"
    tasklet: tasklet_struct
    done: completion
    env: ptr
    row: s32  # -1: no call, only the predicates
    state: s32
    result: u64
    length: u32  # bytes of `report`
    report: u8 * REPORT_BYTES
    answers: u32  # a bit for each predicate of table.ANSWERS
    leave: u32  # not 0: the waker ends


def answers() -> int:
    """Return what the predicates say here, a bit for each."""
    calls = (in_interrupt, in_irq, in_softirq, in_atomic, irqs_disabled)
    return sum(bool(call()) << i for i, call in enumerate(calls))


def attempt(bench: Any) -> None:
    """Make the call of the bench's row here, and note what came of it; any context."""
    bench.state = ENTERED
    bench.answers = answers()
    if bench.row < 0:
        bench.state = WAS_OK
        return
    row = table.ROWS[bench.row]
    try:
        result = row.call(Env.at(bench.env))
    except KernelPanic:
        raise  # this CPU has stopped
    except BaseException as error:
        is_bug = hasattr(error, "report")
        note(bench, f"{type(error).__name__}\n{error.report if is_bug else repr(error)}")
        bench.state = WAS_BUG if is_bug else BROKEN
    else:
        bench.result = address_of(result)
        bench.state = WAS_OK


def address_of(result: Any) -> int:
    """Return what a call returned as undo gets it: an address or a number."""
    try:
        return index(result) % (1 << 64)
    except TypeError:
        return 0


def note(bench: Any, text: str) -> None:
    data = text.encode()[:REPORT_BYTES]
    poke(int(bench.report), data)
    bench.length = len(data)


def in_task(bench: Any) -> None:
    attempt(bench)


def with_bh_off(bench: Any) -> None:
    local_bh_disable()
    attempt(bench)
    local_bh_enable()


def with_spinlock(bench: Any) -> None:
    spin_lock(bench.lock)
    attempt(bench)
    spin_unlock(bench.lock)


def with_irqs_off(bench: Any) -> None:
    local_irq_disable()
    attempt(bench)
    local_irq_enable()


def in_tasklet(bench: Any) -> None:
    tasklet_schedule(bench.tasklet)
    wait_for_completion(bench.done)


def in_hardirq(bench: Any) -> None:
    raise_irq(IRQ, cpu=smp_processor_id())
    wait_for_completion(bench.done)


def tasklet_function(data: int) -> None:
    bench = Bench.at(data)
    attempt(bench)
    complete(bench.done)


def handler(irq: int, dev_id: int, regs: Any) -> None:
    bench = Bench.at(dev_id)
    attempt(bench)
    complete(bench.done)


ENTER = dict(
    zip(
        table.CONTEXTS,
        (in_task, with_bh_off, with_spinlock, with_irqs_off, in_tasklet, in_hardirq),
        strict=True,
    )
)


def waker(queue: int, bench_at: int) -> None:
    """Wake a queue on every tick: a kernel thread on the CPU of the run."""
    bench = Bench.at(bench_at)
    while not bench.leave:
        wake_up(queue)
        set_current_state(TASK_UNINTERRUPTIBLE)
        schedule_timeout(1)
    complete(bench.done)


def new_bench() -> Any:
    bench = Bench.static()
    spin_lock_init(bench.lock)
    init_completion(bench.done)
    tasklet_init(bench.tasklet, tasklet_function, bench)
    return bench


def run(context: str, rows: list[int]) -> list[Seen]:
    """Run rows, by their place in table.ROWS, in a context; a task."""
    bench = new_bench()
    env = Env.static()
    bench.env = env
    init_waitqueue_head(env.queue)
    user = user_cy.user_map(bytearray(USER_BYTES), True)
    if context == "hardirq":
        assert request_irq(IRQ, handler, 0, "bench", bench) == 0
    kernel_thread(waker, env.queue, bench, cpu=smp_processor_id())
    try:
        return [run_row(context, bench, env, user, number) for number in rows]
    finally:
        bench.leave = 1
        wait_for_completion(bench.done)
        if context == "hardirq":
            free_irq(IRQ, bench)
        tasklet_kill(bench.tasklet)
        user_cy.user_unmap(user)


def run_row(context: str, bench: Any, env: Any, user: int, number: int) -> Seen:
    row = table.ROWS[number]
    env.user, env.irq, env.spare_irq = user, QUIET_IRQ, SPARE_IRQ
    prepare(env)
    if row.before:
        row.before(env)
    bench.row, bench.state, bench.length, bench.result = number, NOT_REACHED, 0, 0
    ENTER[context](bench)
    left = "" if not answers() else f"predicates {answers():05b}"
    state, result = bench.state, bench.result
    if state == WAS_OK and row.undo:
        row.undo(env, result)
    tidy(env)
    error, _, report = peek(int(bench.report), bench.length).decode().partition("\n")
    return Seen(row.label, row.name, STATES[state], error, report, left)


def ask(context: str) -> int:
    """Return what the predicates say in a context; a task."""
    bench = new_bench()
    bench.row = -1
    if context == "hardirq":
        request_irq(IRQ, handler, 0, "bench", bench)
    ENTER[context](bench)
    if context == "hardirq":
        free_irq(IRQ, bench)
    tasklet_kill(bench.tasklet)
    return bench.answers
