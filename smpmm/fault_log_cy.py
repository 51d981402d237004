"""The record of each injected fault, and what the call that got it came to.

The call that got a fault is the system call that the task was in (open, write, insmod …): its
record tells what that returned. A task that was in none, a workload that calls the kernel
itself, has got 0 or None from its call by construction: its record tells how the task ended.
An interrupt's record has no ending.

What a task has got since its system call began is a chain through the records, newest first;
the end of the call walks it. The ring keeps the last 2048 records.
"""

import cython
from cython.cimports.cpus import segment_cy, task_cy
from cython.cimports.cpus.atomic import (
    atomic64_fetch_add,
    atomic64_load,
    atomic64_load_acquire,
    atomic64_store_release,
)
from cython.cimports.cpus.callsite_cy import stack_sites
from cython.cimports.cpus.event_cy import TASK_PID_WORD
from cython.cimports.cpus.percpu_cy import this_cpu, this_process
from cython.cimports.cpus.segment_cy import machine_ns
from cython.cimports.cpus.task_cy import task_struct
from cython.cimports.libc.string import memset, strncpy

from cpus import callsite_cy

NAMES = ("failslab", "fail_page_alloc")


def regions(config: object = None) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {"fault_log": cython.sizeof(fault_log)}


def attach(config: object = None) -> None:
    """Find this module's region in the attached segment."""
    global log_
    log_ = cython.cast(cython.pointer[fault_log], segment_cy.region_at(b"fault_log"))


def place_of(task):
    index: u64 = (task - cython.cast(u64, task_cy.tasks)) // cython.sizeof(task_struct)
    return cython.address(log_.tasks[index])


def faults_of(task):
    own: cython.pointer[task_faults] = place_of(task)
    pid: u64 = cython.cast(cython.pointer[u64], task)[TASK_PID_WORD]
    if own.pid != pid:
        own.asked[0] = own.asked[1] = 0
        own.own_last = own.call_last = own.depth = 0
        own.call[0] = 0
        own.pid = pid
    return own


def record_fault(which, size, task, nth, site):
    number: u64 = atomic64_fetch_add(cython.address(log_.head), 1)
    r: cython.pointer[fault_record] = cython.address(log_.records[number % NR_FAULT_RECORDS])
    own: cython.pointer[task_faults]
    atomic64_store_release(cython.address(r.seq), 0)
    memset(r.comm, 0, cython.sizeof(r.comm) + cython.sizeof(r.call) + cython.sizeof(r.error))
    r.ns = machine_ns()
    r.task = r.before = 0
    r.size = cython.cast(u64, size)
    r.nth = nth
    r.which = which
    r.cpu = cython.cast(u32, this_cpu.number)
    r.ended = ENDED_NOT
    r.result = 0
    if task != 0:
        own = faults_of(task)
        r.task = own.pid
        strncpy(r.comm, cython.cast(cython.pointer[task_struct], task).name, 16)
        if own.depth != 0:
            strncpy(r.call, own.call, CALL_BYTES - 1)
            r.before, own.call_last = own.call_last, number + 1
        else:
            r.before, own.own_last = own.own_last, number + 1
    else:
        strncpy(r.comm, this_process.name, cython.sizeof(r.comm) - 1)
    r.nr_sites = stack_sites(r.sites, FAULT_STACK)
    if r.nr_sites == 0:
        r.sites[0] = site
        r.nr_sites = 1
    atomic64_store_release(cython.address(r.seq), number + 1)


def begin_call(name: bytes) -> None:
    """Begin a system call of the running task; one inside another belongs to the outer."""
    if log_ == cython.NULL or this_cpu.current == 0:
        return
    own: cython.pointer[task_faults] = faults_of(this_cpu.current)
    if own.depth == 0:
        strncpy(own.call, name, CALL_BYTES - 1)
        own.call_last = 0
    own.depth += 1


def end_call(result: cython.longlong, error: bytes = b"") -> None:
    """End a system call: `result` is its count, 0 or negative errno; `error` the exception."""
    if log_ == cython.NULL or this_cpu.current == 0:
        return
    own: cython.pointer[task_faults] = faults_of(this_cpu.current)
    if own.depth == 0:
        return
    own.depth -= 1
    if own.depth == 0:
        own.call[0] = 0
        if own.call_last != 0:
            end_faults(own.call_last, ENDED_CALL, result, error)
            own.call_last = 0


def end_task(task: cython.ulonglong, error: bytes = b"") -> None:
    """Say how a task ends, in the records of the faults that its own calls got."""
    own: cython.pointer[task_faults] = faults_of(task)
    if own.own_last != 0:
        end_faults(own.own_last, ENDED_TASK, 0, error)
        own.own_last = 0


def end_faults(last, how, result, error):
    r: cython.pointer[fault_record]
    while last != 0:
        r = cython.address(log_.records[(last - 1) % NR_FAULT_RECORDS])
        if atomic64_load_acquire(cython.address(r.seq)) != last:
            return  # the ring has gone round
        r.result = result
        strncpy(r.error, error, cython.sizeof(r.error) - 1)
        r.ended = how
        last = r.before


def kernel_stack(numbers: list) -> list:
    """Return call sites as text, without what stands below the task itself."""
    files = [callsite_cy.site_info(number)[1] for number in numbers]
    return [
        callsite_cy.site_text(number)
        for number, file in zip(numbers, files, strict=True)
        if not file.endswith("cpus/sched.py")
    ]


def injected(since: int = 0) -> list:
    """Return the records of injected faults from number `since` on, as far as they are kept.

    `call` is the system call that got it, None outside of one; `outcome` what that came to,
    None while it is under way: see `outcome_text`.
    """
    head: u64 = atomic64_load(cython.address(log_.head))
    first: u64 = max(since, head - NR_FAULT_RECORDS if head > NR_FAULT_RECORDS else 0)
    n: u64
    found = []
    for n in range(first, head):
        r: fault_record = log_.records[n % NR_FAULT_RECORDS]
        at: cython.pointer[fault_record] = cython.address(log_.records[n % NR_FAULT_RECORDS])
        if r.seq != n + 1 or atomic64_load_acquire(cython.address(at.seq)) != n + 1:
            continue
        error = r.error.decode()
        found.append(
            {
                "number": n, "ns": r.ns, "task": r.task, "comm": r.comm.decode(),
                "cpu": r.cpu, "size": r.size, "nth": r.nth, "name": NAMES[r.which],
                "stack": kernel_stack([r.sites[i] for i in range(r.nr_sites)]),
                "call": r.call.decode() or None,
                "result": r.result if r.ended == ENDED_CALL and not error else None,
                "error": error or None, "ended": r.ended != ENDED_NOT,
            }
        )  # fmt: skip
    return found
