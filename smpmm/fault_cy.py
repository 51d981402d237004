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
from cython.cimports.cpus import segment_cy, task_cy
from cython.cimports.cpus.atomic import (
    atomic64_cmpxchg,
    atomic64_fetch_add,
    atomic64_load,
    atomic64_store,
    atomic64_store_release,
)
from cython.cimports.cpus.callsite_cy import sites, stack_sites
from cython.cimports.cpus.choice_cy import (
    TASK_FAULTS_WORD,
    TASK_MAKE_IT_FAIL_WORD,
    choose,
    choose_counted,
)
from cython.cimports.cpus.event_cy import EVENT_FAULT, log_text, trace_event
from cython.cimports.cpus.handle_cy import address_of
from cython.cimports.cpus.percpu_cy import in_task, this_cpu
from cython.cimports.cpus.task_cy import NR_TASKS, TASK_FREE
from cython.cimports.libc.stdio import snprintf
from cython.cimports.libc.string import strlen, strstr
from cython.cimports.smpmm import fault_log_cy as records
from cython.cimports.smpmm.fault_log_cy import (
    faults_of,
    place_of,
    record_fault,
    task_faults,
)
from cython.cimports.smpmm.mm import page_alloc_cy, slab_cy
from cython.cimports.smpmm.mm.page_alloc_cy import gfp_highmem, gfp_wait
from cython.cimports.smpmm.mm.slab_list_cy import CFLGS_FAILSLAB, cache_at

from smpmm import fault_log_cy
from smpmm.fault_log_cy import NAMES, injected  # noqa: F401

ESRCH = 3
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
SWITCHES = ("task-filter", "ignore-gfp-wait", "ignore-gfp-highmem", "cache-filter")
# File → least and most; without an entry a number from 0.
LIMITS = {
    "probability": (0, 100), "times": (-1, (1 << 31) - 1), "space": (0, (1 << 31) - 1),
    **dict.fromkeys(SWITCHES, (0, 1)),
}  # fmt: skip


def regions(config: object = None) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {"faults": cython.sizeof(fault_state), **fault_log_cy.regions(config)}


def attach(config: object = None) -> None:
    """Find this module's region and let the allocators ask. The monitor, before it forks."""
    global faults
    fault_log_cy.attach(config)
    faults = cython.cast(cython.pointer[fault_state], segment_cy.region_at(b"faults"))
    slab_cy.set_failslab_hook(cython.address(faults.on), should_failslab)
    page_alloc_cy.fail_page_alloc_on = cython.address(faults.on)
    page_alloc_cy.should_fail_alloc_page = should_fail_alloc_page


def init(config: object = None) -> None:
    """Set the defaults, then what the command line says."""
    for name in NAMES:
        for file, value in DEFAULTS.items():
            if OF_ONE.get(file, NAMES.index(name)) == NAMES.index(name):
                set_attribute(name, file, value)
        given = config.option(name) if hasattr(config, "option") else None
        if isinstance(given, dict):
            set_attributes(name, given)
        elif given is not None:
            setup(name, *given)


def setup(name: str, interval: int, probability: int, space: int, times: int) -> None:
    """Set what `failslab=INTERVAL,PROBABILITY,SPACE,TIMES` sets."""
    values = {"interval": interval, "probability": probability, "space": space, "times": times}
    set_attributes(name, values)


def set_attributes(name: str, values: dict) -> None:
    """Write attributes, all or none; ValueError names a bad one. Any time."""
    checked = {file_name(file): value for file, value in values.items()}
    for file, value in checked.items():
        check_attribute(name, file, value)
    # The probability last: it is what switches the fault on.
    for file in sorted(checked, key="probability".__eq__):
        set_attribute(name, file, checked[file])


def file_name(file: str) -> str:
    """Return the kernel's name of an attribute: `cache_filter` is `cache-filter`."""
    return file.replace("_", "-")


def check_attribute(name: str, file: str, value: int) -> None:
    """Raise ValueError, with the numbers, for a value that an attribute cannot have."""
    which_fault(name, file)
    least, most = LIMITS.get(file, (0, (1 << 63) - 1))
    if not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name}/{file}: {value!r} is not a number from {least} to {most}")


def set_attribute(name: str, file: str, value: int) -> None:
    """Write an attribute by the kernel's file name; ValueError when there is none. Any
    time."""
    file = file_name(file)
    check_attribute(name, file, value)
    which: cython.int = which_fault(name, file)
    a: cython.pointer[fault_attr] = cython.address(faults.attrs[which])
    if file == "times":
        a.times = value
    elif file == "space":
        a.space = value
    elif file == "probability":
        a.probability = value
    elif file == "interval":
        a.interval = value
    elif file == "verbose":
        a.verbose = value
    elif file == "task-filter":
        a.task_filter = value
    elif file == "ignore-gfp-wait":
        a.ignore_gfp_wait = value
    elif file == "ignore-gfp-highmem":
        a.ignore_gfp_highmem = value
    elif file == "min-order":
        a.min_order = value
    elif file == "cache-filter":
        a.cache_filter = value
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


def switch():
    """Say in one word whether any fault may happen now."""
    said: cython.bint
    # Whoever else changes something meanwhile is seen by one of the two.
    while True:
        said = some_fault_may_happen()
        atomic64_store(cython.address(faults.on), said)
        if said == some_fault_may_happen():
            return


def some_fault_may_happen():
    i: cython.int
    armed: cython.pointer[task_faults]
    if faults.attrs[0].probability != 0 or faults.attrs[1].probability != 0:
        return True
    if task_cy.tasks == cython.NULL:
        return False
    for i in range(NR_TASKS):
        armed = cython.address(records.log_.tasks[i])
        if armed.left != 0 and armed.armed == task_cy.tasks[i].pid:
            if task_cy.tasks[i].state != TASK_FREE:
                return True
    return False


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
    task: u64 = 0
    own: cython.pointer[task_faults]
    nth: u64 = 0
    if in_task():
        task = this_cpu.current
        own = faults_of(task)
        if own.left != 0 and own.armed == own.pid:
            own.left -= 1
            if own.left != 0:
                return False
            claim(cython.address(faults.attrs[which]), True)
            inject(which, size, task, own.asked[which], site)
            switch()
            return True
    if not attributes_say(which, size, task, cython.address(nth)):
        return False
    inject(which, size, task, nth, site)
    return True


def attributes_say(which, size, task, nth):
    a: cython.pointer[fault_attr] = cython.address(faults.attrs[which])
    if a.probability == 0:
        return False
    if a.task_filter != 0 and (
        task == 0 or cython.cast(cython.pointer[u64], task)[TASK_MAKE_IT_FAIL_WORD] == 0
    ):
        return False
    if a.times == 0 or not space_says(a, size):
        return False
    if a.interval > 1:
        if (atomic64_fetch_add(cython.address(a.count), 1) + 1) % a.interval != 0:
            return False
    return dice_say(which, task, nth) and claim(a, False)


def space_says(a, size):
    """Spend the budget of sizes: a rest that is no more than `size` stays as it is."""
    word: cython.pointer[u64] = cython.cast(cython.pointer[u64], cython.address(a.space))
    space: u64
    while True:
        space = atomic64_load(word)
        if cython.cast(s64, space) <= size:
            return True
        if atomic64_cmpxchg(word, space, space - cython.cast(u64, size)) == space:
            return False


def dice_say(which, task, nth):
    own: cython.pointer[task_faults]
    a: cython.pointer[fault_attr] = cython.address(faults.attrs[which])
    if task == 0:
        return choose(b"fault", 100, nth) < a.probability
    # Each kind has a count: whether a cache has to grow is not the task's doing, and must not
    # shift its other dice.
    own = faults_of(task)
    nth[0] = own.asked[which]
    if which == FAILSLAB:
        return (
            choose_counted(b"failslab", 100, cython.address(own.asked[FAILSLAB]))
            < a.probability
        )
    return (
        choose_counted(b"fail_page_alloc", 100, cython.address(own.asked[FAIL_PAGE_ALLOC]))
        < a.probability
    )


def claim(a, must):
    """Count `times` down; false when others were quicker, unless the fault must happen."""
    word: cython.pointer[u64] = cython.cast(cython.pointer[u64], cython.address(a.times))
    times: u64
    while True:
        times = atomic64_load(word)
        if cython.cast(s64, times) < 0:
            return True
        if times == 0:
            return must
        if atomic64_cmpxchg(word, times, times - 1) == times:
            return True


def inject(which, size, task, nth, site):
    """Record a fault and say so."""
    a: cython.pointer[fault_attr] = cython.address(faults.attrs[which])
    atomic64_fetch_add(cython.address(a.injected), 1)
    if task != 0:
        cython.cast(cython.pointer[u64], task)[TASK_FAULTS_WORD] += 1
    record_fault(which, size, task, nth, site)
    trace_event(EVENT_FAULT, which, cython.cast(u64, size), nth, site)
    say(a)


def say(a):
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
    n = stack_sites(stack, FAULT_STACK_SAID)
    for i in range(n):
        if strstr(sites[stack[i]].file, b"cpus/sched.py") != cython.NULL:
            break  # below the task itself is no kernel code
        snprintf(
            text, 200, b" %s (%s:%u)", sites[stack[i]].function, sites[stack[i]].file,
            sites[stack[i]].line,
        )  # fmt: skip
        log_text(text, cython.cast(u32, strlen(text)), KERN_NOTICE_LEVEL)


def task_of_pid(pid):
    """Return the native address of the task with a pid, 0 for none."""
    i: cython.int
    if task_cy.tasks == cython.NULL or pid == 0:
        return 0
    for i in range(NR_TASKS):
        if task_cy.tasks[i].pid == pid and task_cy.tasks[i].state != TASK_FREE:
            return cython.cast(u64, cython.address(task_cy.tasks[i]))
    return 0


def task_or_error(pid: cython.ulonglong) -> int:
    """Return the native address of the task with a pid; ProcessLookupError for none."""
    task: u64 = task_of_pid(pid)
    if task == 0:
        raise ProcessLookupError(ESRCH, f"no task has pid {pid}")
    return task


def set_fail_nth(pid: cython.ulonglong, nth: cython.ulonglong) -> None:
    """Let the nth eligible call of a task from now on fail, whatever the attributes; 0
    cancels. ProcessLookupError when there is no such task."""
    armed: cython.pointer[task_faults] = place_of(task_or_error(pid))
    armed.left = 0
    atomic64_store_release(cython.address(armed.armed), pid)
    atomic64_store_release(cython.address(armed.left), nth)
    switch()


def fail_nth_left(pid: cython.ulonglong) -> int:
    """Return how many eligible calls a task's fail-nth is away; 0 when it fired or is not
    armed."""
    armed: cython.pointer[task_faults] = place_of(task_or_error(pid))
    return armed.left if armed.armed == pid else 0


def set_make_it_fail(pid: cython.ulonglong, on: bool) -> None:
    """Mark a task for the task filter; ProcessLookupError when there is no such task."""
    task: u64 = task_or_error(pid)
    cython.cast(cython.pointer[u64], task)[TASK_MAKE_IT_FAIL_WORD] = 1 if on else 0


def make_it_fail(pid: cython.ulonglong) -> int:
    """Return whether a task is marked for the task filter."""
    task: u64 = task_or_error(pid)
    return cython.cast(cython.pointer[u64], task)[TASK_MAKE_IT_FAIL_WORD]


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
