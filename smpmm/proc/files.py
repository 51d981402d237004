"""/proc files as Python files: what `open` returns for a path below /proc."""

from __future__ import annotations

import errno
import io
import os
from typing import Any, Final

from cpus import capability_cy
from smpmm.proc import registry
from smpmm.syscall import system_call

CAP_DAC_OVERRIDE: Final = 1  # passes over the modes of files


class ProcWriter(io.BytesIO):
    """A /proc file open for writing: it is written when it is closed."""

    def __init__(self, name: str, calls: Any) -> None:
        super().__init__()
        self._name = name
        self._calls = calls

    def close(self) -> None:
        if not self.closed:
            text = self.getvalue().decode()
            super().close()
            self._calls.call("proc_write", self._name, text)


def open_proc(
    path: str,
    mode: str,
    encoding: str | None,
    errors: str | None,
    newline: str | None,
    calls: Any,
) -> Any:
    """Open a /proc file: its text at this moment."""
    name = path.removeprefix("/proc/")
    if "+" in mode:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
    if "r" in mode:
        file: Any = io.BytesIO(calls.call("proc_read", name).encode())
    else:
        file = ProcWriter(name, calls)
    return file if "b" in mode else io.TextIOWrapper(file, encoding, errors, newline)


@system_call("read")
def proc_read(name: str) -> str:
    """Return a /proc file; the body of a system call."""
    return registry.read(name)


@system_call("write")
def proc_write(name: str, text: str) -> None:
    """Write a /proc file; the body of a system call. Its owner, the superuser, may."""
    if not capability_cy.capable(CAP_DAC_OVERRIDE):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), f"/proc/{name}")
    registry.write(name, text)
