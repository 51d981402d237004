"""Open files: the system calls, and the file objects of Python over them.

`open` inside a task is the system call on the task's own CPU; `Machine.open` is the same call
from outside, as a task of its own on the least loaded CPU. Both return what Python's own
`open` does: a buffered binary file, a text file, or with buffering=0 the raw one. Large
transfers pass the buffer and are one system call each: the kernel side goes on until all is
written, or the end is read. A position, flags and private_data belong to the open file in the
segment.

Left out: directories, select. `mmap` and `poll` are refused with ENODEV.
"""

from __future__ import annotations

import errno
import io
import os
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

from greenlet import getcurrent

from cpus import channel
from cpus.errors import MachineError
from smpmm import chrdev, file_table_cy, files_cy, registry_cy
from smpmm.fops import operations_at
from smpmm.kdev import MAJOR
from smpmm.mm import user_cy
from smpmm.proc.files import open_proc, proc_read, proc_write  # noqa: F401
from smpmm.syscall import system_call

ERESTARTSYS = 512
ERESTARTNOHAND = 514
BUFFER_BYTES = io.DEFAULT_BUFFER_SIZE
READALL_BYTES = 1 << 16
O_ACCMODE = os.O_ACCMODE


def fail(number: int, path: str = "") -> NoReturn:
    """Raise the OSError of a negative errno; a call to be restarted is an InterruptedError."""
    number = abs(number)
    if ERESTARTSYS <= number <= ERESTARTNOHAND:
        number = errno.EINTR
    raise OSError(number, os.strerror(number), *([path] if path else ()))


# System calls: run as a task, on any CPU. A file is the number of its record and how often
# that has been used. Its record names who must close it: a task, or a client outside, for whom
# the monitor has it closed when he has gone.


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
        result = _operate(file, "open", file.f_inode, file)
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


def _operate(file: files_cy.File, name: str, *arguments: Any, missing: int = 0) -> int:
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
    """Close the file of `owner`: its release operation, then its record. May sleep."""
    file = file_of(handle)
    # Of two who close it one does; if this task's CPU dies, the file is closed as the task's.
    if not file_table_cy.pass_file(file.number, owner, current_owner()):
        fail(errno.EBADF)
    try:
        _operate(file, "release", file.f_inode, file)
    finally:
        file_table_cy.release_file(file.number)


def sys_write(handle: tuple[int, int], data: Any, whole: bool = True) -> int:
    """Write; with `whole` until all is taken or one fails. Returns the count; may sleep."""
    return write_file(file_of(handle), data, whole)


@system_call("write")
def write_file(file: files_cy.File, data: Any, whole: bool) -> int:
    """Write to an open file of this process's task: see `sys_write`."""
    if file.f_flags & O_ACCMODE == os.O_RDONLY:
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
    if file.f_flags & O_ACCMODE == os.O_WRONLY:
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
        position = _operate(file, "llseek", file, offset, whence)
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
        result = _operate(
            file, "ioctl", file.f_inode, file, command, arg & 0xFFFFFFFF, missing=missing
        )
        buffer = None
    else:
        buffer = bytearray(arg)
        address = user_cy.user_map(buffer, True)
        try:
            result = _operate(
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
        for number, generation, owner in file_table_cy.open_files_info():
            if owner == me:
                sys_close((number, generation), me)


def client_exit(client: int) -> None:
    """Close what a client that has gone left open: a kernel task, may sleep."""
    close_files(lambda owner: owner == client, f"client {client:#x}")


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

    for number, generation, owner in file_table_cy.open_files_info():
        if is_gone(owner):
            try:
                sys_close((number, generation), owner)
            except Exception as error:
                event_cy.log(f"smpmm: close of a file of {whose}: {error!r}", 3)


# File objects


# The tasks of this process that have ever opened a file, by their greenlets.
_openers: weakref.WeakSet[Any] = weakref.WeakSet()


class SystemCalls:
    """The system calls of a task, made where it runs."""

    @staticmethod
    def call(name: str, *arguments: Any) -> Any:
        return globals()[name](*arguments)

    @staticmethod
    def owner() -> int:
        """Return who must close a file that is opened now: the running task."""
        return current_owner()


class DeviceFile(io.RawIOBase):
    """An open device: each method is one system call."""

    def __init__(self, path: str, flags: int, calls: Any = SystemCalls) -> None:
        super().__init__()
        self.name = path
        self.flags = flags
        self.mode = {os.O_RDONLY: "rb", os.O_WRONLY: "wb"}.get(flags & O_ACCMODE, "rb+")
        self._calls = calls
        self._handle: tuple[int, int] | None = None
        self._owner = calls.owner()
        self._handle = calls.call("sys_open", path, flags, self._owner)
        # This process's own view of the file; only in a task.
        self._file = file_of(self._handle) if calls is SystemCalls else None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} mode={self.mode!r}>"

    def close(self) -> None:
        """Close the file; the driver's release has run on return."""
        if not self.closed:
            try:
                super().close()
            finally:
                handle, self._handle = self._handle, None
                if handle is not None:
                    self._close(handle)

    def _close(self, handle: tuple[int, int]) -> None:
        try:
            self._calls.call("sys_close", handle, self._owner)
        except MachineError:
            pass  # the machine has ended, and its files with it

    def fileno(self) -> int:
        raise io.UnsupportedOperation("a device of a machine has no descriptor of the host")

    def readable(self) -> bool:
        return self.flags & O_ACCMODE != os.O_WRONLY

    def writable(self) -> bool:
        return self.flags & O_ACCMODE != os.O_RDONLY

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Read once, as much as the driver gives."""
        return self._readinto(buffer, False)

    def _readinto(self, buffer: Any, whole: bool) -> int:
        self._check()
        view = memoryview(buffer).cast("B")
        if self._file is not None:
            return read_file(self._file, view, whole)
        data = self._calls.call("sys_read", self._handle, len(view), whole)
        view[: len(data)] = data
        return len(data)

    def read_whole(self, count: int) -> bytes:
        """Read `count` bytes, fewer only at the end: one system call."""
        self._check()
        if self._file is None:
            return self._calls.call("sys_read", self._handle, count, True)
        buffer = bytearray(count)
        done = read_file(self._file, buffer, True)
        return bytes(buffer) if done == count else bytes(memoryview(buffer)[:done])

    def readall(self) -> bytes:
        """Read to the end: one system call."""
        self._check()
        return self._calls.call("sys_readall", self._handle)

    def write(self, data: Any) -> int:
        """Write once, as much as the driver takes."""
        return self._write(data, False)

    def write_whole(self, data: Any) -> int:
        """Write all: one system call. Returns less only when a later part failed."""
        return self._write(data, True)

    def _write(self, data: Any, whole: bool) -> int:
        self._check()
        if self._file is not None:
            if type(data) is not bytes:
                data = memoryview(data).cast("B")
            return write_file(self._file, data, whole)
        return self._calls.call("sys_write", self._handle, bytes(data), whole)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._check()
        return self._calls.call("sys_llseek", self._handle, offset, whence)

    def tell(self) -> int:
        return self.seek(0, 1)

    def truncate(self, size: int | None = None) -> int:
        fail(errno.EINVAL, self.name)

    def ioctl(self, command: int, arg: Any = 0) -> int:
        """Control the device. An integer `arg` is a value; a writable buffer is memory at
        `arg`,
        copied in before and out after; bytes are copied in only."""
        self._check()
        sent = arg if isinstance(arg, int) else bytes(arg)
        result, after = self._calls.call("sys_ioctl", self._handle, command, sent)
        if after is not None:
            view = memoryview(arg)
            if not view.readonly:
                view.cast("B")[:] = after
        return result

    def mmap(self, length: int) -> NoReturn:
        fail(errno.ENODEV, self.name)

    def poll(self) -> NoReturn:
        fail(errno.ENODEV, self.name)

    def _check(self) -> None:
        if self._handle is None:
            raise ValueError("I/O operation on closed file")


class _Ioctl:
    """What a buffered device has beside an ordinary file."""

    raw: Any  # a DeviceFile

    def ioctl(self, command: int, arg: Any = 0) -> int:
        """Control the device: see DeviceFile.ioctl. What is buffered is written first."""
        self.flush()  # type: ignore[attr-defined]
        return self.raw.ioctl(command, arg)

    def mmap(self, length: int) -> None:
        self.raw.mmap(length)

    def poll(self) -> None:
        self.raw.poll()


class DeviceReader(_Ioctl, io.BufferedReader):
    """A device open for reading."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < BUFFER_BYTES:
            return super().read(size)
        head = super().read1(size)
        # What read1 gave emptied the buffer unless it was all that was asked for.
        if not head or len(head) == size:
            return head
        return head + self.raw.read_whole(size - len(head))


class DeviceWriter(_Ioctl, io.BufferedWriter):
    """A device open for writing."""

    def write(self, data: Any, /) -> int:
        if len(data) < BUFFER_BYTES:
            return super().write(data)
        self.flush()
        return self.raw.write_whole(data)


class DeviceRandom(_Ioctl, io.BufferedRandom):
    """A device open for both."""


def open_flags(mode: str) -> int:
    """Return the O_* flags of a mode of Python's `open`."""
    kinds = [letter for letter in mode if letter in "rwax"]
    if len(kinds) != 1 or set(mode) - set("rwax+bt") or {"b", "t"} <= set(mode):
        raise ValueError(f"invalid mode: {mode!r}")
    access = os.O_RDONLY if kinds == ["r"] else os.O_WRONLY
    if "+" in mode:
        access = os.O_RDWR
    made = {
        "r": 0,
        "w": os.O_CREAT | os.O_TRUNC,
        "a": os.O_CREAT | os.O_APPEND,
        "x": os.O_CREAT | os.O_EXCL,
    }
    return access | made[kinds[0]]


def open(
    path: str,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    *,
    calls: Any = SystemCalls,
) -> Any:
    """Open a device of the machine, in a task; arguments and result as of Python's own."""
    path = os.fspath(path)
    flags = open_flags(mode)
    if path.startswith("/proc/"):
        return open_proc(path, mode, encoding, errors, newline, calls)
    if "b" not in mode and buffering == 0:
        raise ValueError("can't have unbuffered text I/O")
    raw = DeviceFile(path, flags, calls)
    if buffering == 0:
        return raw
    size = buffering if buffering > 1 else BUFFER_BYTES
    try:
        if flags & O_ACCMODE == os.O_RDWR:
            buffered: Any = DeviceRandom(raw, size)
        elif raw.writable():
            buffered = DeviceWriter(raw, size)
        else:
            buffered = DeviceReader(raw, size)
        if "b" in mode:
            return buffered
        return io.TextIOWrapper(buffered, encoding, errors, newline, buffering == 1)
    except BaseException:
        raw.close()
        raise


def current_owner() -> int:
    """Return the pid of the running task."""
    from cpus import task_cy

    return task_cy.describe_current()[1]
