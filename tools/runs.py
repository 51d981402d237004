"""Run directories: what a run leaves, and how the tools find it again.

./smpmm-runs/<id>/          0700, of the user who ran it
    config.json             what was asked: command, machine, seed, the command to repeat it
    result.json             what was measured: report.txt is rendered from it
    lock_stat.json          lock statistics at the end of the load
    report.txt              the report as it was printed
    dmesg.txt               the kernel log
    proc/                   /proc files, as the machine had them before it was taken down
    events.jsonl            events, one JSON object in a line
./smpmm-runs/latest         a link to the newest
"""

import json
import os
import time
from pathlib import Path
from typing import Any, Final

DEFAULT_PARENT: Final = "smpmm-runs"
LATEST: Final = "latest"


class NoSuchRun(Exception):
    """There is no run directory of this name."""


class NoPlace(Exception):
    """A run directory cannot be made."""


class Run:
    """A run directory."""

    def __init__(self, path: Path):
        self.path = path

    def __str__(self) -> str:
        return min(os.path.relpath(self.path), str(self.path), key=len)

    def write(self, name: str, text: str) -> None:
        """Write a file of the run, whole or not at all."""
        target = self.path / name
        target.parent.mkdir(exist_ok=True)
        new = target.with_name(target.name + ".new")
        new.write_text(text)
        new.replace(target)

    def write_json(self, name: str, value: Any) -> None:
        self.write(name, json.dumps(value, indent=1) + "\n")

    def read(self, name: str) -> str:
        """Return the text of a file; NoSuchRun names what is missing."""
        try:
            return (self.path / name).read_text()
        except OSError as error:
            raise NoSuchRun(f"run {self}: {name}: {error.strerror}") from None

    def read_json(self, name: str) -> Any:
        return json.loads(self.read(name))

    def proc_names(self) -> list[str]:
        """Return the names of the /proc files that the run kept."""
        top = self.path / "proc"
        return sorted(str(p.relative_to(top)) for p in top.rglob("*") if p.is_file())


def create(command: str, parent: str = DEFAULT_PARENT) -> Run:
    """Make the directory of a new run below `parent`; NoPlace says why it cannot be."""
    top = Path(parent)
    try:
        top.mkdir(parents=True, exist_ok=True)
        return make(top, command)
    except OSError as error:
        raise NoPlace(f"no directory for a run in {parent}: {error.strerror}") from None


def make(top: Path, command: str) -> Run:
    """Make the directory of a new run in `top` and point `latest` at it."""
    name = f"{command}-{time.strftime('%Y%m%d-%H%M%S')}"
    for suffix in ("", *(f"-{n}" for n in range(2, 1000))):
        path = top / (name + suffix)
        try:
            path.mkdir(mode=0o700)
            break
        except FileExistsError:
            continue
    link = top / f".{LATEST}.{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(path.name)
    link.replace(top / LATEST)
    return Run(path.absolute())


def find(name: str | None = None, parent: str = DEFAULT_PARENT) -> Run:
    """Return the run called `name`: a path, an id below `parent`, None for the latest."""
    wanted = name or LATEST
    for path in (Path(wanted), Path(parent) / wanted):
        if (path / "config.json").is_file():
            return Run(path.resolve())
    if name is None:
        raise NoSuchRun(f"no run in ./{parent}: start one with smpmm stress")
    raise NoSuchRun(f"no run {name!r}: neither a run's directory nor in ./{parent}")
