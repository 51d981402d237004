"""What the host gives to the processes of a machine, and Python's library does not.

A mapping at a fixed address, prctl, and the wake-up of every process that sleeps on a word
whose owner has died. Called outside of kernel calls.
"""

import os

import cython
from cython.cimports.cpus.atomic import atomic32_store, atomic64_load, futex_wake
from cython.cimports.cpus.percpu_cy import SLOT_FREE, process_slots
from cython.cimports.cpus.segment_cy import NR_SLOTS


def map_at(address: cython.ulonglong, size: cython.ulonglong, fd: cython.int) -> None:
    """Map `size` bytes of `fd`, shared, at `address`; FileExistsError if that is taken."""
    error: cython.int = host_map_at(address, size, fd)
    if error != 0:
        raise OSError(-error, f"{os.strerror(-error)}: {size} bytes at {address:#x}")


def die_with_parent() -> None:
    """Have the host kill this process when its parent ends."""
    error: cython.int = host_die_with_parent()
    if error != 0:
        raise OSError(-error, f"PR_SET_PDEATHSIG: {os.strerror(-error)}")


def set_name(name: str) -> None:
    """Name this process as `ps` and `top` show it; 15 bytes at most."""
    encoded: bytes = name.encode()
    host_set_name(encoded)


def wake_parked() -> int:
    """Wake every process that sleeps on a lock word; it looks whether the owner lives.

    The monitor calls it after a death. Returns how many slots said that they were parked.
    """
    i: cython.int
    n: cython.int = 0
    word: cython.ulonglong
    for i in range(NR_SLOTS):
        word = atomic64_load(cython.address(process_slots[i].parked))
        if word != 0:
            n += 1
            futex_wake(cython.cast(cython.pointer[cython.uint], word), 0x7FFFFFFF)
    return n


def release_slot(slot: cython.int) -> None:
    """Let the slot of a dead process be used again; the monitor, when all is recovered."""
    atomic32_store(cython.address(process_slots[slot].state), SLOT_FREE)


def keep_segment(fd: cython.int) -> None:
    """Keep the segment's descriptor, for `segment_reserve`; the monitor, before it forks."""
    global segment_fd
    segment_fd = fd


def segment_reserve(offset, length):
    return host_reserve(segment_fd, offset, length)
