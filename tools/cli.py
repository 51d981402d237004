"""The command line: `smpmm stress`, `run`, `lockstat`, `proc`, `bench`.

Exit codes: 0 nothing found, 1 findings, 2 wrong usage, 3 the tool itself failed, 130
interrupted. What a command needs is imported when it runs, so that `smpmm --help` is quick.
"""

import sys
from typing import Any, Final

import click

from smpmm_tools import stdout

FINDINGS: Final = 1
USAGE: Final = 2
FAILED: Final = 3
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141  # what a shell shows for a process that SIGPIPE ended

MACHINE_OPTIONS: Final = (
    click.option("--cpus", type=click.IntRange(1, 64), help="Processors of the machine."),
    click.option("--mem", metavar="SIZE", help="RAM of the machine, such as 64M."),
    click.option("--kernel", metavar="VERSION", help="Kernel version that it follows: 2.4."),
    click.option(
        "--cmdline", metavar="TEXT", help="Kernel command line, such as slabinfo=2.1."
    ),
    click.option("--disk", metavar="FILE", help="Host file behind the disk hda."),
    click.option("--seed", type=click.IntRange(0, 2**64 - 1), help="Seed of every choice."),
)
OUT: Final = click.option(
    "-o", "--out", "parent", metavar="DIR", default="smpmm-runs", show_default=True,
    help="Where the directory of the run is made.",
)  # fmt: skip


def machine_options(command: Any) -> Any:
    """Give a command the options of a machine."""
    for option in reversed(MACHINE_OPTIONS):
        command = option(command)
    return command


class Percent(click.ParamType):
    """A whole number of percent: `1%` or `1`."""

    name = "percent"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        text = str(value).strip().removesuffix("%").strip()
        if not text.isdigit() or int(text) > 100:
            self.fail(f"{value!r} is no whole number of percent from 0% to 100%", param, ctx)
        return int(text)


class Drivers(click.ParamType):
    """Names of copying drivers, separated by commas."""

    name = "drivers"
    known = ("scull", "scullc", "scullp", "scullv")

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        names = dict.fromkeys(word.strip() for word in str(value).split(",") if word.strip())
        if not names or not set(names) <= set(self.known):
            self.fail(f"{value!r}: choose from {','.join(self.known)}", param, ctx)
        return ",".join(names)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 95})
@click.version_option(package_name="smpmm", prog_name="smpmm")
def cli() -> None:
    """A multiprocess SMP model of Linux kernel memory management.

    Exit codes: 0 nothing found, 1 findings (leak, BUG, corruption, deadlock), 2 wrong usage,
    3 the tool itself failed.
    """


@cli.command()
@machine_options
@click.option("--drivers", type=Drivers(), default="scull,scullc,scullp", show_default=True,
              metavar="LIST", help="Drivers that files are copied through.")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(0.1), default=10.0, show_default=True,
              help="Duration of the load.")  # fmt: skip
@click.option("--failslab", type=Percent(), default="1%", show_default=True,
              help="How many allocations fail, objects and pages alike.")  # fmt: skip
@click.option("--irq-rate", type=click.IntRange(0), default=2000, show_default=True,
              help="Interrupts per second of the synthetic device.")  # fmt: skip
@click.option("--tree", type=click.Path(exists=True, file_okay=False), metavar="DIR",
              help="Files to copy; the interpreter's own library by default.")  # fmt: skip
@OUT
def stress(**options: Any) -> int:
    """Copy files through drivers on every CPU while interrupts fire and allocations fail.

    Ends with a verdict, what each injected fault led to, and who waited for which lock.
    """
    from smpmm_tools import stress as command

    return command.main(options)


@cli.command(context_settings={"ignore_unknown_options": False})
@machine_options
@click.option("--on-bug", type=click.Choice(["raise", "continue"]), help="What BUG does.")
@click.argument("target", metavar="FILE.py[:FUNCTION]")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@OUT
def run(**options: Any) -> int:
    """Run a workload of your own: FILE's main(*ARGS) as a task, or host_main(machine).

    The file's dict MACHINE has defaults for the machine; options win over it. ARGS follow
    after --.
    """
    from smpmm_tools import run as command

    return command.main(options)


@cli.command()
@click.argument("name", metavar="[RUN]", required=False)
@click.option("--json", "json_path", metavar="FILE", help="Write the records; - is stdout.")
@click.option("-n", "--rows", type=click.IntRange(1), default=20, show_default=True,
              help="Rows of a table at most.")  # fmt: skip
def lockstat(name: str | None, json_path: str | None, rows: int) -> int:
    """Print who waited for which lock in a run, the latest by default."""
    from smpmm_tools import contention, output, runs

    found = runs.find(name)
    records = found.read_json("lock_stat.json")
    if json_path is not None:
        write_json(json_path, records)
    else:
        out = output.page()
        out.line(f"run {found}", "dim")
        contention.render(out, records, rows=rows)
    return 0


@cli.command()
@click.argument("name", metavar="NAME")
@click.argument("run_name", metavar="[RUN]", required=False)
@machine_options
def proc(name: str, run_name: str | None, **options: Any) -> int:
    """Print a /proc file of RUN, or of a machine that has just booted."""
    from smpmm_tools import proc as command

    return command.main(name, run_name, options)


@cli.command()
@click.option("--json", "json_path", metavar="FILE", help="Write the rows; - is stdout.")
@click.option("--quick", is_flag=True, help="Shorter measurements, wider noise.")
@click.option("--only", metavar="TEXT", help="Rows whose name contains TEXT.")
def bench(json_path: str | None, quick: bool, only: str | None) -> int:
    """Measure the ratios against what would be used instead; 1 if one is over its bound."""
    from smpmm_tools import bench as command

    return command.main(json_path, quick, only)


def write_json(path: str, value: Any) -> None:
    """Write records to a file; `-` is standard output."""
    import json

    text = json.dumps(value, indent=1) + "\n"
    if path == "-":
        sys.stdout.write(text)
        return
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError as error:
        raise click.UsageError(f"--json {path}: {error.strerror}") from None


def explain(error: Exception) -> int:
    """Say what ended a command and return its exit code."""
    from cpus.errors import ConfigError, MachineError
    from smpmm_tools.runs import NoPlace, NoSuchRun

    if isinstance(error, (ConfigError, NoPlace, NoSuchRun)):
        click.echo(f"smpmm: {error}", err=True)
        return USAGE
    if isinstance(error, MachineError):
        click.echo(f"smpmm: {error}", err=True)
        return FAILED
    import traceback

    traceback.print_exc()
    click.echo("smpmm: this is a failure of the tool itself, not a finding", err=True)
    return FAILED


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    try:
        stdout.watch()
        code = cli.main(args=argv, prog_name="smpmm", standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("smpmm: interrupted", err=True)
        return INTERRUPTED
    except (BrokenPipeError, SystemExit):  # the reader of our output has seen enough
        stdout.drop()
        return BROKEN_PIPE  # click exits by itself for it, with our code for findings
    except stdout.WriteError as error:
        stdout.drop()
        click.echo(f"smpmm: write error: {error}", err=True)
        return FAILED
    except Exception as error:
        return explain(error)
