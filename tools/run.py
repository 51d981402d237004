"""`smpmm run`: a workload of the user's own, and what the machine had to say of it.

The file is executed on the host under a name of its own, so its functions travel by value.
Its `main(*args)` is run as a task on CPU 0; if it has `host_main(machine)`, that is called
here instead.
"""

import inspect
import shlex
import sys
import types
from pathlib import Path
from typing import Any, Final

import click

from cpus.errors import KernelBug, SmpmmError
from smpmm_tools import findings, gather, output, report, runs
from smpmm_tools.findings import Finding
from smpmm_tools.sigint import Interrupts

MODULE: Final = "smpmm_workload"
NOT_RUN_BY_A_CALL: Final = {
    "a generator function": inspect.isgeneratorfunction,
    "an async function": inspect.iscoroutinefunction,
    "an async generator function": inspect.isasyncgenfunction,
}


def main(options: dict[str, Any]) -> int:
    """Run the workload; returns 1 when the machine found something."""
    path, _, function = options["target"].partition(":")
    workload = load(path)
    call = choose(workload, path, function)
    return perform(options, path, workload, call)


def load(path: str) -> types.ModuleType:
    """Execute the file as a module; an error in it is wrong usage, with its traceback."""
    file = Path(path)
    try:
        source = file.read_bytes()
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from None
    module = types.ModuleType(MODULE)
    module.__file__ = str(file.resolve())
    sys.modules[MODULE] = module
    sys.path.insert(0, str(file.resolve().parent))
    from cpus import ship

    ship.register_by_value(MODULE)
    try:
        exec(compile(source, module.__file__, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        click.echo(findings.exception_text(error), err=True)
        raise click.UsageError(f"{path} cannot be loaded: {error!r}") from None
    if not isinstance(getattr(module, "MACHINE", {}), dict):
        raise click.UsageError(f"{path}: MACHINE is no dict of options")
    return module


def choose(workload: types.ModuleType, path: str, function: str) -> str:
    """Return the name of the function to call."""
    if function:
        if not callable(getattr(workload, function, None)):
            raise click.UsageError(f"{path} has no function {function}")
        return called_at_once(workload, path, function)
    for name in ("host_main", "main"):
        if callable(getattr(workload, name, None)):
            return called_at_once(workload, path, name)
    raise click.UsageError(
        f"{path} has neither main() nor host_main(machine): write {path}:FUNCTION"
    )


def called_at_once(workload: types.ModuleType, path: str, name: str) -> str:
    """Return the name of a function that a call runs; refuse one that a call only begins."""
    function = inspect.unwrap(getattr(workload, name))
    for kind, is_kind in NOT_RUN_BY_A_CALL.items():
        if is_kind(function):
            raise click.UsageError(
                f"{path}: {name}() is {kind}: a call of it does not run its body; "
                "write a plain function"
            )
    return name


def perform(options: dict[str, Any], path: str, workload: types.ModuleType, call: str) -> int:
    """Boot, run, save, report."""
    from smpmm import Machine

    machine_options = gather.machine_options(options, **getattr(workload, "MACHINE", {}))
    args = options["args"]
    found: list[Finding] = []
    with Interrupts() as interrupts, Machine(**machine_options) as machine:
        run = runs.create("run", options["parent"])
        machine_record = gather.config_record(machine.config)
        config = {
            "command": "run",
            "target": options["target"],
            "args": list(args),
            "machine": machine_record,
            "repeat": repeat_command(options, machine_record["seed"]),
        }
        run.write_json("config.json", config)
        result = None
        try:
            result = execute(machine, workload, call, args, found)
            interrupts.hold()
        except KeyboardInterrupt:
            pass
        interrupted = interrupts.came
        save(machine, run, found)
        machine.close()
        every = findings.unique(merge(found))
        record = {
            "result": repr(result),
            "interrupted": interrupted,
            "findings": [one.as_dict() for one in every],
        }
        run.write_json("result.json", record)
        show(run, config, record, result)
        return interrupts.code(record["findings"])


def execute(
    machine: Any,
    workload: types.ModuleType,
    call: str,
    args: tuple[str, ...],
    found: list[Finding],
) -> Any:
    """Call the workload; what it raises is a finding."""
    function = getattr(workload, call)
    try:
        if call == "host_main":
            return function(machine, *args)
        return machine.run(function, *args, cpu=0)
    except SystemExit as stop:
        if stop.code not in (None, 0):
            found.append(Finding("SystemExit", f"{call}: sys.exit({stop.code!r})"))
        return None
    except Exception as error:
        found.append(findings.of_exception(call, error))
        return None


def save(machine: Any, run: runs.Run, found: list[Finding]) -> None:
    """Save what the machine shows; its reports, leaks and broken invariants are findings."""
    if machine.ended is None:
        try:
            run.write_json("lock_stat.json", machine.lock_stat().as_dict())
            gather.save_proc(machine, run)
            gather.check(machine, found)
            run.write_json("faults.json", machine.faults())
        except (KernelBug, SmpmmError) as error:
            found.append(findings.of_exception("the machine", error))
    try:
        run.write("dmesg.txt", machine.dmesg())  # a machine that has ended still has its log
    except (KernelBug, SmpmmError) as error:
        found.append(findings.of_exception("the kernel log", error))
        return
    told = findings.from_log(run.read("dmesg.txt"))
    if machine.ended is not None and told:
        # The log says it better than "the machine has ended".
        found[:] = [one for one in found if one.kind not in ("MachineError", "KernelPanic")]
    found += told


def merge(found: list[Finding]) -> list[Finding]:
    """Drop what the log tells a second time: the report of an exception that was raised."""
    texts: set[str] = set()
    kept = []
    for one in found:
        text = one.text.strip()
        if text and text in texts:
            continue
        texts.add(text)
        kept.append(one)
    return kept


def repeat_command(options: dict[str, Any], seed: int) -> str:
    """Return the one command that repeats the run."""
    words = ["smpmm", "run", options["target"]]
    for name in ("cpus", "mem", "kernel", "cmdline", "disk", "on_bug"):
        if options[name] is not None:
            words += [f"--{name.replace('_', '-')}", str(options[name])]
    words += ["--seed", str(seed)]
    if options["args"]:
        words += ["--", *options["args"]]
    return shlex.join(words)


def show(run: runs.Run, config: Any, record: Any, result: Any) -> None:
    """Print the findings and keep them in the run's directory."""
    with open(run.path / "report.txt", "w") as file:
        render(output.Page(file), record)
    page = output.page(sys.stdout)
    if result is not None:
        page.line(f"{config['target']} returned {result!r}")
    render(page, record)
    if (run.path / "faults.json").exists():
        report.render_injected(page, run.read_json("faults.json"))
    report.render_end(page, run, config)


def render(page: output.Page, record: Any) -> None:
    """Print what was found."""
    if record["interrupted"]:
        page.line("Interrupted: the workload was ended early.", "warn")
    report.render_findings(page, record["findings"])
