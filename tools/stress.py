"""`smpmm stress`: boot, load, look at what is left, say what was found.

This side of it runs on the host: it starts the tasks of `workload`, waits, and writes the
run's directory. What it measured is a plain record; `report` renders it.
"""

import os
import random
import shlex
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any, Final

import click

from cpus.errors import KernelBug, SmpmmError
from smpmm_tools import findings, gather, output, report, runs
from smpmm_tools.findings import Finding
from smpmm_tools.sigint import Interrupts
from smpmm_tools.workload import churn, control, copying, disk, watch

NR_DEVICES_PARAMETER: Final = {
    "scull": "scull_nr_devs",
    "scullc": "scullc_devs",
    "scullp": "scullp_devs",
    "scullv": "scullv_devs",
}
IRQ_DRIVER: Final = "short"
NR_FILES: Final = 200
LARGEST_FILE_BYTES: Final = 512 << 10
SHARED_BYTES: Final = 32 << 10  # of the device that all CPUs write to, for each CPU
PARCELS_PER_MIB: Final = 100  # of RAM, on their way at once, of some 2 KiB each
END_TIMEOUT_S: Final = 60.0
SAMPLE_S: Final = 0.5


def choose_files(tree: str | None, seed: int, largest: int) -> tuple[str, ...]:
    """Return a sample of the files below `tree`, of a size between 1 byte and `largest`."""
    top = Path(tree or sysconfig.get_path("stdlib"))
    found = []
    for folder, folders, names in os.walk(top):
        folders.sort()
        if os.path.basename(folder) == "site-packages":
            folders.clear()
            continue
        found += [os.path.join(folder, name) for name in sorted(names)]
    random.Random(seed).shuffle(found)
    chosen = []
    for path in found:
        if os.path.isfile(path) and 0 < os.path.getsize(path) <= largest:
            chosen.append(path)
        if len(chosen) == NR_FILES:
            break
    if not chosen:
        raise click.UsageError(f"--tree {top}: no file between 1 and {largest} bytes")
    return tuple(chosen)


def repeat_command(options: dict[str, Any]) -> str:
    """Return the one command that repeats a run: same configuration, seed and dice."""
    words = ["smpmm", "stress"]
    for name, value in options.items():
        if value is None or name == "parent":
            continue
        text = f"{value:g}" if isinstance(value, float) else str(value)
        words += [f"--{name.replace('_', '-')}", text + "%" * (name == "failslab")]
    return shlex.join(words)


class Stress:
    """One run: its machine, its tasks, what they returned."""

    def __init__(
        self, options: dict[str, Any], machine: Any, run: runs.Run, interrupts: Interrupts
    ):
        self.options = options
        self.interrupts = interrupts
        self.machine = machine
        self.run = run
        self.cpus: int = machine.config.cpus
        self.drivers = options["drivers"].split(",")
        self.findings: list[Finding] = []
        self.tasks: list[tuple[str, Any]] = []
        self.results: list[dict[str, Any]] = []
        self.record: dict[str, Any] = {"interrupted": False}
        share = machine.config.ram_bytes // (16 * self.cpus * len(self.drivers))
        self.files = choose_files(
            options["tree"], options["seed"], max(4096, min(LARGEST_FILE_BYTES, share))
        )

    def perform(self) -> dict[str, Any]:
        """Do everything; returns the record that the report is made of."""
        try:
            self.start()
            self.wait()
            self.interrupts.hold()
        except KeyboardInterrupt:
            if not self.tasks:
                raise
            self.record["interrupted"] = True
        self.finish_load()
        self.collect()
        self.take_down()
        self.judge()
        self.record.update(
            results=self.results,
            drivers=list(self.drivers),
            findings=[one.as_dict() for one in findings.unique(self.findings)],
        )
        return self.record

    # The load

    def start(self) -> None:
        """Insert the drivers and start the tasks; faults begin when all of them run."""
        machine = self.machine
        for name in self.drivers:
            machine.insmod(name, **{NR_DEVICES_PARAMETER[name]: self.cpus + 1})
        machine.insmod(IRQ_DRIVER)
        nr_tasks = self.cpus * (len(self.drivers) + 4) + 1
        self.control = machine.run(control.set_up, self.cpus, nr_tasks)
        self.started = time.monotonic()
        for cpu in range(self.cpus):
            self.spawn("events", cpu, watch.follow, cpu, self.events_path(cpu), counted=False)
            self.start_on(cpu)
        if self.options["irq_rate"]:
            self.spawn("reader", self.cpus - 1, watch.read_records, "/dev/short0")
        machine.run(control.set_faults, self.options["failslab"])
        gather.start_interrupts(machine, self.options["irq_rate"], self.options["seed"])

    def start_on(self, cpu: int) -> None:
        """Start the copiers and the churn of a CPU."""
        seed = self.options["seed"]
        for name in self.drivers:
            path = f"/dev/{name}{cpu}"
            self.spawn(
                f"copy {name}{cpu}", cpu, copying.copy_files, path, self.files, seed + cpu
            )
        shared = f"/dev/{self.drivers[0]}{self.cpus}"
        self.spawn(
            f"shared {cpu}", cpu, copying.write_shared,
            shared, cpu * SHARED_BYTES, SHARED_BYTES, seed + cpu,
        )  # fmt: skip
        limit = max(16, PARCELS_PER_MIB * (self.machine.config.ram_bytes >> 20) // self.cpus)
        self.spawn(f"churn {cpu}", cpu, churn.churn, limit, seed + cpu)
        self.spawn(f"disk {cpu}", cpu, disk.use_disk, seed + cpu)

    def spawn(
        self, name: str, cpu: int, function: Any, *args: Any, counted: bool = True
    ) -> None:
        if counted:
            args = (len([1 for task in self.tasks if task[0] != "events"]), *args)
        task = self.machine.spawn(function, self.control, *args, cpu=cpu)
        self.tasks.append((name, task))

    def events_path(self, cpu: int) -> str:
        return str(self.run.path / f"events.cpu{cpu}")

    def wait(self) -> None:
        """Wait for the end of the load, show how far it is."""
        seconds = self.options["seconds"]
        sample, note = None, ""
        with output.Progress("stress", seconds) as bar:
            while (elapsed := time.monotonic() - self.started) < seconds:
                if all(task.done() for name, task in self.tasks if name != "events"):
                    break  # every task has failed
                if bar.visible and (sample is None or sample.done()):
                    note = self.note(sample, elapsed)
                    sample = self.machine.spawn(
                        control.progress, self.control, len(self.tasks)
                    )
                bar.show(elapsed, note)
                time.sleep(min(SAMPLE_S / 2, max(0.0, seconds - elapsed)))

    def note(self, sample: Any, elapsed: float) -> str:
        """Say in a few words what the tasks have done so far."""
        if sample is None:
            return ""
        try:
            done = sample.result(0)
        except (SmpmmError, KernelBug) as error:
            return f"{type(error).__name__}: see the report"
        names = [name for name, _ in self.tasks if name != "events"]
        copied = sent = 0
        for name, value in zip(names, done, strict=False):
            if name.startswith(("copy", "shared")):
                copied += value
            elif name.startswith("churn"):
                sent += value
        rate = sent / max(elapsed, 0.1)
        return f"{output.bytes_text(copied)} copied, {rate:,.0f} allocations/s"

    def finish_load(self) -> None:
        """Stop the tasks and take what they return; faults stop with them."""
        machine = self.machine
        machine.run(control.stop, self.control)
        self.record["seconds"] = time.monotonic() - self.started
        deadline = time.monotonic() + END_TIMEOUT_S
        for name, task in sorted(self.tasks, key=lambda pair: pair[0] == "reader"):
            if name == "reader":
                task.interrupt()
            try:
                self.results.append(
                    {"name": name, **task.result(max(0.1, deadline - time.monotonic()))}
                )
            except TimeoutError:
                self.found("hang", f"task {name} did not end in {END_TIMEOUT_S:.0f} s")
            except Exception as error:
                self.task_failed(name, error)
        gather.stop_interrupts(machine)
        self.record["faults_configured"] = machine.run(control.set_faults, 0)

    def task_failed(self, name: str, error: Exception) -> None:
        self.findings.append(findings.of_exception(f"task {name}", error))

    def found(self, kind: str, summary: str, text: str = "") -> None:
        self.findings.append(Finding(kind, summary, text))

    # What is left

    def collect(self) -> None:
        """Save what the machine shows before it is taken down."""
        machine, run = self.machine, self.run
        stat = machine.lock_stat()
        self.lock_stat = stat.as_dict()
        run.write_json("lock_stat.json", self.lock_stat)
        self.record["reclaim"] = machine.run(disk.reclaim_figures)
        self.record["proc_failed"] = gather.save_proc(machine, run)

    def take_down(self) -> None:
        """Remove the drivers, look for leaks, walk every invariant."""
        machine = self.machine
        try:
            for error in (
                *machine.run(churn.drain, self.control),
                *machine.run(control.free, self.control),
            ):
                self.found("leak" if "objects" in error else "corruption", error)
            for name in (IRQ_DRIVER, *reversed(self.drivers)):
                for leak in gather.remove_module(machine, name):
                    self.found("leak", leak)
        except Exception as error:
            self.task_failed("take down", error)
        self.record["check"] = gather.check(machine, self.findings)
        self.run.write("dmesg.txt", machine.dmesg())
        self.findings += findings.from_log(self.run.read("dmesg.txt"))
        self.record["faults"] = gather.attribute_faults(self.run, self.results, self.cpus)

    def judge(self) -> None:
        """Add what the tool itself holds against the run."""
        for one in self.results:
            for error in one.get("errors", ()):
                self.found("corruption", error)
            for path in one.get("mismatches", ()):
                self.found(
                    "digest", f"{one['device']}: {path} came back other than it went in"
                )
        copied = sum(one["bytes"] for one in self.results if one["kind"] == "copy")
        if not copied:
            self.found("idle", "nothing was copied: the run says nothing")
        if self.options["failslab"] and not self.record["faults"]["in_driver_calls"]:
            self.found(
                "no fault", "no driver call got an injected fault: the run is too short"
            )


def main(options: dict[str, Any]) -> int:
    """Run `smpmm stress`; returns the exit code."""
    from smpmm import Machine

    if options["seed"] is None:
        options["seed"] = int.from_bytes(os.urandom(4), "little")
    machine_options = gather.machine_options(options)
    began = time.monotonic()
    with Interrupts() as interrupts, Machine(**machine_options) as machine:
        run = runs.create("stress", options["parent"])
        config = {
            "command": "stress",
            "options": {name: value for name, value in options.items() if name != "parent"},
            "machine": gather.config_record(machine.config),
            "repeat": repeat_command(options),
            "boot_seconds": time.monotonic() - began,
            "host_cpus": os.cpu_count(),
        }
        run.write_json("config.json", config)
        stress = Stress(options, machine, run, interrupts)
        record = stress.perform()
        machine.close()
        run.write_json("result.json", record)
        show(run, config, record, stress.lock_stat)
        return interrupts.code(record["findings"])


def show(run: runs.Run, config: Any, record: Any, lock_stat: Any) -> None:
    """Print the report and keep it in the run's directory."""
    with open(run.path / "report.txt", "w") as file:
        report.render_stress(output.Page(file), config, record, lock_stat)
    page = output.page(sys.stdout)
    report.render_stress(page, config, record, lock_stat)
    report.render_end(page, run, config)
