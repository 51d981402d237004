"""The event rings and the kernel log.

A CPU's ring is written by whoever is that CPU, inside a call, so a record needs no lock: its
number is cleared, then the fields are written, then the number commits them. Readers copy a
record and look at the number again.

The log has writers that are no CPU (the monitor) and in every context, so it has no lock
either. A writer reserves all the records of a text by one addition, claims each by putting its
name in, writes them, and commits them from the last to the first: whoever sees the first sees
the whole. A number only grows: a writer that was so slow that the ring has gone round finds
newer ones and reserves again. A record of a live writer is passed over by others, one of a
killed writer is taken.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import (
    atomic32_load_acquire,
    atomic32_load_relaxed,
    atomic32_store_relaxed,
    atomic32_store_release,
    atomic64_cmpxchg,
    atomic64_fetch_add,
    atomic64_load,
    atomic64_load_acquire,
    atomic64_load_relaxed,
    atomic64_store_release,
    memory_fence,
    read_fence,
    write_fence,
)
from cython.cimports.cpus.kill_cy import KILL_LOG_RESERVED, kill_point
from cython.cimports.cpus.percpu_cy import enter, leave, owner_dead, this_cpu, this_owner
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
    atomic32_store_relaxed(cython.address(e.seq), 0)
    write_fence()
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


def line_at(number):
    return cython.address(log_lines[number & (NR_LOG_LINES - 1)])


def log_text(text, length, level):
    """Write a text as one group of records, or several when it is longer than LOG_PARTS."""
    at: u32 = 0
    part: u32
    _n: cython.int
    while True:
        part = at
        for _n in range(LOG_PARTS):
            part += part_length(text + part, length - part)
        write_lines(text + at, part - at, level)
        at = part
        if at >= length:
            return


def part_length(text, length):
    """Return how many bytes of a text go into one record: no character of UTF-8 is cut."""
    n: u32 = LOG_TEXT
    if length <= LOG_TEXT:
        return length
    while n > LOG_TEXT - 4 and cython.cast(u32, text[n]) & 0xC0 == 0x80:
        n -= 1
    return n if cython.cast(u32, text[n]) & 0xC0 != 0x80 else LOG_TEXT


def write_lines(text, length, level):
    """Write a text of at most LOG_PARTS records: reserve, claim, write, commit."""
    nr: u32 = 0
    at: u32 = 0
    part: u32
    i: u32
    line: cython.pointer[log_line]
    ns: u64 = machine_ns()
    while True:
        at += part_length(text + at, length - at)
        nr += 1
        if at >= length:
            break
    first: u64 = reserve_lines(nr)
    if first == ~cython.cast(u64, 0):
        return
    kill_point(KILL_LOG_RESERVED)
    at = 0
    for i in range(nr):
        part = part_length(text + at, length - at)
        line = line_at(first + i)
        line.ns = ns
        line.length = part
        line.level = cython.cast(u16, level)
        line.cpu = cython.cast(u16, this_cpu.number) if this_cpu != cython.NULL else 0
        line.more = (LOG_GOES_ON if i + 1 < nr else 0) | (LOG_CONTINUES if i != 0 else 0)
        memcpy(line.text, text + at, part)
        at += part
    for i in range(nr):
        at = nr - 1 - i
        atomic64_store_release(
            cython.address(line_at(first + at).seq), (first + at + 1) << LOG_NUMBER
        )


def reserve_lines(nr):
    """Reserve `nr` records in a row; returns the first's number, all ones when none are free.

    A live writer in the way is one that sleeps in the middle of a record while the ring goes
    round: those behind it are tried.
    """
    me: u32 = this_owner & LOG_WRITER
    first: u64
    i: u32
    _tries: cython.int
    if me == 0:
        me = LOG_NOBODY
    for _tries in range(64):
        first = atomic64_fetch_add(log_head, nr)
        i = 0
        while i < nr and claim_line(first + i, me):
            i += 1
        if i == nr:
            memory_fence()  # the claims are seen before what is written under them
            return first
        while i != 0:
            i -= 1
            atomic64_store_release(
                cython.address(line_at(first + i).seq), (first + i) << LOG_NUMBER
            )
    return ~cython.cast(u64, 0)


def claim_line(number, me):
    """Put a writer's name into a record; false when a newer or a live writer has it."""
    seq: cython.pointer[u64] = cython.address(line_at(number).seq)
    held: u64
    writer: u32
    while True:
        held = atomic64_load(seq)
        writer = cython.cast(u32, held) & LOG_WRITER
        if held >> LOG_NUMBER > number:
            return False
        if writer != 0 and (writer == LOG_NOBODY or not owner_dead(writer)):
            return False
        if atomic64_cmpxchg(seq, held, ((number + 1) << LOG_NUMBER) | me) == held:
            return True


def log(text: str, level: int = 4) -> None:
    """Write `text` to the kernel log, a record for each line; any process, any context."""
    for one in text.rstrip("\n").split("\n"):
        encoded: bytes = one.encode("utf-8", "replace")
        log_text(encoded, len(encoded), level)


def copy_line(number, copy):
    """Copy a record of the log; false when it isn't whole, or was overwritten meanwhile."""
    line: cython.pointer[log_line] = line_at(number)
    if atomic64_load_acquire(cython.address(line.seq)) != (number + 1) << LOG_NUMBER:
        return False
    memcpy(copy, line, cython.sizeof(log_line))
    read_fence()
    return atomic64_load_relaxed(cython.address(line.seq)) == (number + 1) << LOG_NUMBER


def read_log() -> list:
    """Return the log as (ns since boot, level, CPU, text), oldest first; what is being written
    or was overwritten while reading is left out."""
    head: u64 = atomic64_load(log_head)
    first: u64 = head - NR_LOG_LINES if head > NR_LOG_LINES else 0
    lines: list = []
    parts: bytes = b""
    open_: cython.bint = False  # the records before n are the start of a text
    line: log_line
    n: u64
    for n in range(first, head):
        if not copy_line(n, cython.address(line)):
            open_ = False
            continue
        if line.more & LOG_CONTINUES == 0:
            parts = b""
        elif not open_:
            continue
        parts += line.text[: line.length]
        open_ = line.more & LOG_GOES_ON != 0
        if not open_:
            lines.append((line.ns, line.level, line.cpu, parts.decode("utf-8", "replace")))
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


def copy_event(cpu, number, copy):
    """Copy a record of a CPU's ring; false when it isn't whole, or is another by now."""
    e: cython.pointer[event_record] = cython.address(
        events[cpu * NR_EVENTS + (number & (NR_EVENTS - 1))]
    )
    if atomic32_load_acquire(cython.address(e.seq)) != cython.cast(u32, number) + 1:
        return False
    memcpy(copy, e, cython.sizeof(event_record))
    read_fence()
    return atomic32_load_relaxed(cython.address(e.seq)) == cython.cast(u32, number) + 1


def read_events(cpu: int, since: int = 0) -> list:
    """Return the whole records of a CPU's ring from number `since` on, oldest first."""
    from cpus import percpu_cy

    head: u64 = percpu_cy.event_head(cpu)
    first: u64 = head - NR_EVENTS if head > NR_EVENTS else 0
    if since > first:
        first = since
    records: list = []
    n: u64
    e: event_record
    for n in range(first, head):
        if not copy_event(cpu, n, cython.address(e)):
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
