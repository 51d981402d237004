"""Kernel text in the segment: what a function is that another process must call.

A function that is registered gets the address of an entry, for ever: entries of functions are
never used again, so a call after rmmod meets an entry that names the module that is gone. Its
bytes (a pickle, or none: then it is a name in its module's namespace) lie in a heap of units
of 256 bytes, which is used again.

Truth: `state` of an entry and its run of units. Index: `units`, `next_unit`. Writers hold
`text_lock` with interrupts off. An entry is committed by the store of its state; if a process
dies in between, whoever takes its lock over frees what was being written and marks the units
of live entries anew. Readers take no lock: they check the entry's state again after copying.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import (
    atomic32_load_acquire,
    atomic32_store_release,
    atomic64_fetch_add,
    atomic64_load_acquire,
)
from cython.cimports.cpus.callsite_cy import call_site
from cython.cimports.cpus.kill_cy import KILL_TEXT, kill_point
from cython.cimports.cpus.percpu_cy import enter, leave
from cython.cimports.cpus.spinlock_cy import (
    CLASS_SPIN,
    RECOVER_OTHER,
    lock_class_named,
    raw_spin_lock_irqsave,
    raw_spin_unlock_irqrestore,
    register_recovery,
    spinlock_init,
)
from cython.cimports.libc.string import memcpy, memset, strncpy

FUNCTION: int = TEXT_FUNCTION
BLOB: int = TEXT_BLOB
ENTRY_BYTES: int = TEXT_SPACING

# This process's own: what it has loaded, and the version that this was up to date with.
functions: dict = {}
load_hook: object = None


def regions(config: object = None) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {
        "text": cython.sizeof(text_header),
        "text_entries": NR_TEXT * cython.sizeof(text_entry),
        "text_heap": NR_UNITS * TEXT_UNIT,
    }


def attach(config: object = None) -> None:
    """Find this module's regions in the attached segment."""
    global text, entries, heap
    text = cython.cast(cython.pointer[text_header], segment_cy.region_at(b"text"))
    entries = cython.cast(cython.pointer[text_entry], segment_cy.region_at(b"text_entries"))
    heap = cython.cast(cython.pointer[u8], segment_cy.region_at(b"text_heap"))
    register_recovery(RECOVER_OTHER, recover)


def init(config: object = None) -> None:
    """Format the region of a fresh segment: entries lie where kernel code does, at 1 MiB."""
    memset(text, 0, cython.sizeof(text_header))
    spinlock_init(
        cython.address(text.lock), lock_class_named(b"text_lock", CLASS_SPIN, RECOVER_OTHER)
    )
    text.version = 1
    text.base = segment_cy.direct_start + 0x100000


def recover(lock):
    """Mark the units of live entries anew; the lock was taken over from a dead process."""
    i: cython.int
    u: u32
    if lock != cython.address(text.lock):
        return
    memset(text.units, 0, NR_UNITS * cython.sizeof(u32))
    for i in range(NR_TEXT):
        if entries[i].state == TEXT_WRITING:
            # A function's number stays taken: nothing may find its address before or after.
            entries[i].state = TEXT_FREE
        if entries[i].state != TEXT_LIVE:
            continue
        for u in range(units_of(entries[i].length)):
            text.units[entries[i].first_unit + u] = cython.cast(u32, i) + 1


def units_of(length):
    return (length + TEXT_UNIT - 1) // TEXT_UNIT


def find_units(count):
    """Return the first of `count` adjacent free units, -1 when there are none; lock held."""
    at: u32 = cython.cast(u32, text.next_unit)
    run: u32 = 0
    _: u32
    for _ in range(NR_UNITS + count):
        if at >= NR_UNITS:
            at = 0
            run = 0
        run = run + 1 if text.units[at] == 0 else 0
        at += 1
        if run == count:
            return at - count
    return -1


def find_entry(kind):
    """Return a free entry for a function (never used before) or a blob, or -1; lock held."""
    i: u64
    if kind == TEXT_FUNCTION:
        if text.nr_functions + text.nr_blobs >= NR_TEXT:
            return -1
        text.nr_functions += 1
        return text.nr_functions - 1
    for i in range(NR_TEXT - text.nr_blobs, cython.cast(u64, NR_TEXT)):
        if entries[i].state == TEXT_FREE:
            return i
    if text.nr_functions + text.nr_blobs >= NR_TEXT:
        return -1
    text.nr_blobs += 1
    return NR_TEXT - text.nr_blobs


def add(kind: int, serial: int, module: str, name: str, data: bytes, digest: int = 0) -> int:
    """Make an entry of `data` and return its number; MemoryError when the text is full."""
    c_kind: u32 = kind
    c_serial: u64 = serial
    c_digest: u64 = digest
    module_bytes: bytes = module.encode()[:31]
    name_bytes: bytes = name.encode()[:63]
    module_text: cython.p_const_char = module_bytes
    name_text: cython.p_const_char = name_bytes
    bytes_text: cython.p_const_char = data
    length: u32 = len(data)
    count: u32 = units_of(length)
    number: cython.longlong = -1
    unit: cython.longlong = 0
    u: u32
    enter()
    flags: u64 = raw_spin_lock_irqsave(cython.address(text.lock), call_site())
    if count != 0:
        unit = find_units(count)
    if unit >= 0:
        number = find_entry(c_kind)
    if number >= 0:
        e: cython.pointer[text_entry] = cython.address(entries[number])
        e.state = TEXT_WRITING
        e.kind = c_kind
        e.first_unit = cython.cast(u32, unit)
        e.length = length
        e.serial = c_serial
        e.digest = c_digest
        strncpy(e.module, module_text, 31)
        strncpy(e.name, name_text, 63)
        for u in range(count):
            text.units[unit + u] = cython.cast(u32, number) + 1
        kill_point(KILL_TEXT)
        memcpy(heap + unit * TEXT_UNIT, bytes_text, length)
        text.next_unit = unit + count
        atomic32_store_release(cython.address(e.state), TEXT_LIVE)
    raw_spin_unlock_irqrestore(cython.address(text.lock), flags)
    leave()
    if number < 0:
        raise MemoryError(
            f"kernel text is full: no room for {length} bytes of {name}, "
            f"{NR_TEXT} entries and {NR_UNITS * TEXT_UNIT} bytes in all"
        )
    return number


def end_entry(i, state):
    """Take a live entry out and free its units; lock held."""
    u: u32
    first: u32 = entries[i].first_unit
    count: u32 = units_of(entries[i].length)
    atomic32_store_release(cython.address(entries[i].state), state)
    for u in range(count):
        text.units[first + u] = 0


def discard(number: int) -> None:
    """Free a blob; its number may be used again."""
    i: cython.longlong = number
    enter()
    flags: u64 = raw_spin_lock_irqsave(cython.address(text.lock), call_site())
    if entries[i].state == TEXT_LIVE:
        end_entry(i, TEXT_FREE if entries[i].kind == TEXT_BLOB else TEXT_GONE)
    raw_spin_unlock_irqrestore(cython.address(text.lock), flags)
    leave()


def end_module(serial: int) -> int:
    """End every entry of a module; its functions' addresses stay its own. Returns how many."""
    c_serial: u64 = serial
    ended: cython.int = 0
    i: cython.int
    enter()
    flags: u64 = raw_spin_lock_irqsave(cython.address(text.lock), call_site())
    for i in range(NR_TEXT):
        if entries[i].state == TEXT_LIVE and entries[i].serial == c_serial:
            end_entry(i, TEXT_FREE if entries[i].kind == TEXT_BLOB else TEXT_GONE)
            ended += 1
    raw_spin_unlock_irqrestore(cython.address(text.lock), flags)
    atomic64_fetch_add(cython.address(text.version), 1)
    leave()
    return ended


def read(number: int):
    """Return the bytes of a live entry, None of any other; any context."""
    i: cython.longlong = number
    if i < 0 or i >= NR_TEXT:
        return None
    e: cython.pointer[text_entry] = cython.address(entries[i])
    if atomic32_load_acquire(cython.address(e.state)) != TEXT_LIVE:
        return None
    start: cython.p_char = cython.cast(cython.p_char, heap + e.first_unit * TEXT_UNIT)
    data: bytes = start[: e.length]
    # Freed while it was copied, and perhaps used again: the caller compares the digest.
    if atomic32_load_acquire(cython.address(e.state)) != TEXT_LIVE:
        return None
    return data


def entry(number: int) -> dict:
    """Return what is known of an entry, for loading and for reports."""
    e: cython.pointer[text_entry] = cython.address(
        entries[cython.cast(cython.longlong, number)]
    )
    return {
        "state": atomic32_load_acquire(cython.address(e.state)),
        "kind": e.kind,
        "length": e.length,
        "serial": e.serial,
        "digest": e.digest,
        "module": e.module.decode("utf-8", "replace"),
        "name": e.name.decode("utf-8", "replace"),
    }


def nr_functions() -> int:
    """Return how many addresses were ever given out."""
    return atomic64_load_acquire(cython.address(text.nr_functions))


def heap_units_used() -> int:
    """Return how many units of the heap are taken: for tests and reports."""
    used: cython.int = 0
    i: cython.int
    for i in range(NR_UNITS):
        used += text.units[i] != 0
    return used


def text_base() -> int:
    """Return the address of the first entry."""
    return text.base


def version() -> int:
    """Return the number that changes when loaded text may be out of date."""
    return atomic64_load_acquire(cython.address(text.version))


def new_version() -> None:
    """Make every process look again at what it has loaded."""
    enter()
    atomic64_fetch_add(cython.address(text.version), 1)
    leave()


def set_load_hook(hook: object) -> None:
    """Register what loads an address that this process has not loaded: hook(address)."""
    global load_hook
    load_hook = hook


def flush() -> None:
    """Forget what this process has loaded."""
    functions.clear()


def forget_stale() -> None:
    """Forget what was loaded if it may be out of date."""
    global seen_version
    now: u64 = atomic64_load_acquire(cython.address(text.version))
    if now != seen_version:
        functions.clear()
        seen_version = now


def remember(address: object, function: object) -> None:
    """Take `function` for what is at `address`: this process has just registered it."""
    forget_stale()
    functions[address] = function


def load(address: object):
    """Return the function at `address`, loaded once per process; any context, no call held."""
    if atomic64_load_acquire(cython.address(text.version)) != seen_version:
        forget_stale()
    function = functions.get(address)
    if function is None:
        function = load_hook(address)
        functions[address] = function
    return function
