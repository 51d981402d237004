"""Calling smpmm: in a pipe, and on a terminal of its own."""

import os
import pty
import subprocess
import sys
from pathlib import Path

from tests.house.tree import ROOT

# In a tree that is not installed, `smpmm_tools` is the folder `tools`.
SEARCH = f"{ROOT}{os.pathsep}{ROOT / 'build' / 'include'}"
COMMAND = (sys.executable, "-m", "smpmm_tools")


def environment(**extra: str) -> dict[str, str]:
    own = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM", "COLUMNS")}
    return {**own, "PYTHONPATH": SEARCH, "TERM": "xterm", "COLUMNS": "160", **extra}


def smpmm(*words: str, cwd: Path | None = None, timeout: float = 60, **extra: str):
    """Run a command in a pipe; returns code, output and error output."""
    done = subprocess.run(
        [*COMMAND, *words], cwd=cwd, env=environment(**extra), text=True, capture_output=True,
        timeout=timeout, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def smpmm_on_terminal(*words: str, cwd: Path | None = None, **extra: str) -> tuple[int, str]:
    """Run a command on a pseudo-terminal; returns code and everything that it showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *words], cwd=cwd, env=environment(**extra),
        stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the last process of that terminal has closed it
            break
        if not part:
            break
        shown += part
    os.close(ours)
    return process.wait(), shown.decode("utf-8", "replace")
