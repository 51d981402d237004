"""Fault injection: allocations that fail though there is memory (mm/failslab.c,
lib/fault-inject.c).

The gates of each kind, then `should_fail` in the kernel's order: fail-nth of the task,
probability, task filter, times, space, interval, dice. The dice are each task's own
(`cpus.choice_cy`); times, space and interval are the machine's. While nothing is set, an
allocation reads one word.

Each fault is an event, a record with its call stack, and a message in the kernel log. 2.4
has no fault injection: the message is that of the first kernels that have it (to 3.10).
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import (
    atomic64_cmpxchg,
    atomic64_fetch_add,
    atomic64_fetch_sub,
    atomic64_load,
    atomic64_load_acquire,
    atomic64_store_release,
)
from cython.cimports.cpus.callsite_cy import sites, stack_sites
from cython.cimports.cpus.choice_cy import (
    TASK_FAULTS_WORD,
    TASK_MAKE_IT_FAIL_WORD,
    choose,
)
from cython.cimports.cpus.event_cy import EVENT_FAULT, TASK_PID_WORD, log_text, trace_event
from cython.cimports.cpus.handle_cy import address_of
from cython.cimports.cpus.percpu_cy import in_task, this_cpu
from cython.cimports.cpus.segment_cy import machine_ns
from cython.cimports.libc.stdio import snprintf
from cython.cimports.libc.string import strlen
from cython.cimports.smpmm.mm import page_alloc_cy, slab_cy
from cython.cimports.smpmm.mm.page_alloc_cy import gfp_highmem, gfp_wait
from cython.cimports.smpmm.mm.slab_list_cy import CFLGS_FAILSLAB, cache_at

from cpus import callsite_cy

NAMES = ("failslab", "fail_page_alloc")
# File of the kernel's debugfs → field.
FILES = {
    "probability": "probability", "interval": "interval", "times": "times", "space": "space",
    "verbose": "verbose", "task-filter": "task_filter", "ignore-gfp-wait": "ignore_gfp_wait",
    "ignore-gfp-highmem": "ignore_gfp_highmem", "min-order": "min_order",
    "cache-filter": "cache_filter",
}  # fmt: skip
OF_ONE = {"cache-filter": 0, "ignore-gfp-highmem": 1, "min-order": 1}
DEFAULTS = {
    "probability": 0, "interval": 1, "times": 1, "space": 0, "verbose": 2, "task-filter": 0,
    "ignore-gfp-wait": 1, "ignore-gfp-highmem": 1, "min-order": 1, "cache-filter": 0,
}  # fmt: skip


def regions(config: object = None) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {"faults": cython.sizeof(fault_state)}


def attach(config: object = None) -> None:
    """Find this module's region and let the allocators ask. The monitor, before it forks."""
    global faults
    faults = cython.cast(cython.pointer[fault_state], segment_cy.region_at(b"faults"))
    slab_cy.failslab_on = cython.address(faults.on)
    slab_cy.should_failslab = should_failslab
    page_alloc_cy.should_fail_alloc_page = should_fail_alloc_page


def init(config: object = None) -> None:
    """Set the defaults, then what the command line says."""
    for name in NAMES:
        for file, value in DEFAULTS.items():
            if OF_ONE.get(file, NAMES.index(name)) == NAMES.index(name):
                set_attribute(name, file, value)
        given = config.option(name) if hasattr(config, "option") else None
        if given is not None:
            setup(name, *given)


def setup(name: str, interval: int, probability: int, space: int, times: int) -> None:
    """Set what `failslab=INTERVAL,PROBABILITY,SPACE,TIMES` sets."""
    # The probability last: it is what switches the fault on.
    for file, value in (
        ("interval", interval),
        ("space", space),
        ("times", times),
        ("probability", probability),
    ):
        set_attribute(name, file, value)


def set_attribute(name: str, file: str, value: int) -> None:
    """Write an attribute by the kernel's file name; ValueError when there is none. Any
    time."""
    which: cython.int = which_fault(name, file)
    a: cython.pointer[fault_attr] = cython.address(faults.attrs[which])
    if value < (-1 if file == "times" else 0):
        raise ValueError(f"{name}/{file}: {value} is too small")
    if file == "times":
        a.times = value
    elif file == "space":
        a.space = value
    elif file == "probability":
        a.probability = min(value, 100)
    elif file == "interval":
        a.interval = value
    elif file == "verbose":
        a.verbose = value
    elif file == "task-filter":
        a.task_filter = value != 0
    elif file == "ignore-gfp-wait":
        a.ignore_gfp_wait = value != 0
    elif file == "ignore-gfp-highmem":
        a.ignore_gfp_highmem = value != 0
    elif file == "min-order":
        a.min_order = value
    elif file == "cache-filter":
        a.cache_filter = value != 0
    switch()


def which_fault(name: str, file: str) -> int:
    """Return the number of a fault that has this attribute."""
    if name not in NAMES:
        raise ValueError(f"fault {name!r}: there is {' and '.join(NAMES)}")
    if file not in FILES or OF_ONE.get(file, NAMES.index(name)) != NAMES.index(name):
        raise ValueError(f"{name} has no attribute {file!r}")
    return NAMES.index(name)


def attributes(name: str) -> dict:
    """Return a fault's attributes by the kernel's file names."""
    which: cython.int = which_fault(name, "probability")
    fields: dict = faults.attrs[which]
    return {
        file: fields[FILES[file]]
        for file in FILES
        if OF_ONE.get(file, NAMES.index(name)) == NAMES.index(name)
    }


def switch() -> None:
    """Say in one word whether any fault may happen now."""
    on = faults.attrs[0].probability or faults.attrs[1].probability or faults.nr_armed
    atomic64_store_release(cython.address(faults.on), 1 if on else 0)


def should_failslab(c, gfp, site):
    a: cython.pointer[fault_attr] = cython.address(faults.attrs[FAILSLAB])
    if faults.on == 0 or c.index == 0:
        return 0
    if a.ignore_gfp_wait != 0 and gfp & gfp_wait:
        return 0
    if a.cache_filter != 0 and c.cflags & CFLGS_FAILSLAB == 0:
        return 0
    return should_fail(FAILSLAB, c.objsize, site)


def should_fail_alloc_page(gfp, order, site):
    a: cython.pointer[fault_attr] = cython.address(faults.attrs[FAIL_PAGE_ALLOC])
    if faults.on == 0 or order < a.min_order:
        return 0
    if a.ignore_gfp_highmem != 0 and gfp & gfp_highmem:
        return 0
    if a.ignore_gfp_wait != 0 and gfp & gfp_wait:
        return 0
    return should_fail(FAIL_PAGE_ALLOC, cython.cast(s64, 1) << order, site)


def should_fail(which, size, site):
    a: cython.pointer[fault_attr] = cython.address(faults.attrs[which])
    task: u64 = 0
    pid: u64
    armed: cython.pointer[fail_nth]
    nth: u64 = 0
    if in_task():
        task = this_cpu.current
        pid = cython.cast(cython.pointer[u64], task)[TASK_PID_WORD]
        armed = armed_for(pid)
        if armed.pid == pid and armed.left != 0:
            armed.left -= 1
            if armed.left != 0:
                return False
            atomic64_fetch_sub(cython.address(faults.nr_armed), 1)
            inject(which, size, task, 0, site)
            return True
    if not attributes_say(a, size, task, cython.address(nth)):
        return False
    inject(which, size, task, nth, site)
    return True


def attributes_say(a, size, task, nth):
    space: s64 = a.space
    if a.probability == 0:
        return False
    if a.task_filter != 0 and (
        task == 0 or cython.cast(cython.pointer[u64], task)[TASK_MAKE_IT_FAIL_WORD] == 0
    ):
        return False
    if a.times == 0:
        return False
    if space > size:
        atomic64_fetch_sub(
            cython.cast(cython.pointer[u64], cython.address(a.space)), cython.cast(u64, size)
        )
        return False
    if a.interval > 1:
        if (atomic64_fetch_add(cython.address(a.count), 1) + 1) % a.interval != 0:
            return False
    return choose(b"fault", 100, nth) < a.probability


def inject(which, size, task, nth, site):
    """Record a fault, say so, and count it down."""
    a: cython.pointer[fault_attr] = cython.address(faults.attrs[which])
    times: u64
    word: cython.pointer[u64] = cython.cast(cython.pointer[u64], cython.address(a.times))
    atomic64_fetch_add(cython.address(a.injected), 1)
    pid: u64 = 0
    if task != 0:
        cython.cast(cython.pointer[u64], task)[TASK_FAULTS_WORD] += 1
        pid = cython.cast(cython.pointer[u64], task)[TASK_PID_WORD]
    record_fault(which, size, pid, nth, site)
    trace_event(EVENT_FAULT, which, cython.cast(u64, size), nth, site)
    say(which, a)
    while True:
        times = atomic64_load(word)
        if cython.cast(s64, times) <= 0 or atomic64_cmpxchg(word, times, times - 1) == times:
            return


def record_fault(which, size, pid, nth, site):
    number: u64 = atomic64_fetch_add(cython.address(faults.head), 1)
    r: cython.pointer[fault_record] = cython.address(faults.records[number % NR_FAULT_RECORDS])
    atomic64_store_release(cython.address(r.seq), 0)
    r.ns = machine_ns()
    r.task = pid
    r.size = cython.cast(u64, size)
    r.nth = nth
    r.which = which
    r.cpu = cython.cast(u32, this_cpu.number)
    r.nr_sites = stack_sites(r.sites, FAULT_STACK)
    if r.nr_sites == 0:
        r.sites[0] = site
        r.nr_sites = 1
    atomic64_store_release(cython.address(r.seq), number + 1)


def say(which, a):
    """Write the kernel's message, with verbose 2 the call stack behind it."""
    text: cython.char[200]
    stack: u32[12]
    i: cython.int
    n: cython.int
    if a.verbose == 0:
        return
    log_text(b"FAULT_INJECTION: forcing a failure", 34, KERN_NOTICE_LEVEL)
    if a.verbose < 2:
        return
    n = stack_sites(stack, FAULT_STACK)
    for i in range(n):
        snprintf(
            text, 200, b" %s (%s:%u)", sites[stack[i]].function, sites[stack[i]].file,
            sites[stack[i]].line,
        )  # fmt: skip
        log_text(text, cython.cast(u32, strlen(text)), KERN_NOTICE_LEVEL)


def armed_for(pid):
    return cython.address(faults.armed[pid % NR_ARMED])


def set_fail_nth(pid: cython.ulonglong, nth: cython.ulonglong) -> None:
    """Let the nth eligible call of a task from now on fail, whatever the attributes; 0
    cancels."""
    armed: cython.pointer[fail_nth] = armed_for(pid)
    if armed.pid == pid and armed.left != 0:
        atomic64_fetch_sub(cython.address(faults.nr_armed), 1)
    armed.left = 0
    armed.pid = pid
    armed.left = nth
    if nth != 0:
        atomic64_fetch_add(cython.address(faults.nr_armed), 1)
    switch()


def fail_nth_left(pid: cython.ulonglong) -> int:
    """Return how many eligible calls a task's fail-nth is away; 0 when it fired or is not
    armed."""
    armed: cython.pointer[fail_nth] = armed_for(pid)
    return armed.left if armed.pid == pid else 0


def set_make_it_fail(task: cython.ulonglong, on: bool) -> None:
    """Mark a task (native address of its task_struct) for the task filter."""
    cython.cast(cython.pointer[u64], task)[TASK_MAKE_IT_FAIL_WORD] = 1 if on else 0


def set_failslab(cachep: object, on: bool) -> None:
    """Mark a cache for the cache filter (/sys/kernel/slab/NAME/failslab)."""
    c: cython.pointer[kmem_cache] = cache_at(address_of(cachep))
    if c == cython.NULL:
        raise ValueError(f"{cachep!r} is no cache")
    if on:
        c.cflags |= CFLGS_FAILSLAB
    else:
        c.cflags &= ~cython.cast(u32, CFLGS_FAILSLAB)


def nr_injected(name: str) -> int:
    """Return how many faults of this kind were injected since boot."""
    which: cython.int = which_fault(name, "probability")
    return faults.attrs[which].injected


def injected(since: int = 0) -> list:
    """Return the records of injected faults from number `since` on, as far as they are
    kept."""
    head: u64 = atomic64_load(cython.address(faults.head))
    first: u64 = max(since, head - NR_FAULT_RECORDS if head > NR_FAULT_RECORDS else 0)
    n: u64
    found = []
    for n in range(first, head):
        r: fault_record = faults.records[n % NR_FAULT_RECORDS]
        if (
            r.seq != n + 1
            or atomic64_load_acquire(cython.address(faults.records[n % NR_FAULT_RECORDS].seq))
            != n + 1
        ):
            continue
        found.append(
            {
                "number": n, "ns": r.ns, "task": r.task, "cpu": r.cpu, "size": r.size,
                "nth": r.nth, "name": NAMES[r.which],
                "stack": [callsite_cy.site_text(r.sites[i]) for i in range(r.nr_sites)],
            }
        )  # fmt: skip
    return found
