"""What the host gives to the processes of a machine, and Python's library does not.

A mapping at a fixed address, prctl, many forks at once, and the wake-up of every process that
sleeps on a word whose owner has died. Called outside of kernel calls.
"""

import os

import cython
from cython.cimports.cpus.atomic import atomic32_store, atomic64_load, futex_wake
from cython.cimports.cpus.percpu_cy import SLOT_FREE, process_slots
from cython.cimports.cpus.segment_cy import NR_SLOTS
from cython.cimports.libc.errno import errno
from cython.cimports.libc.signal import SIG_DFL, SIGTERM, signal
from cython.cimports.posix.types import pid_t
from cython.cimports.posix.unistd import fork, getppid


def map_at(address: cython.ulonglong, size: cython.ulonglong, fd: cython.int) -> None:
    """Map `size` bytes of `fd`, shared, at `address`; FileExistsError if that is taken."""
    error: cython.int = host_map_at(address, size, fd)
    if error != 0:
        raise OSError(-error, f"{os.strerror(-error)}: {size} bytes at {address:#x}")


def map_copy(address: cython.ulonglong, size: cython.ulonglong, fd: cython.int) -> None:
    """Let this process have a copy of the segment in its place, until `map_shared`."""
    check_mapping(host_map_again(address, size, fd, 1))


def map_shared(address: cython.ulonglong, size: cython.ulonglong, fd: cython.int) -> None:
    """Map the segment itself again; what was written to the copy is gone."""
    check_mapping(host_map_again(address, size, fd, 0))


def check_mapping(error):
    if error != 0:
        raise OSError(-error, f"mapping the segment: {os.strerror(-error)}")
    return 0


def die_with_parent() -> None:
    """Have the host kill this process when its parent ends."""
    error: cython.int = host_die_with_parent()
    if error != 0:
        raise OSError(-error, f"PR_SET_PDEATHSIG: {os.strerror(-error)}")


def set_name(name: str) -> None:
    """Name this process as `ps` and `top` show it; 15 bytes at most."""
    encoded: bytes = name.encode()
    host_set_name(encoded)


def be_prompt() -> None:
    """Have the host run this process soon after it is woken: it does little, but at once."""
    host_be_prompt()


def fork_children(number: cython.int) -> tuple[int, list[int]]:
    """Fork `number` processes; returns (-1, their pids), in a child (which one it is, []).

    Nothing runs between two forks: each page that the monitor wrote meanwhile would be in host
    memory once more for every child before it. OSError when the host refuses; none is left.
    """
    pids: cython.int[NR_FORKS]
    i: cython.int
    pid: pid_t
    assert number <= NR_FORKS, f"{number} forks at once, {NR_FORKS} at most"
    PyOS_BeforeFork()
    for i in range(number):
        pid = fork()
        if pid == 0:
            PyOS_AfterFork_Child()
            return i, []
        if pid < 0:
            break
        pids[i] = pid
    else:
        i = number
    error: cython.int = errno
    PyOS_AfterFork_Parent()
    made = [pids[k] for k in range(i)]
    if i < number:
        for child in made:
            os.kill(child, 9)
            os.waitpid(child, 0)
        raise OSError(error, f"fork {i + 1} of {number}: {os.strerror(error)}")
    return -1, made


def begin_child(
    monitor_pid: cython.int, name: bytes, fds: bytes, keep: cython.int, keep_too: cython.int
) -> None:
    """Begin the life of a forked child, which ends with the monitor.

    It is called `name`, and closes the descriptors in `fds` (native ints) but those to keep.
    """
    die_with_parent()
    if getppid() != monitor_pid:
        os._exit(0)
    host_set_name(name)
    signal(SIGTERM, SIG_DFL)
    at: cython.p_char = fds
    number: cython.long = len(fds) // cython.sizeof(cython.int)
    host_close_all(cython.cast(cython.pointer[cython.int], at), number, keep, keep_too)


def trim_heap() -> None:
    """Give free memory back to the host: the monitor, before it forks."""
    host_trim_heap()


def hold_nudges() -> None:
    """Ignore SIGUSR1 until `take_nudges`: the monitor, once its children's handler is set."""
    host_hold_nudges()


def take_nudges() -> None:
    """Serve SIGUSR1 from now on: a child that is ready for it."""
    host_take_nudges()


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


def segment_descriptor() -> int:
    """Return the segment's descriptor in this process of the machine."""
    return segment_fd


def segment_reserve(offset, length):
    return host_reserve(segment_fd, offset, length)
