"""The table of promises: which address a struct made outside of the machine has in it.

Several processes may meet a promise at once. Each that finds no address makes the struct, and
the first to store its address wins; the others drop theirs. So nobody waits, and a process
that is killed in between costs the memory of one struct.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import atomic64_cmpxchg, atomic64_load
from cython.cimports.cpus.percpu_cy import enter, leave


def regions(config: object = None) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {"promises": NR_PROMISES * cython.sizeof(promise_entry)}


def attach(config: object = None) -> None:
    """Find this module's region in the attached segment."""
    global promises
    promises = cython.cast(cython.pointer[promise_entry], segment_cy.region_at(b"promises"))


def attached() -> bool:
    """Return whether this process has a machine's table."""
    return promises != cython.NULL


def entry_of(promise):
    i: cython.int
    at: u64 = (promise >> OFFSET_BITS) * 0x9E3779B97F4A7C15 >> 54
    entry: cython.pointer[promise_entry]
    held: u64
    for i in range(NR_PROMISES):
        entry = cython.address(promises[(at + i) % NR_PROMISES])
        held = atomic64_cmpxchg(cython.address(entry.promise), 0, promise)
        if held == 0 or held == promise:
            return entry
    return cython.NULL


def promised_address(promise: cython.ulonglong) -> int:
    """Return the address that a promise got, 0 = none yet; MemoryError: the table is full."""
    enter()
    entry: cython.pointer[promise_entry] = entry_of(promise)
    address: u64 = 0 if entry == cython.NULL else atomic64_load(cython.address(entry.address))
    leave()
    if entry == cython.NULL:
        raise MemoryError(f"more than {NR_PROMISES} structs were made outside of the machine")
    return address


def settle(promise: cython.ulonglong, address: cython.ulonglong) -> int:
    """Give a promise its address unless it has one; returns the one that it has then."""
    enter()
    entry: cython.pointer[promise_entry] = entry_of(promise)
    held: u64 = atomic64_cmpxchg(cython.address(entry.address), 0, address)
    leave()
    return held or address
