"""`smpmm proc`: a /proc file of a run, or of a machine that has just booted."""

import sys
from typing import Any

import click

from smpmm_tools import gather, runs


def main(name: str, run_name: str | None, options: dict[str, Any]) -> int:
    """Print the file; wrong names are wrong usage, and say which there are."""
    name = name.removeprefix("/proc/")
    if run_name is not None:
        run = runs.find(run_name)
        if name not in run.proc_names():
            raise unknown(name, f"run {run}", run.proc_names())
        sys.stdout.write(run.read(f"proc/{name}"))
        return 0
    from smpmm import Machine

    with Machine(**gather.machine_options(options)) as machine:
        text = gather.read_proc(machine, name)
        if text is None:
            raise unknown(name, "a machine that has just booted", gather.proc_names(machine))
    sys.stdout.write(text)
    return 0


def unknown(name: str, where: str, names: list[str]) -> click.UsageError:
    return click.UsageError(f"no /proc/{name} in {where}; there are {', '.join(names)}")
