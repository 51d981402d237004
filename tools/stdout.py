"""Standard output that says of itself when it takes no more, as a full disk does."""

import errno
import io
import os
import sys
from typing import Any


class WriteError(Exception):
    """Standard output took no more; the text is the host's reason."""


class _Text(io.TextIOWrapper):
    pass


class _Descriptor(io.FileIO):
    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:  # whoever reads has seen enough: no failure
            raise
        except OSError as error:
            raise WriteError(error.strerror) from None


def watch() -> None:
    """Have `sys.stdout` raise WriteError, unless somebody has put another in its place."""
    plain: Any = sys.stdout
    if plain is None:  # the shell's `>&-`
        raise WriteError(os.strerror(errno.EBADF))
    if id(plain) != id(sys.__stdout__) or type(plain) is _Text:
        return
    plain.flush()
    text = _Text(
        io.BufferedWriter(_Descriptor(plain.fileno(), "wb", closefd=False)),
        encoding=plain.encoding,
        errors=plain.errors,
        line_buffering=plain.line_buffering,
        write_through=plain.write_through,
    )
    sys.stdout = sys.__stdout__ = text  # type: ignore[misc]


def drop() -> None:
    """Let what is still to be written go nowhere: the interpreter writes it at its end."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
