"""User space: the memory of a system call's caller, and the kernel's copies from and to it.

A task stands for a user process. For the time of a system call the objects that it passed
(exported buffers) lie at user addresses, which nothing but these functions understands: a
kernel that follows a user pointer gets an oops. The table is the process's own, each range is
its task's: an interrupt handler, being another process, finds none. Compare
arch/i386/lib/usercopy.c.

A user address that is not there is no oops: the functions return how many bytes they did not
copy, or -EFAULT. A kernel address that is not there is one, in contrast to i386 before 2.6,
where the same exception table covered both sides of the copy. All of them may sleep (the page
might have to be read in), except `access_ok`.
"""

import cython
from cython.cimports.cpus.atomic import unlikely
from cython.cimports.cpus.handle_cy import address_of
from cython.cimports.cpus.percpu_cy import enter_sleeping, leave, stand_still_point, this_cpu
from cython.cimports.cpus.segment_cy import direct_start
from cython.cimports.cpus.whole import whole, whole_count
from cython.cimports.cpus.word_cy import bad_access
from cython.cimports.cpython.buffer import (
    PyBUF_SIMPLE,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cython.cimports.libc.stdlib import calloc, free, realloc
from cython.cimports.libc.string import memchr, memcpy, memset
from cython.cimports.smpmm.mm.access_cy import (
    chunk,
    fill_bytes,
    read_bytes,
    write_bytes,
)
from cython.cimports.smpmm.scalar_cy import Scalar, scalar_bytes, value_of, word_of

from smpmm.scalar_cy import SCALARS

EFAULT = 14
S32 = SCALARS["s32"]
VERIFY_READ = 0
VERIFY_WRITE = 1


def user_map(buffer: object, writable: bool = False) -> int:
    """Make a buffer the current task's memory; returns its user address.

    For the time of a system call: the buffer stays exported (a bytearray cannot be resized)
    until `user_unmap`. Any number may be mapped. BufferError when `writable` and the buffer is
    not; MemoryError when the user's address space is full. In the kernel's own code, outside
    of a call.
    """
    area: cython.pointer[user_range] = cython.cast(
        cython.pointer[user_range], calloc(1, cython.sizeof(user_range))
    )
    if area == cython.NULL:
        raise MemoryError("no room for a user range")
    try:
        PyObject_GetBuffer(
            buffer, cython.address(area.buffer), PyBUF_WRITABLE if writable else PyBUF_SIMPLE
        )
    except BaseException:
        free(area)
        raise
    area.task = this_cpu.current
    area.length = area.buffer.len
    area.host = cython.cast(cython.pointer[u8], area.buffer.buf)
    area.writable = bool(writable)
    area.start = free_user_address(area.length)
    if area.start == 0 or keep_user_range(area) < 0:
        PyBuffer_Release(cython.address(area.buffer))
        length: u64 = area.length
        free(area)
        raise MemoryError(f"{length} bytes do not fit into the user's address space")
    return area.start


def user_unmap(address: cython.ulonglong) -> None:
    """End the current task's mapping that starts at `address`, or raise ValueError."""
    global nr_user_ranges
    i: u32
    area: cython.pointer[user_range]
    for i in range(nr_user_ranges):
        area = user_ranges[i]
        if area.start == address and area.task == this_cpu.current:
            nr_user_ranges -= 1
            user_ranges[i] = user_ranges[nr_user_ranges]
            PyBuffer_Release(cython.address(area.buffer))
            free(area)
            return
    raise ValueError(f"no user range of this task starts at {address:#x}")


def nr_user_maps() -> int:
    """Return how many user ranges this process has, of all its tasks."""
    return nr_user_ranges


def keep_user_range(area):
    global user_ranges, most_user_ranges
    most: u32 = most_user_ranges * 2 + 16
    if nr_user_ranges == most_user_ranges:
        more: cython.pointer[cython.pointer[user_range]] = cython.cast(
            cython.pointer[cython.pointer[user_range]],
            realloc(user_ranges, most * cython.sizeof(cython.pointer[user_range])),
        )
        if more == cython.NULL:
            return -1
        user_ranges = more
        most_user_ranges = most
    return add_user_range(area)


def add_user_range(area):
    global nr_user_ranges
    user_ranges[nr_user_ranges] = area
    nr_user_ranges += 1
    return 0


def free_user_address(length):
    """Find the lowest free place for `length` bytes in the current task; 0: there is none."""
    start: u64 = USER_BASE
    i: u32 = 0
    area: cython.pointer[user_range]
    while i < nr_user_ranges:
        area = user_ranges[i]
        i += 1
        if (
            area.task == this_cpu.current
            and start < area.start + area.length + USER_PAGE
            and area.start < start + length + USER_PAGE
        ):
            start = (area.start + area.length + 2 * USER_PAGE - 1) & ~cython.cast(
                u64, USER_PAGE - 1
            )
            i = 0
    if not access_is_ok(start, length):
        return 0
    return start


def access_is_ok(address, n):
    return n <= direct_start and address <= direct_start - n


def user_span(address, n, write, length):
    i: u32
    area: cython.pointer[user_range]
    offset: u64
    for i in range(nr_user_ranges):
        area = user_ranges[i]
        offset = address - area.start
        if offset < area.length and area.task == this_cpu.current:
            if write and not area.writable:
                break
            length[0] = min(n, area.length - offset)
            return area.host + offset
    length[0] = 0
    return cython.NULL


def to_user(to, from_, n, fault):
    done: u64 = 0
    piece: u64 = 0
    read: u64
    host: cython.pointer[u8]
    fault[0] = False
    if not access_is_ok(to, n):
        return 0
    while done < n:
        host = user_span(to + done, n - done, True, cython.address(piece))
        if host == cython.NULL:
            break
        read = read_bytes(host, from_ + done, piece)
        done += read
        if read < piece:
            fault[0] = True
            break
    return done


def from_user(to, from_, n, fault):
    done: u64 = 0
    piece: u64 = 0
    written: u64
    host: cython.pointer[u8]
    fault[0] = False
    if not access_is_ok(from_, n):
        return 0
    while done < n:
        host = user_span(from_ + done, n - done, False, cython.address(piece))
        if host == cython.NULL:
            # As __copy_user_zeroing: no stale kernel memory is taken for the user's data.
            written = fill_bytes(to + done, 0, n - done)
            if written < n - done:
                fault[0] = True
                done += written
            break
        written = write_bytes(to + done, host, piece)
        done += written
        if written < piece:
            fault[0] = True
            break
    return done


def access_ok(type: object, address: object, n: object) -> int:
    """Return 1 when [address, address + n) is no kernel memory; it may still not be there.

    `type` is VERIFY_READ or VERIFY_WRITE; i386 does not look at it. Any context.
    """
    c_n: u64 = cython.cast(u64, whole(n, b"access_ok", b"n"))
    return 1 if access_is_ok(address_of(address), c_n) else 0


def copy_to_user(to: object, from_: object, n: object) -> int:
    """Copy `n` bytes of kernel memory to user memory; returns the bytes not copied.

    May sleep.
    """
    c_n: u64 = cython.cast(u64, whole_count(n, b"copy_to_user", b"n"))
    target: u64 = address_of(to)
    source: u64 = address_of(from_)
    fault: cython.bint = False
    done: u64
    enter_sleeping(b"copy_to_user")
    done = to_user(target, source, c_n, cython.address(fault))
    leave()
    if unlikely(fault):
        bad_access(b"copy_to_user", source + done)
    return c_n - done


def copy_from_user(to: object, from_: object, n: object) -> int:
    """Copy `n` bytes of user memory to kernel memory; returns the bytes not copied.

    What could not be read is zeroed in kernel memory, unless `from_` is a kernel address. May
    sleep.
    """
    c_n: u64 = cython.cast(u64, whole_count(n, b"copy_from_user", b"n"))
    target: u64 = address_of(to)
    source: u64 = address_of(from_)
    fault: cython.bint = False
    done: u64
    enter_sleeping(b"copy_from_user")
    done = from_user(target, source, c_n, cython.address(fault))
    leave()
    if unlikely(fault):
        bad_access(b"copy_from_user", target + done)
    return c_n - done


def clear_user(to: object, n: object) -> int:
    """Zero `n` bytes of user memory; returns the bytes not zeroed. May sleep."""
    c_n: u64 = cython.cast(u64, whole_count(n, b"clear_user", b"n"))
    target: u64 = address_of(to)
    done: u64 = 0
    piece: u64 = 0
    host: cython.pointer[u8]
    enter_sleeping(b"clear_user")
    if access_is_ok(target, c_n):
        while done < c_n:
            host = user_span(target + done, chunk(c_n - done), True, cython.address(piece))
            if host == cython.NULL:
                break
            memset(host, 0, piece)
            done += piece
            stand_still_point()
    leave()
    return c_n - done


def strncpy_from_user(to: object, from_: object, n: object) -> int:
    """Copy a string of user memory with its NUL, at most `n` bytes.

    Returns its length without the NUL, `n` when there is no NUL among them, or -EFAULT.
    May sleep.
    """
    c_n: u64 = cython.cast(u64, whole_count(n, b"strncpy_from_user", b"n"))
    target: u64 = address_of(to)
    source: u64 = address_of(from_)
    done: u64 = 0
    piece: u64 = 0
    host: cython.pointer[u8]
    end: cython.pointer[u8] = cython.NULL
    fault: cython.bint = False
    missing: cython.bint = not access_is_ok(source, 1)
    enter_sleeping(b"strncpy_from_user")
    while done < c_n and end == cython.NULL and not missing and not fault:
        host = user_span(source + done, chunk(c_n - done), False, cython.address(piece))
        if host == cython.NULL:
            missing = True
            break
        end = cython.cast(cython.pointer[u8], memchr(host, 0, piece))
        if end != cython.NULL:
            piece = end - host + 1
        fault = write_bytes(target + done, host, piece) < piece
        if not fault:
            done += piece
    leave()
    if unlikely(fault):
        bad_access(b"strncpy_from_user", target + done)
    if missing:
        return -EFAULT
    return done - (end != cython.NULL)


def copy_word_from_user(address, to, n):
    """Copy a scalar, which may touch two ranges; returns the bytes copied."""
    done: u64 = 0
    piece: u64 = 0
    host: cython.pointer[u8]
    while done < n and access_is_ok(address, n):
        host = user_span(address + done, n - done, False, cython.address(piece))
        if host == cython.NULL:
            break
        memcpy(cython.cast(cython.pointer[u8], to) + done, host, piece)
        done += piece
    return done


def copy_word_to_user(address, data, n):
    """The other way."""
    done: u64 = 0
    piece: u64 = 0
    host: cython.pointer[u8]
    while done < n and access_is_ok(address, n):
        host = user_span(address + done, n - done, True, cython.address(piece))
        if host == cython.NULL:
            break
        memcpy(host, cython.cast(cython.pointer[u8], data) + done, piece)
        done += piece
    return done


def get_user(address: object, type: Scalar = S32) -> tuple:
    """Read a scalar of user memory: (0, value) or (-EFAULT, 0). May sleep."""
    source: u64 = address_of(address)
    nr_bytes: u32 = scalar_bytes(type)
    word: u64 = 0
    done: u64
    enter_sleeping(b"get_user")
    done = copy_word_from_user(source, cython.address(word), nr_bytes)
    leave()
    if done < nr_bytes:
        return -EFAULT, 0
    return 0, value_of(type, word)


def put_user(value: object, address: object, type: Scalar = S32) -> int:
    """Store a scalar to user memory: 0 or -EFAULT. May sleep."""
    target: u64 = address_of(address)
    nr_bytes: u32 = scalar_bytes(type)
    word: u64 = word_of(type, value, "put_user")
    done: u64
    enter_sleeping(b"put_user")
    done = copy_word_to_user(target, cython.address(word), nr_bytes)
    leave()
    return 0 if done == nr_bytes else -EFAULT
