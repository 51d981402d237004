"""The records of open files: each is a use of its module."""

import cython
from cython.cimports.cpus.atomic import (
    atomic64_cmpxchg,
    atomic64_fetch_add,
    atomic64_load_acquire,
    atomic64_store_release,
    atomic64_xchg,
)
from cython.cimports.cpus.callsite_cy import call_site
from cython.cimports.cpus.kill_cy import KILL_FILE_CLAIMED, KILL_FILE_PASSED, kill_point
from cython.cimports.cpus.percpu_cy import enter, leave
from cython.cimports.cpus.spinlock_cy import raw_spin_lock_irqsave, raw_spin_unlock_irqrestore
from cython.cimports.smpmm.module_table_cy import add_uses, may_open, module_of
from cython.cimports.smpmm.registry_cy import (
    NR_FILES,
    RECORD_FREE,
    RECORD_LIVE,
    file_record,
    module_record,
    open_files,
    registry,
)


def claim_file(owner: int, f_flags: int, i_rdev: int, fops: int, serial: int) -> int:
    """Take a file record, a use of its module: its number, -1 full, -2 no module."""
    c_owner: u64 = owner
    c_flags: u64 = f_flags
    c_rdev: u64 = i_rdev
    c_fops: u64 = fops
    c_serial: u64 = serial
    number: cython.int = -1
    start: cython.int
    i: cython.int
    f: cython.pointer[file_record]
    enter()
    flags: u64 = raw_spin_lock_irqsave(cython.address(registry.lock), call_site())
    start = cython.cast(cython.int, atomic64_fetch_add(cython.address(registry.nr_opens), 1))
    for i in range(NR_FILES):
        f = cython.address(open_files[(start + i) & (NR_FILES - 1)])
        if f.state == RECORD_FREE:
            number = (start + i) & (NR_FILES - 1)
            f.owner = c_owner
            f.f_pos = 0
            f.f_flags = c_flags
            f.private_data = 0
            f.i_rdev = c_rdev
            f.fops = c_fops
            f.serial = c_serial
            f.generation += 1
            # Pairs with begin_unload: it stores the module's state, then looks for files.
            atomic64_xchg(cython.address(f.state), RECORD_LIVE)
            kill_point(KILL_FILE_CLAIMED)
            if not may_open(c_serial):
                atomic64_store_release(cython.address(f.state), RECORD_FREE)
                number = -2
            break
    raw_spin_unlock_irqrestore(cython.address(registry.lock), flags)
    leave()
    return number


def release_file(number: int) -> None:
    """Free a file record: its use of the module ends."""
    f: cython.pointer[file_record] = cython.address(
        open_files[cython.cast(cython.int, number)]
    )
    m: cython.pointer[module_record] = module_of(f.serial)
    enter()
    if atomic64_cmpxchg(cython.address(f.state), RECORD_LIVE, RECORD_FREE) == RECORD_LIVE:
        if m != cython.NULL and m.usecount < 0:
            add_uses(m, 0)
    leave()


def pass_file(number: int, owner: int, to: int) -> bool:
    """Make an open file of `owner` that of `to`; false when it is not his any more."""
    c_owner: u64 = owner
    c_to: u64 = to
    f: cython.pointer[file_record] = cython.address(
        open_files[cython.cast(cython.int, number)]
    )
    passed: cython.bint = atomic64_cmpxchg(cython.address(f.owner), c_owner, c_to) == c_owner
    kill_point(KILL_FILE_PASSED)
    return passed


def file_generation(number: int) -> int:
    """Return how often a live file record has been used, 0 when it is free."""
    f: cython.pointer[file_record] = cython.address(
        open_files[cython.cast(cython.int, number)]
    )
    if atomic64_load_acquire(cython.address(f.state)) != RECORD_LIVE:
        return 0
    return f.generation


def file_flags(number: int) -> int:
    """Return f_flags of a file record, live or not."""
    return open_files[cython.cast(cython.int, number)].f_flags


def open_files_info() -> list:
    """Return (number, generation, owner) of every open file."""
    return [
        (i, open_files[i].generation, open_files[i].owner)
        for i in range(NR_FILES)
        if open_files[i].state == RECORD_LIVE
    ]
