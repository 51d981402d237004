"""Files and directories for a while, as `tempfile` makes them, in the monitor before it forks.

Every CPU would share what `tempfile` imports, for two calls.
"""

import os
from collections.abc import Iterator
from typing import BinaryIO

ATTEMPTS = 100  # names, in one directory


def parents() -> Iterator[str]:
    """Yield the directories in which something may be made, the preferred ones first."""
    for name in ("TMPDIR", "TEMP", "TMP"):
        if path := os.environ.get(name):
            yield os.path.abspath(path)
    yield from ("/tmp", "/var/tmp", "/usr/tmp", os.getcwd())


def make_directory(prefix: str, parent: str | None = None) -> str:
    """Make a directory for this user only; OSError when no place allows it."""
    refused: OSError | None = None
    for base in (parent,) if parent else parents():
        for _ in range(ATTEMPTS):
            path = os.path.join(base, prefix + os.urandom(6).hex())
            try:
                os.mkdir(path, 0o700)
                return path
            except FileExistsError:
                continue
            except OSError as error:
                refused = error
                break
    raise OSError(f"no directory {prefix}* can be made: {refused}")


def make_file(prefix: str) -> BinaryIO:
    """Return a new nameless file, for this user only; OSError when no place allows it."""
    refused: OSError | None = None
    flags = os.O_RDWR | os.O_EXCL | os.O_CLOEXEC
    for base in parents():
        path = os.path.join(base, prefix + os.urandom(6).hex())
        try:
            return os.fdopen(os.open(base, flags | os.O_TMPFILE, 0o600), "r+b")
        except OSError:  # a file system without nameless files
            pass
        try:
            fd = os.open(path, flags | os.O_CREAT, 0o600)
        except OSError as error:
            refused = error
            continue
        os.unlink(path)
        return os.fdopen(fd, "r+b")
    raise OSError(f"no file {prefix}* can be made: {refused}")
