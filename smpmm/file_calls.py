"""The system calls on files: run as a task, on any CPU.

A file is the number of its record and how often that has been used. Its record names who must
close it: a task, or an open of a client outside (its number, and which of its opens), for whom
the monitor has it closed when he has gone. A client whom a CPU's death keeps from knowing what
became of his open or close has whatever is open by that name closed.
"""

from __future__ import annotations

import errno
import io
import os
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

from greenlet import getcurrent

from cpus import channel, host_cy
from smpmm import chrdev, file_table_cy, files_cy, registry_cy, symbols
from smpmm.fops import operations_at
from smpmm.kdev import MAJOR
from smpmm.mm import user_cy
from smpmm.proc.files import proc_read, proc_write  # noqa: F401  of SystemCalls too
from smpmm.syscall import system_call

ERESTARTSYS = 512
ERESTARTNOHAND = 514
READALL_BYTES = 1 << 16
MAPPING = 1 << 40  # in f_flags of a record: it is a mapping's

# The tasks of this process that have ever opened a file, by their greenlets.
_openers: weakref.WeakSet[Any] = weakref.WeakSet()


def fail(number: int, path: str = "") -> NoReturn:
    """Raise the OSError of a negative errno; a call to be restarted is an InterruptedError."""
    number = abs(number)
    if ERESTARTSYS <= number <= ERESTARTNOHAND:
        number = errno.EINTR
    raise OSError(number, os.strerror(number), *([path] if path else ()))


@system_call("open")
def sys_open(path: str, flags: int, owner: int) -> tuple[int, int]:
    """Open a device node; returns the file. `owner` is who must close it. May sleep."""
    _openers.add(getcurrent())
    i_rdev = chrdev.lookup(path)
    info = registry_cy.chrdev_info(MAJOR(i_rdev))
    if info is None:
        fail(errno.ENODEV, path)
    _name, fops, serial = info
    # Until the open is through it is this task's to close: its CPU may die.
    opener = current_owner()
    number = file_table_cy.claim_file(opener, flags, i_rdev, fops, serial)
    if number < 0:
        fail(errno.ENFILE if number == -1 else errno.ENODEV, path)
    try:
        file = files_cy.File(number)
        result = operate(file, "open", file.f_inode, file)
    except BaseException:
        file_table_cy.release_file(number)
        raise
    if result:
        file_table_cy.release_file(number)
        fail(result, path)
    file_table_cy.pass_file(number, opener, owner)
    return number, file.generation


def file_of(handle: tuple[int, int]) -> files_cy.File:
    """Return the open file of a handle; OSError EBADF when it is closed."""
    file = files_cy.File(handle[0])
    if file.generation != handle[1]:
        fail(errno.EBADF)
    return file


def operate(file: files_cy.File, name: str, *arguments: Any, missing: int = 0) -> int:
    """Call one of a file's operations as kernel code."""
    function = getattr(operations_at(file.f_op), name)
    if function is None:
        return missing
    files_cy.begin_kernel()
    try:
        return function(*arguments)
    finally:
        files_cy.end_kernel()


@system_call("close")
def sys_close(handle: tuple[int, int], owner: int) -> None:
    """Close the file of `owner`: its release operation, then its record. May sleep.

    A mapping ends in the same way.
    """
    file = file_of(handle)
    # Of two who close it one does; if this task's CPU dies, the file is closed as the task's.
    if not file_table_cy.pass_file(file.number, owner, current_owner()):
        fail(errno.EBADF)
    try:
        if file.f_flags & MAPPING:
            from smpmm import mmap_calls

            mmap_calls.unmap(file)
        else:
            operate(file, "release", file.f_inode, file)
    finally:
        file_table_cy.release_file(file.number)


@system_call("close")
def sys_forget(owner: int) -> None:
    """Close what the open of a client left, if anything: he does not know. May sleep."""
    close_files(lambda each: each == owner, f"client {owner & channel.CLIENT_MASK:#x}")


def sys_write(handle: tuple[int, int], data: Any, whole: bool = True) -> int:
    """Write; with `whole` until all is taken or one fails. Returns the count; may sleep."""
    return write_file(file_of(handle), data, whole)


@system_call("write")
def write_file(file: files_cy.File, data: Any, whole: bool) -> int:
    """Write to an open file of this process's task: see `sys_write`."""
    if file.f_flags & os.O_ACCMODE == os.O_RDONLY:
        fail(errno.EBADF)
    function = operations_at(file.f_op).write
    if function is None:
        fail(errno.EINVAL)
    address = user_cy.user_map(data)
    try:
        done = files_cy.transfer(file, function, address, len(data), whole)
    finally:
        user_cy.user_unmap(address)
    if done < 0:
        fail(done)
    return done


def sys_read(handle: tuple[int, int], count: int, whole: bool = False) -> bytes:
    """Read up to `count` bytes; with `whole` until they are there or the end is. May sleep."""
    buffer = bytearray(count)
    done = read_file(file_of(handle), buffer, whole)
    del buffer[done:]
    return bytes(buffer)


@system_call("read")
def sys_readall(handle: tuple[int, int]) -> bytes:
    """Read from the position to the end."""
    file = file_of(handle)
    # One buffer for all: fresh host memory costs more than the copy into it.
    buffer = bytearray(READALL_BYTES)
    with memoryview(buffer) as view, io.BytesIO() as data:
        while True:
            done = read_file(file, view, True)
            data.write(view[:done])
            if done < READALL_BYTES:
                return data.getvalue()


@system_call("read")
def read_file(file: files_cy.File, buffer: Any, whole: bool) -> int:
    """Read into a writable buffer of this process's task: see `sys_read`."""
    if file.f_flags & os.O_ACCMODE == os.O_WRONLY:
        fail(errno.EBADF)
    function = operations_at(file.f_op).read
    if function is None:
        fail(errno.EINVAL)
    address = user_cy.user_map(buffer, True)
    try:
        done = files_cy.transfer(file, function, address, len(buffer), whole)
    finally:
        user_cy.user_unmap(address)
    if done < 0:
        fail(done)
    return done


@system_call("llseek")
def sys_llseek(handle: tuple[int, int], offset: int, whence: int) -> int:
    """Move the position; returns it. Without an llseek of the driver's the kernel's own."""
    file = file_of(handle)
    if operations_at(file.f_op).llseek is not None:
        position = operate(file, "llseek", file, offset, whence)
    elif whence in (0, 1):
        position = offset + (file.f_pos if whence else 0)
        if position >= 0:
            file.f_pos = position
        else:
            position = -errno.EINVAL
    else:
        position = -errno.EINVAL
    if position < 0:
        fail(position)
    return position


@system_call("ioctl")
def sys_ioctl(handle: tuple[int, int], command: int, arg: Any) -> tuple[int, bytes | None]:
    """Control a device; returns its result, and what became of a buffer `arg`."""
    file = file_of(handle)
    command &= 0xFFFFFFFF
    missing = -errno.ENOTTY
    if isinstance(arg, int):
        result = operate(
            file, "ioctl", file.f_inode, file, command, arg & 0xFFFFFFFF, missing=missing
        )
        buffer = None
    else:
        buffer = bytearray(arg)
        address = user_cy.user_map(buffer, True)
        try:
            result = operate(
                file, "ioctl", file.f_inode, file, command, address, missing=missing
            )
        finally:
            user_cy.user_unmap(address)
    if result < 0:
        fail(result)
    return result, None if buffer is None else bytes(buffer)


def task_exit() -> None:
    """Close what the task that ends left open: called in its greenlet."""
    if getcurrent() in _openers:
        me = current_owner()
        files = file_table_cy.open_files_info()
        for number, generation, owner in sorted(files, key=is_file):
            if owner == me:
                sys_close((number, generation), me)


def client_exit(client: int) -> None:
    """Close what a client that has gone left open: a kernel task, may sleep."""
    close_files(lambda owner: owner & channel.CLIENT_MASK == client, f"client {client:#x}")


def recover(slot: int, kind: int, cpu: int) -> None:
    """Close the files of tasks that died with their CPU: a kernel task, may sleep.

    One task closes a file: it makes the file its own first, so that the next recovery closes
    it if this task's CPU dies too.
    """
    from cpus import task_cy

    alive = {record["pid"] for record in task_cy.all_tasks()}
    close_files(
        lambda owner: owner < channel.FIRST_CLIENT and owner not in alive, f"slot {slot}"
    )


def close_files(is_gone: Callable[[int], bool], whose: str) -> None:
    """Close the files whose owner has gone; a close that fails is logged. May sleep."""
    from cpus import event_cy

    files = file_table_cy.open_files_info()
    for number, generation, owner in sorted(files, key=is_file):  # mappings first
        if is_gone(owner):
            try:
                sys_close((number, generation), owner)
            except Exception as error:
                event_cy.log(f"smpmm: close of a file of {whose}: {error!r}", 3)


def is_file(info: tuple[int, int, int]) -> bool:
    """Whether a record is no mapping's: files are closed after those."""
    return not file_table_cy.file_flags(info[0]) & MAPPING


class SystemCalls:
    """The system calls of a task, made where it runs."""

    @staticmethod
    def call(name: str, *arguments: Any) -> Any:
        if name in ("sys_mmap", "sys_fault"):
            from smpmm import mmap_calls

            return getattr(mmap_calls, name)(*arguments)
        return globals()[name](*arguments)

    @staticmethod
    def owner() -> int:
        """Return who must close a file that is opened now: the running task."""
        return current_owner()

    @staticmethod
    def forget(owner: int) -> None:
        """Close what `owner` may have open; a task does so when it ends."""

    @staticmethod
    def segment() -> tuple[int, int]:
        """Return the segment's descriptor in this process, and the bytes of a page."""
        return host_cy.segment_descriptor(), 1 << symbols.resolve("PAGE_SHIFT")


def current_owner() -> int:
    """Return the pid of the running task."""
    from cpus import task_cy

    return task_cy.describe_current()[1]
