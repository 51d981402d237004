"""check() of the kernel's tables: run queues, wait queues, lines, modules, text.

Each is walked under its own lock; a fault becomes an exception when that has been given back.
The machine should be at rest.
"""

import cython
from cython.cimports.cpus.percpu_cy import CPU_ONLINE, cpu_areas, enter, leave
from cython.cimports.cpus.runqueue_cy import runqueues
from cython.cimports.cpus.segment_cy import NR_CPUS, header, ram
from cython.cimports.cpus.spinlock_cy import (
    LOCK_MAGIC,
    raw_spin_lock_irqsave,
    raw_spin_unlock_irqrestore,
    spinlock,
)
from cython.cimports.cpus.task_cy import NR_TASKS, RQ_QUEUED, TASK_FREE, tasks
from cython.cimports.interrupts.irq_cy import (
    IRQ_DISABLED,
    NR_ACTIONS,
    NR_IRQS,
    irq_actions,
    irq_desc,
    irq_descs,
    is_chained,
)
from cython.cimports.smpmm.module_table_cy import nr_files_of
from cython.cimports.smpmm.registry_cy import (
    NR_MODULES,
    RECORD_LIVE,
    module_record,
    modules,
    registry,
)
from cython.cimports.smpmm.text_cy import (
    NR_TEXT,
    NR_UNITS,
    TEXT_GONE,
    TEXT_LIVE,
    TEXT_WRITING,
    entries,
    text,
    text_entry,
    units_of,
)

from cpus.errors import CorruptionError

INVARIANTS = {
    BAD_RUNNER: "What is on a CPU's run queue is a queued task of that CPU.",
    BAD_QUEUED: "Every task that says it is queued is on its CPU's run queue.",
    BAD_NR_QUEUED: "nr_queued counts the tasks on a CPU's run queue.",
    BAD_RQ_LAST: "The last task of a run queue is the end of its list.",
    BAD_QUEUE: "What a task waits on is a wait queue.",
    BAD_WAITER: "What is on a wait queue is a task that says so.",
    BAD_WAIT_LINK: "Each task on a wait queue is the predecessor of its successor.",
    BAD_WAITING: "Every task that says it waits on a queue is on its list.",
    BAD_ACTION: "What is on a line's chain is an action of that line.",
    BAD_CHAINED: "Every action of a line is on the line's chain.",
    BAD_LINE: "A line is disabled if it has no action or a depth, else enabled.",
    BAD_USES: "A module is not used less than 0 times.",
    BAD_SNAPSHOT: "The snapshot of a live module is live kernel text.",
    BAD_TEXT: "No entry of the kernel's text is half written, or of an unknown state.",
    BAD_UNITS: "The units of a text entry's bytes are its own.",
    BAD_NR_UNITS: "Every unit of text that is taken belongs to a live entry.",
}


def check_tables() -> None:
    """Walk every invariant of the kernel's tables; CorruptionError names one that broke."""
    i: cython.ulonglong
    code: cython.int = SOUND
    enter()
    for i in range(header.nr_cpus):
        if code == SOUND and cpu_areas[i].state == CPU_ONLINE:
            code = check_runqueue(i)
    for i in range(NR_TASKS):
        if code == SOUND and tasks[i].state < TASK_FREE and tasks[i].wait_queue != 0:
            code = check_waiter(cython.address(tasks[i]))
    for i in range(NR_IRQS):
        if code == SOUND:
            code = check_line(i)
    if code == SOUND:
        code = check_modules()
    if code == SOUND:
        code = check_text()
    leave()
    if code != SOUND:
        raise CorruptionError(
            f"{INVARIANTS[code]} Number {found_where:#x}: found {found_has:#x}, "
            f"should be {found_should:#x}"
        )


def fault(code, where, has, should):
    global found_where, found_has, found_should
    found_where = where
    found_has = has
    found_should = should
    return code


def task_index(at):
    """Return the index of the task_struct at a native address, NR_TASKS when there is none."""
    offset: u64 = at - cython.cast(u64, tasks)
    if at < cython.cast(u64, tasks) or offset % cython.sizeof(task_struct) != 0:
        return NR_TASKS
    offset //= cython.sizeof(task_struct)
    return offset if offset < NR_TASKS else NR_TASKS


def check_runqueue(cpu):
    i: u64
    at: u64
    last: u64 = 0
    n: u64 = 0
    queued: u64 = 0
    code: cython.int = SOUND
    flags: u64 = raw_spin_lock_irqsave(cython.address(runqueues[cpu].lock), 0)
    at = runqueues[cpu].first
    while at != 0 and code == SOUND:
        i = task_index(at)
        if n >= NR_TASKS or i >= NR_TASKS:
            code = fault(BAD_RUNNER, cpu, at, 0)
        elif tasks[i].on_rq != RQ_QUEUED or tasks[i].cpu != cpu:
            code = fault(BAD_RUNNER, cpu, tasks[i].on_rq, RQ_QUEUED)
        else:
            last = at
            at = tasks[i].rq_next
            n += 1
    for i in range(NR_TASKS):
        if tasks[i].state < TASK_FREE and tasks[i].cpu == cpu:
            queued += tasks[i].on_rq == RQ_QUEUED
    if code == SOUND and queued != n:
        code = fault(BAD_QUEUED, cpu, n, queued)
    if code == SOUND and cpu_areas[cpu].nr_queued != n:
        code = fault(BAD_NR_QUEUED, cpu, cpu_areas[cpu].nr_queued, n)
    if code == SOUND and runqueues[cpu].last != last:
        code = fault(BAD_RQ_LAST, cpu, runqueues[cpu].last, last)
    raw_spin_unlock_irqrestore(cython.address(runqueues[cpu].lock), flags)
    return code


def check_waiter(t):
    queue: cython.pointer[wait_queue_head] = cython.cast(
        cython.pointer[wait_queue_head], t.wait_queue
    )
    code: cython.int = SOUND
    if queue == cython.NULL:
        return SOUND
    if t.wait_queue < cython.cast(u64, ram) or queue.lock.magic != LOCK_MAGIC:
        return fault(BAD_QUEUE, t.pid, t.wait_queue, 0)
    flags: u64 = raw_spin_lock_irqsave(cython.address(queue.lock), 0)
    if t.wait_queue == cython.cast(u64, queue):
        code = walk_queue(queue, t)
    raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)
    return code


def walk_queue(queue, wanted):
    """Look whether a queue's list is sound and has a task; its lock is held."""
    at: u64 = queue.first
    before: u64 = 0
    n: u64 = 0
    i: u64
    found: cython.bint = False
    while at != 0:
        i = task_index(at)
        if n >= NR_TASKS or i >= NR_TASKS or tasks[i].wait_queue != cython.cast(u64, queue):
            return fault(BAD_WAITER, wanted.pid, at, cython.cast(u64, queue))
        if tasks[i].wait_prev != before:
            return fault(BAD_WAIT_LINK, tasks[i].pid, tasks[i].wait_prev, before)
        found |= at == cython.cast(u64, wanted)
        before = at
        at = tasks[i].wait_next
        n += 1
    if not found:
        return fault(BAD_WAITING, wanted.pid, 0, cython.cast(u64, wanted))
    if queue.last != before:
        return fault(BAD_WAIT_LINK, wanted.pid, queue.last, before)
    return SOUND


def check_line(line):
    at: u32
    n: u32 = 0
    entry: u32
    disabled: cython.bint
    code: cython.int = SOUND
    flags: u64 = raw_spin_lock_irqsave(cython.address(irq_descs[line].lock), 0)
    at = irq_descs[line].action
    while at != 0 and code == SOUND:
        n += 1
        if n > NR_ACTIONS or at > NR_ACTIONS or irq_actions[at - 1].line != line + 1:
            code = fault(BAD_ACTION, line, at, 0)
        else:
            at = irq_actions[at - 1].next
    for entry in range(NR_ACTIONS):
        if code == SOUND and irq_actions[entry].line == line + 1:
            if not is_chained(line, entry + 1):
                code = fault(BAD_CHAINED, line, 0, entry + 1)
    disabled = irq_descs[line].action == 0 or irq_descs[line].depth != 0
    if code == SOUND and (irq_descs[line].status & IRQ_DISABLED != 0) != disabled:
        code = fault(BAD_LINE, line, irq_descs[line].status, IRQ_DISABLED if disabled else 0)
    raw_spin_unlock_irqrestore(cython.address(irq_descs[line].lock), flags)
    return code


def check_modules():
    i: u64
    code: cython.int = SOUND
    number: u64
    flags: u64 = raw_spin_lock_irqsave(cython.address(registry.lock), 0)
    for i in range(NR_MODULES):
        if code != SOUND or modules[i].state != RECORD_LIVE:
            continue
        if modules[i].usecount + nr_files_of(modules[i].serial) < 0:
            code = fault(BAD_USES, modules[i].serial, modules[i].usecount, 0)
        number = modules[i].code
        if code == SOUND and number != 0:
            if number > NR_TEXT or entries[number - 1].state != TEXT_LIVE:
                code = fault(BAD_SNAPSHOT, modules[i].serial, number, 0)
    raw_spin_unlock_irqrestore(cython.address(registry.lock), flags)
    return code


def check_text():
    i: u64
    u: u32
    owned: u64 = 0
    taken: u64 = 0
    unit: u64
    code: cython.int = SOUND
    flags: u64 = raw_spin_lock_irqsave(cython.address(text.lock), 0)
    for i in range(NR_TEXT):
        if code == SOUND and (
            entries[i].state == TEXT_WRITING or entries[i].state > TEXT_GONE
        ):
            code = fault(BAD_TEXT, i, entries[i].state, TEXT_LIVE)
        if code != SOUND or entries[i].state != TEXT_LIVE:
            continue
        for u in range(units_of(entries[i].length)):
            unit = entries[i].first_unit + u
            owned += 1
            if unit >= NR_UNITS or text.units[unit] != i + 1:
                code = fault(BAD_UNITS, i, unit, i + 1)
                break
    for i in range(NR_UNITS):
        taken += text.units[i] != 0
    if code == SOUND and taken != owned:
        code = fault(BAD_NR_UNITS, 0, taken, owned)
    raw_spin_unlock_irqrestore(cython.address(text.lock), flags)
    return code


# What tests damage.


def index_of_waiter(pid: cython.ulonglong) -> int:
    """Return the index of the task_struct of a task that sleeps on a wait queue, else -1."""
    i: cython.int
    for i in range(NR_TASKS):
        if tasks[i].state < TASK_FREE and tasks[i].pid == pid and tasks[i].state != 0:
            return i if tasks[i].wait_queue != 0 and tasks[i].on_rq == 0 else -1
    return -1


def long_entry() -> int:
    """Return the first live entry of the kernel's text that has bytes, else 0."""
    i: cython.int
    for i in range(NR_TEXT):
        if entries[i].state == TEXT_LIVE and entries[i].length != 0:
            return i
    return 0


def native(what: str, index: cython.ulonglong = 0) -> int:
    """Return the native address of a field of a table's entry: `struct.field`.

    "queue" is the wait queue that task `index` is on; "text.first_unit" is of some entry that
    has units.
    """
    t: cython.pointer[task_struct] = cython.address(tasks[index % NR_TASKS])
    d: cython.pointer[irq_desc] = cython.address(irq_descs[index % NR_IRQS])
    m: cython.pointer[module_record] = cython.address(modules[index % NR_MODULES])
    e: cython.pointer[text_entry] = cython.address(entries[long_entry()])
    cpu: u64 = index % NR_CPUS
    at: u64 = {
        "task.on_rq": cython.cast(u64, cython.address(t.on_rq)),
        "task.wait_queue": cython.cast(u64, cython.address(t.wait_queue)),
        "task.wait_prev": cython.cast(u64, cython.address(t.wait_prev)),
        "queue.first": t.wait_queue + cython.sizeof(spinlock),
        "queue.last": t.wait_queue + cython.sizeof(spinlock) + cython.sizeof(u64),
        "rq.first": cython.cast(u64, cython.address(runqueues[cpu].first)),
        "rq.last": cython.cast(u64, cython.address(runqueues[cpu].last)),
        "cpu.nr_queued": cython.cast(u64, cython.address(cpu_areas[cpu].nr_queued)),
        "irq.action": cython.cast(u64, cython.address(d.action)),
        "irq.status": cython.cast(u64, cython.address(d.status)),
        "action.line": cython.cast(u64, cython.address(irq_actions[index % NR_ACTIONS].line)),
        "module.usecount": cython.cast(u64, cython.address(m.usecount)),
        "module.code": cython.cast(u64, cython.address(m.code)),
        "text.state": cython.cast(u64, cython.address(entries[index % NR_TEXT].state)),
        "text.unit": cython.cast(u64, cython.address(text.units[index % NR_UNITS])),
        "text.first_unit": cython.cast(u64, cython.address(e.first_unit)),
    }[what]
    return at
