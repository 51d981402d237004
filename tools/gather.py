"""What the tools ask of a machine, and what they make of its events: records, no text."""

import bisect
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from smpmm import fault
from smpmm_tools import runs
from smpmm_tools.findings import Finding, exception_text

OPTION_NAMES = ("cpus", "mem", "kernel", "cmdline", "disk", "seed", "on_bug")


def machine_options(options: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    """Return the keyword arguments of a `Machine`; what was not given is left to it."""
    given = {name: options[name] for name in OPTION_NAMES if options.get(name) is not None}
    return {**defaults, **given}


def config_record(config: Any) -> dict[str, Any]:
    """Return a machine's configuration as plain values."""
    return json.loads(json.dumps(asdict(config), default=str))


def read_proc(machine: Any, name: str) -> str | None:
    """Return a /proc file, None when the machine has none of this name."""
    try:
        return machine.proc(name)
    except FileNotFoundError:
        return None


def proc_names(machine: Any) -> list[str]:
    return machine.run("smpmm.proc.registry:ls")


def save_proc(machine: Any, run: runs.Run) -> dict[str, str]:
    """Save every /proc file in the run's directory; returns those that could not be read."""
    failed = {}
    for name in proc_names(machine):
        try:
            run.write(f"proc/{name}", machine.proc(name))
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"
    return failed


def remove_module(machine: Any, name: str) -> list[str]:
    """Remove a module; returns a line for each thing that it did not free."""
    report = machine.rmmod(name)
    return [f"{name}: {leak}" for leak in report.leaks] if report else []


SHORT_IRQ: Final = 7  # the line of the driver `short`


def start_interrupts(machine: Any, rate: int, seed: int) -> None:
    """Have the synthetic device raise the line of `short`, `rate` times a second."""
    if rate:
        machine.start_synthetic(SHORT_IRQ, rate, seed)


def stop_interrupts(machine: Any) -> None:
    machine.stop_synthetic(SHORT_IRQ)


def check(machine: Any, found: list[Finding]) -> str:
    """Walk every invariant; returns the verdict, and adds what is broken."""
    try:
        machine.check()
    except Exception as error:
        found.append(
            Finding(
                "corruption",
                f"check(): {type(error).__name__}: {error}",
                exception_text(error),
            )
        )
        return "broken"
    return "clean"


# Events


def events(run: runs.Run, cpus: int) -> Iterator[dict[str, Any]]:
    """Yield the events that were kept, CPU by CPU."""
    for cpu in range(cpus):
        path = run.path / f"events.cpu{cpu}"
        if path.exists():
            with open(path) as file:
                for line in file:
                    if line.endswith("\n"):  # a CPU that died may have left half a line
                        yield json.loads(line)


def merge_events(run: runs.Run, cpus: int, endings: dict[tuple[str, int, int], Any]) -> None:
    """Write events.jsonl in the order of time; each fault with how it ended."""
    every = sorted(events(run, cpus), key=lambda event: event["ns"])
    with open(run.path / "events.jsonl", "w") as file:
        for event in every:
            event.update(endings.get((event["type"], event["cpu"], event["number"]), {}))
            file.write(json.dumps(event) + "\n")
    for cpu in range(cpus):
        (run.path / f"events.cpu{cpu}").unlink(missing_ok=True)


def attribute_faults(
    run: runs.Run, results: list[dict[str, Any]], cpus: int
) -> dict[str, Any]:
    """Say of each injected fault who got it, where, and how the call that got it ended.

    `total` counts those too that the files of the CPUs had no room for (`cut`); `missed` were
    overwritten before a CPU's task read them, whichever CPU got them.
    """
    followers = [one for one in results if one["kind"] == "events"]
    cut = sum(one["cut"].get("fault", 0) for one in followers)
    tasks = {one["pid"]: one for one in results if "pid" in one}
    rows: Counter[tuple[str, str, str, str]] = Counter()
    kinds: Counter[str] = Counter()
    endings: dict[tuple[str, int, int], Any] = {}
    in_driver_calls = 0
    for event in events(run, cpus):
        if event["type"] != "fault":
            continue
        kinds[event["name"]] += 1
        who, call, ending = ending_of(event, tasks)
        in_driver_calls += who == "copier"
        rows[who, event["stack"][0], call, ending] += 1
        endings["fault", event["cpu"], event["number"]] = {
            "who": who, "call": call, "ending": ending,
        }  # fmt: skip
    merge_events(run, cpus, endings)
    return {
        "total": sum(kinds.values()) + cut,
        "cut": cut,
        "missed": max((one["faults_missed"] for one in followers), default=0),
        "kinds": dict(kinds),
        "in_driver_calls": in_driver_calls,
        "rows": [[*key, count] for key, count in rows.most_common()],
    }


def ending_of(event: dict[str, Any], tasks: dict[int, Any]) -> tuple[str, str, str]:
    """Return (who, which call of theirs, how that call ended) for a fault."""
    if not event["task"]:
        return "handler", "interrupt", "record dropped and counted"
    task = tasks.get(event["task"])
    if task is None:
        return event["comm"], *by_record(event)
    if task["kind"] in ("churn", "disk"):
        return task["kind"], "allocation", "0 to the caller, counted"
    faulted = task.get("faulted", ())
    at = bisect.bisect_right(faulted, event["ns"], key=lambda call: call[0]) - 1
    if at >= 0 and faulted[at][0] <= event["ns"] <= faulted[at][1]:
        return "copier", faulted[at][2], faulted[at][3]
    return task["kind"], *by_record(event)


def by_record(event: dict[str, Any]) -> tuple[str, str]:
    """Return (which call, how it ended) as the machine itself has recorded it."""
    if event["call"] is None:
        return "-", "0 to the task"
    return event["call"], fault.outcome(event)
