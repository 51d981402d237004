"""Fault injection as its users write it: names and texts of the kernel's files.

`failslab/probability` and its siblings are debugfs files of the kernel, `<pid>/make-it-fail`
and `<pid>/fail-nth` /proc files of each task; here all are read and written by `Machine.proc`
and `proc_write`, and in a task by `smpmm.open("/proc/…")`.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from typing import Any, Final

from cpus import task_cy
from smpmm import fault_cy

DEBUGFS: Final = "/sys/kernel/debug/"
ATTRIBUTE: Final = re.compile(r"(failslab|fail_page_alloc)/([a-z_-]+)")
OF_TASK: Final = re.compile(r"(?:(?:self|\d+)/task/)?(self|\d+)/(make-it-fail|fail-nth)")
YES_NO: Final = {"Y": 1, "y": 1, "1": 1, "N": 0, "n": 0, "0": 0}


def fault_inject(name: str, /, **attributes: int) -> dict[str, int]:
    """Set attributes of `failslab` or `fail_page_alloc`, all or none; returns all of them.

    `ignore_gfp_wait` is the kernel's `ignore-gfp-wait`. ValueError names a bad one. A system
    call; never sleeps.
    """
    fault_cy.set_attributes(name, attributes)
    return fault_cy.attributes(name)


def records(since: int = 0) -> list[dict[str, Any]]:
    """Return the records of `injected`, each with its outcome in words."""
    return [{**one, "outcome": outcome(one)} for one in fault_cy.injected(since)]


def outcome(record: Mapping[str, Any]) -> str:
    """Return in words how the call that got a fault ended, of a record of `injected`."""
    if not record["task"]:
        return "0 to the interrupt"
    error = record["error"]
    if record["call"] is None:
        if not record["ended"]:
            return "0 to the task, which goes on"
        return f"0 to the task, which {f'ended with {error}' if error else 'returned'}"
    if not record["ended"]:
        return f"{record['call']} is under way"
    result = record["result"]
    if error:
        return f"{record['call']} raised {error}"
    if result < 0:
        return f"{record['call']} returned -{errno.errorcode.get(-result, -result)}"
    return f"{record['call']} returned {result}"


def files() -> list[str]:
    """Return the names of the attributes' files."""
    return [f"{name}/{file}" for name in fault_cy.NAMES for file in fault_cy.attributes(name)]


def is_file(name: str) -> bool:
    """Whether fault injection has a file of this name."""
    return _attribute(name) is not None or OF_TASK.fullmatch(name) is not None


def _attribute(name: str) -> tuple[str, str] | None:
    match = ATTRIBUTE.fullmatch(name.removeprefix(DEBUGFS))
    if match is None:
        return None
    kind, file = match[1], fault_cy.file_name(match[2])
    return (kind, file) if file in fault_cy.attributes(kind) else None


def read(name: str) -> str:
    """Return the text of one of the files; ProcessLookupError when there is no such task."""
    found = _attribute(name)
    if found is not None:
        value = fault_cy.attributes(found[0])[found[1]]
        return f"{'NY'[value] if found[1] in fault_cy.SWITCHES else value}\n"
    pid, file = _of_task(name)
    value = fault_cy.make_it_fail if file == "make-it-fail" else fault_cy.fail_nth_left
    return f"{value(pid)}\n"


def write(name: str, text: str) -> None:
    """Write one of the files; OSError EINVAL names what cannot be written."""
    try:
        _write(name, text)
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error)) from None


def _write(name: str, text: str) -> None:
    found = _attribute(name)
    if found is not None:
        kind, file = found
        value = YES_NO.get(text.strip()) if file in fault_cy.SWITCHES else _number(text)
        if value is None:
            raise ValueError(f"{name}: {text.strip()!r} is not {_what(file)}")
        fault_cy.set_attribute(kind, file, value)
        return
    pid, file = _of_task(name)
    value = _number(text)
    if file == "make-it-fail":
        if value not in (0, 1):
            raise ValueError(f"{name}: {text.strip()!r} is not 0 or 1")
        fault_cy.set_make_it_fail(pid, bool(value))
    elif value is None or not 0 <= value < 1 << 32:
        raise ValueError(f"{name}: {text.strip()!r} is not a number from 0 to {(1 << 32) - 1}")
    else:
        fault_cy.set_fail_nth(pid, value)


def _what(file: str) -> str:
    return "Y or N" if file in fault_cy.SWITCHES else "a whole number"


def _number(text: str) -> int | None:
    """Return a number as the kernel reads it: 0x… and a leading 0 tell the base."""
    text = text.strip()
    try:
        return int(text, 8 if re.fullmatch(r"-?0[0-7]+", text) else 0)
    except ValueError:
        return None


def _of_task(name: str) -> tuple[int, str]:
    match = OF_TASK.fullmatch(name)
    if match is None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", f"/proc/{name}")
    pid = task_cy.describe_current()[1] if match[1] == "self" else int(match[1])
    return pid, match[2]
