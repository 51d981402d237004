"""Findings of a run: what the machine said of kernel code, and what the tool itself saw.

The kernel log is where every report ends up, whichever task, handler or thread broke the
rule. A report has several lines; the last one names its class.
"""

import re
import traceback
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

REPORT_END: Final = re.compile(r"^\[(\w+); Linux [\w.]+ here: ")
LEAKS: Final = re.compile(r"^rmmod (\S+): not freed:$")
PANIC: Final = "Kernel panic: "
STAMP: Final = re.compile(r"^\[ *(\d+\.\d+)\] ")


@dataclass(frozen=True)
class Finding:
    """Something that is wrong: the class of the report or `leak`, `corruption`, `digest` …"""

    kind: str
    summary: str
    text: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def from_log(dmesg: str) -> list[Finding]:
    """Return the reports of a kernel log, oldest first, and what rmmod names as not freed."""
    found: list[Finding] = []
    report: list[str] = []
    leaking = ""
    for stamped in dmesg.splitlines():
        line = STAMP.sub("", stamped)
        if match := LEAKS.match(line):
            leaking = f"{match[1]}: "
            continue
        if leaking and line.startswith(leaking):
            found.append(Finding("leak", line))
            continue
        if is_title(line):
            report = [line]
        elif report:
            report.append(line)
        if line.startswith(PANIC):
            found.append(Finding("KernelPanic", line))
            report = []
        elif match := REPORT_END.match(line):
            summary = report[0] if report else line
            found.append(Finding(match[1], summary, "\n".join(report or [line])))
            report = []
    return found


TITLES: Final = (
    "BUG: ",
    "kernel BUG at ",
    "Unable to handle kernel ",
    "slab error in ",
    "kfree",
    "kmem_cache_",
)


def is_title(line: str) -> bool:
    return line.startswith(TITLES)


def exception_text(error: BaseException) -> str:
    """Return an exception with its traceback, that of the other process included."""
    return "".join(traceback.format_exception(error))


def of_exception(where: str, error: BaseException) -> Finding:
    """Return the finding of an exception that ended a task: a KernelBug carries its report."""
    kind = type(error).__name__
    first = (str(error).splitlines() or [""])[0]
    text = getattr(error, "report", None) or exception_text(error)
    return Finding(kind, f"{where}: {first}" if first else where, text)


def unique(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings without repetitions of kind and summary, in order."""
    return list({(one.kind, one.summary): one for one in findings}.values())
