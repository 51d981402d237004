"""The event rings and the kernel log.

A CPU's ring is written by whoever is that CPU, inside a call, so a record needs no lock:
number, then fields, then the low bits of the number again as the commit. The log has writers
that are no CPU (the monitor) and runs in every context: a writer reserves a record by an
atomic addition and commits it by its number; a record of a writer that was killed is passed
over by readers.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import (
    atomic32_store_release,
    atomic64_fetch_add,
    atomic64_load,
    atomic64_load_acquire,
    atomic64_store_release,
)
from cython.cimports.cpus.kill_cy import KILL_LOG_RESERVED, kill_point
from cython.cimports.cpus.percpu_cy import enter, leave, this_cpu
from cython.cimports.cpus.segment_cy import machine_ns
from cython.cimports.libc.string import memcpy

EVENT_NAMES = {
    EVENT_CONTENTION: "contention",
    EVENT_FAULT: "fault",
    EVENT_BUG: "bug",
    EVENT_IRQ_ENTRY: "irq_handler_entry",
    EVENT_IRQ_EXIT: "irq_handler_exit",
    EVENT_SWITCH: "sched_switch",
    EVENT_SOFTIRQ: "softirq_entry",
    EVENT_KMALLOC: "kmalloc",
    EVENT_KFREE: "kfree",
    EVENT_PAGE_ALLOC: "mm_page_alloc",
    EVENT_PAGE_FREE: "mm_page_free",
    EVENT_RECLAIM: "reclaim",
    EVENT_WRITEBACK: "writeback",
    EVENT_DIED: "process_died",
}


def regions(config: object = None) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    nr_cpus = getattr(config, "cpus", 1)
    return {
        "events": nr_cpus * NR_EVENTS * cython.sizeof(event_record),
        "log": 64 + NR_LOG_LINES * cython.sizeof(log_line),
    }


def attach(config: object = None) -> None:
    """Find this module's regions in the attached segment."""
    global events, log_head, log_lines
    events = cython.cast(cython.pointer[event_record], segment_cy.region_at(b"events"))
    log_head = cython.cast(cython.pointer[u64], segment_cy.region_at(b"log"))
    log_lines = cython.cast(cython.pointer[log_line], log_head + 8)


def set_trace_allocations(on: bool) -> None:
    """Record the allocators' fast path too: in this process and those it forks."""
    global trace_allocations
    trace_allocations = on


def trace_event(type, a, b, c, site):
    head: u64 = this_cpu.event_head
    e: cython.pointer[event_record] = cython.address(
        events[this_cpu.number * NR_EVENTS + (head & (NR_EVENTS - 1))]
    )
    task: cython.pointer[u64] = cython.cast(cython.pointer[u64], this_cpu.current)
    e.seq = 0
    this_cpu.event_head = head + 1
    e.ns = machine_ns()
    e.a = a
    e.b = b
    e.c = c
    e.site = site
    e.task = cython.cast(u32, task[TASK_PID_WORD]) if task != cython.NULL else 0
    e.type = cython.cast(u16, type)
    e.cpu = cython.cast(u16, this_cpu.number)
    atomic32_store_release(cython.address(e.seq), cython.cast(u32, head) + 1)


def log_text(text, length, level):
    at: u32 = 0
    part: u32
    number: u64
    line: cython.pointer[log_line]
    while True:
        part = length - at if length - at < LOG_TEXT else LOG_TEXT
        number = atomic64_fetch_add(log_head, 1)
        line = cython.address(log_lines[number & (NR_LOG_LINES - 1)])
        atomic64_store_release(cython.address(line.seq), 0)
        kill_point(KILL_LOG_RESERVED)
        line.ns = machine_ns()
        line.length = part
        line.level = cython.cast(u16, level)
        line.cpu = cython.cast(u16, this_cpu.number) if this_cpu != cython.NULL else 0
        line.more = at + part < length
        memcpy(line.text, text + at, part)
        atomic64_store_release(cython.address(line.seq), number + 1)
        at += part
        if at >= length:
            return


def log(text: str, level: int = 4) -> None:
    """Write `text` to the kernel log, a record for each line; any process, any context."""
    for one in text.rstrip("\n").split("\n"):
        encoded: bytes = one.encode("utf-8", "replace")
        log_text(encoded, len(encoded), level)


def read_log() -> list:
    """Return the log as (ns since boot, level, CPU, text), oldest first; what is being written
    or was overwritten while reading is left out."""
    head: u64 = atomic64_load(log_head)
    first: u64 = head - NR_LOG_LINES if head > NR_LOG_LINES else 0
    lines: list = []
    joined: str = ""
    n: u64
    for n in range(first, head):
        line: cython.pointer[log_line] = cython.address(log_lines[n & (NR_LOG_LINES - 1)])
        if atomic64_load_acquire(cython.address(line.seq)) != n + 1:
            continue
        text: bytes = line.text[: line.length]
        entry = (line.ns, line.level, line.cpu)
        if atomic64_load_acquire(cython.address(line.seq)) != n + 1:
            continue
        joined += text.decode("utf-8", "replace")
        if line.more == 0:
            lines.append((*entry, joined))
            joined = ""
    return lines


def dmesg(level: int = 7) -> str:
    """Return the kernel log as dmesg prints it: `[seconds] text`, up to `level`."""
    return "".join(
        f"[{ns / 1e9:12.6f}] {text}\n" for ns, of, _cpu, text in read_log() if of <= level
    )


def event(type: int, a: int, b: int, c: int, site: int) -> None:
    """Record an event on this CPU; any context, outside of any call."""
    enter()
    trace_event(type, a, b, c, site)
    leave()


def read_events(cpu: int, since: int = 0) -> list:
    """Return the whole records of a CPU's ring from number `since` on, oldest first."""
    from cpus import percpu_cy

    head: u64 = percpu_cy.event_head(cpu)
    first: u64 = head - NR_EVENTS if head > NR_EVENTS else 0
    if since > first:
        first = since
    records: list = []
    n: u64
    for n in range(first, head):
        e: event_record = events[cpu * NR_EVENTS + (n & (NR_EVENTS - 1))]
        if e.seq != cython.cast(u32, n) + 1:
            continue
        records.append(
            {
                "number": n,
                "ns": e.ns,
                "cpu": e.cpu,
                "task": e.task,
                "site": e.site,
                "type": EVENT_NAMES.get(e.type, str(e.type)),
                "a": e.a,
                "b": e.b,
                "c": e.c,
            }
        )
    return records
