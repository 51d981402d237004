"""Open files: the file objects of Python over the system calls.

`open` inside a task is the system call on the task's own CPU; `Machine.open` is the same call
from outside, as a task of its own on the least loaded CPU. Both return what Python's own
`open` does: a buffered binary file, a text file, or with buffering=0 the raw one. Large
transfers pass the buffer and are one system call each: the kernel side goes on until all is
written, or the end is read. A position, flags and private_data belong to the open file in the
segment.

Left out: directories, select. `poll` is refused with ENODEV.
"""

from __future__ import annotations

import errno
import io
import os
from typing import TYPE_CHECKING, Any, NoReturn

from cpus.errors import CpuDied, MachineError
from smpmm.file_calls import SystemCalls, fail, file_of, read_file, write_file
from smpmm.proc.files import open_proc

if TYPE_CHECKING:
    from smpmm.mapping import Mapping

BUFFER_BYTES = io.DEFAULT_BUFFER_SIZE
O_ACCMODE = os.O_ACCMODE


class DeviceFile(io.RawIOBase):
    """An open device: each method is one system call."""

    def __init__(self, path: str, flags: int, calls: Any = SystemCalls) -> None:
        super().__init__()
        self.name = path
        self.flags = flags
        self.mode = {os.O_RDONLY: "rb", os.O_WRONLY: "wb"}.get(flags & O_ACCMODE, "rb+")
        self._calls = calls
        self._handle: tuple[int, int] | None = None
        self._nr_mappings = 0
        self._owner = calls.owner()
        try:
            self._handle = calls.call("sys_open", path, flags, self._owner)
        except CpuDied:
            calls.forget(self._owner)
            raise
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
                # A file that is mapped stays open, as in the kernel, until it is no more.
                if self._handle is not None and not self._nr_mappings:
                    handle, self._handle = self._handle, None
                    self._end(handle, self._owner)

    def _end(self, handle: tuple[int, int], owner: int) -> None:
        """Close a record in the machine: the file's own or that of a mapping."""
        try:
            self._calls.call("sys_close", handle, owner)
        except CpuDied:
            self._calls.forget(owner)
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

    def mmap(self, length: int, offset: int = 0) -> Mapping:
        """Return the device's memory itself, shared and without a copy: see Mapping.

        OSError ENODEV when the driver does not map, EACCES when the file is open for writing
        only, EINVAL for an offset that is no page's.
        """
        from smpmm.mapping import Mapping

        self._check()
        mapping = Mapping(self, self._calls, length, offset)
        self._nr_mappings += 1
        return mapping

    def _unmapped(self, mapping: Mapping, handle: tuple[int, int], owner: int) -> None:
        """A mapping ends, and with the last one a file that was closed before."""
        self._nr_mappings -= 1
        self._end(handle, owner)
        if self.closed and not self._nr_mappings and self._handle is not None:
            handle, self._handle = self._handle, None
            self._end(handle, self._owner)

    def poll(self) -> NoReturn:
        fail(errno.ENODEV, self.name)

    def _check(self) -> None:
        if self._handle is None or self.closed:
            raise ValueError("I/O operation on closed file")


class _Ioctl:
    """What a buffered device has beside an ordinary file."""

    raw: Any  # a DeviceFile

    def ioctl(self, command: int, arg: Any = 0) -> int:
        """Control the device: see DeviceFile.ioctl. What is buffered is written first."""
        self.flush()  # type: ignore[attr-defined]
        return self.raw.ioctl(command, arg)

    def mmap(self, length: int, offset: int = 0) -> Mapping:
        """Return the device's memory itself: see DeviceFile.mmap. What is buffered is written
        first."""
        self.flush()  # type: ignore[attr-defined]
        return self.raw.mmap(length, offset)

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
