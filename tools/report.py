"""The report of a run, rendered from the records in its directory."""

from collections import defaultdict
from typing import Any, Final

from smpmm_tools import contention
from smpmm_tools.output import (
    Page,
    bytes_text,
    count_text,
    left,
    plural,
    right,
)

FAULT_ROWS: Final = 16
REPORT_LINES: Final = 30
COPIES: Final = (
    left("CPU"), right("files", spare=4), right("copied"), right("per second"),
    right("driver calls", spare=3), right("no memory", spare=1), right("allocations"),
    right("per second"), right("refused", spare=2),
)  # fmt: skip
FAULTS: Final = (
    left("who", spare=1), left("call site", folds=True), left("call"),
    left("how it ended", folds=True),
    right("faults"),
)  # fmt: skip


def render_stress(page: Page, config: Any, record: Any, lock_stat: Any) -> None:
    """Print everything that a stress run measured, the verdict last."""
    render_head(page, config, record)
    render_load(page, record)
    render_interrupts(page, record, config["options"]["irq_rate"])
    render_faults(page, record["faults"], config["options"]["failslab"])
    render_reclaim(page, record["reclaim"])
    if lock_stat is not None:
        contention.render(page, lock_stat)
    render_verdict(page, record)


def render_head(page: Page, config: Any, record: Any) -> None:
    machine, options = config["machine"], config["options"]
    page.line(
        f"smpmm stress: {plural(machine['cpus'], 'CPU')}, {bytes_text(machine['ram_bytes'])}, "
        f"Linux {machine['kernel']} on {machine['arch']}, seed {machine['seed']}"
    )
    page.line(
        f"{record['seconds']:.1f} s of load through {', '.join(record['drivers'])}; "
        f"{options['failslab']} % of allocations fail; {options['irq_rate']} interrupts/s; "
        f"{plural(config['host_cpus'], 'host processor')}; "
        f"booted in {config['boot_seconds'] * 1000:.0f} ms",
        "dim",
    )
    if record["interrupted"]:
        page.line("Interrupted: the load ended early.", "warn")


def render_load(page: Page, record: Any) -> None:
    """Print throughput by CPU: files through the drivers, allocations of the churn."""
    seconds = max(record["seconds"], 1e-9)
    sums: dict[int, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for one in record["results"]:
        if "cpu" not in one or one["kind"] == "events":
            continue
        into = sums[one["cpu"]]
        for name in ("files", "bytes", "calls", "retries"):
            into[name] += one.get(name, 0)
        into["sent"] += one.get("counts", {}).get("sent", 0)
        into["refused"] += one.get("counts", {}).get("refused", 0)
    rows = [load_row(str(cpu), sums[cpu], seconds) for cpu in sorted(sums)]
    total: defaultdict[str, int] = defaultdict(int)
    for into in sums.values():
        for name, value in into.items():
            total[name] += value
    page.heading("Throughput")
    page.table(COPIES, [*rows, load_row("all", total, seconds)])
    page.line(
        "Copied: written into a device and read back, digests compared, also through the "
        "device that all CPUs share; no memory: driver calls repeated for it. Allocations: "
        "objects and pages that another CPU frees.",
        "dim",
    )


def load_row(label: str, sums: dict[str, int], seconds: float) -> tuple[str, ...]:
    return (
        label,
        count_text(sums["files"]),
        bytes_text(sums["bytes"]),
        bytes_text(sums["bytes"] / seconds),
        count_text(sums["calls"]),
        count_text(sums["retries"]),
        count_text(sums["sent"]),
        count_text(sums["sent"] / seconds),
        count_text(sums["refused"]),
    )


def render_interrupts(page: Page, record: Any, rate: int) -> None:
    counts: defaultdict[str, int] = defaultdict(int)
    lost = 0
    for one in record["results"]:
        if one["kind"] == "events":
            lost += one["lost"]
            for kind, count in one["counts"].items():
                counts[kind] += count
    records = sum(one.get("records", 0) for one in record["results"])
    seconds = max(record["seconds"], 1e-9)
    page.heading("Interrupts")
    page.line(
        f"{count_text(counts['irq_handler_entry'])} handled "
        f"({count_text(counts['irq_handler_entry'] / seconds)} per second of "
        f"{count_text(rate)} asked), "
        f"{count_text(counts['softirq_entry'])} softirqs, "
        f"{plural(records, 'record')} of the device read by a task; "
        f"{count_text(counts['sched_switch'])} task switches"
    )
    if lost:
        page.line(f"{plural(lost, 'event')} overwritten before they were read", "warn")
    followers = [one for one in record["results"] if one["kind"] == "events"]
    cut = [
        f"{count_text(number)} {kind} of CPU {one['cpu']}"
        for one in followers
        for kind, number in one["cut"].items()
    ]
    if cut:
        most = count_text(followers[0]["most"])
        page.line(
            f"events.jsonl has the first {most} records of a kind and CPU; cut off were "
            + ", ".join(cut),
            "warn",
        )


def render_faults(page: Page, faults: Any, percent: int) -> None:
    """Print who got the injected faults and how the calls that got them ended."""
    page.heading("Injected faults")
    kinds = ", ".join(f"{name} {count_text(n)}" for name, n in sorted(faults["kinds"].items()))
    if not faults["total"]:
        page.line("None." if percent else "None: --failslab is 0%.")
        return
    page.line(
        f"{plural(faults['total'], 'allocation')} made to fail ({kinds}), "
        f"{count_text(faults['in_driver_calls'])} of them in driver calls"
    )
    if faults["cut"]:
        kept = faults["total"] - faults["cut"]
        page.line(
            f"All but the first number is of the {count_text(kept)} that were kept: "
            f"{count_text(faults['cut'])} had no room in the files of their CPUs",
            "warn",
        )
    if faults["missed"]:
        page.line(
            f"{plural(faults['missed'], 'more fault')} overwritten before they were read",
            "warn",
        )
    rows = [(*row[:4], count_text(row[4])) for row in faults["rows"]]
    page.table(FAULTS, rows[:FAULT_ROWS])
    if len(rows) > FAULT_ROWS:
        rest = sum(row[4] for row in faults["rows"][FAULT_ROWS:])
        page.line(f"{len(rows) - FAULT_ROWS} more rows with {plural(rest, 'fault')}", "dim")


def render_injected(page: Page, faults: list[dict[str, Any]]) -> None:
    """Print the allocations that were made to fail, the newest last, with their places."""
    if not faults:
        return
    page.heading("Injected faults")
    if len(faults) > FAULT_ROWS:
        page.line(f"{len(faults) - FAULT_ROWS} earlier ones left out", "dim")
    for fault in faults[-FAULT_ROWS:]:
        who = f"task {fault['task']}" if fault["task"] else "an interrupt"
        places = " < ".join(fault["stack"][:3])
        what = f"{fault['name']}: {fault['size']} bytes for {who}, at {places}"
        page.line(f"{what}: {fault['outcome']}")


def render_reclaim(page: Page, figures: Any) -> None:
    """Print what took memory back, and from where."""
    page.heading("Reclaim")
    page.line(
        f"kswapd: woken {count_text(figures['nr_kswapd_wakeups'])} times, "
        f"freed {plural(figures['kswapd_freed'], 'page')} "
        f"of {count_text(figures['kswapd_scanned'])} looked at; "
        f"allocating tasks: waited {count_text(figures['nr_waits'])} times, "
        f"freed {plural(figures['direct_freed'], 'page')} themselves"
    )
    page.line(
        f"buffers of the disk: {count_text(figures['hits'])} hits, "
        f"{count_text(figures['misses'])} misses, "
        f"{count_text(figures['written'])} written back; "
        f"slabs gave back {plural(figures['slab_freed'], 'page')}; "
        f"{plural(figures['nr_failed'], 'request')} failed; "
        f"{plural(figures['nr_oom_kills'], 'OOM kill')}"
    )


def render_verdict(page: Page, record: Any) -> None:
    """Print what was found."""
    found = record["findings"]
    page.heading("Verdict")
    leaks = sum(one["kind"] == "leak" for one in found)
    page.line(f"leaks after rmmod: {leaks or 'none'}; every invariant: {record['check']}")
    render_findings(page, found)


def render_findings(page: Page, found: list[Any]) -> None:
    for number, one in enumerate(found, 1):
        page.line(f"{number}. {one['kind']}: {one['summary']}", "bad")
        lines = one["text"].splitlines()
        for line in lines[:REPORT_LINES]:
            page.line(f"     {line}")
        if len(lines) > REPORT_LINES:
            page.line(
                f"     … {len(lines) - REPORT_LINES} more lines in the run's directory", "dim"
            )
    if found:
        page.line(f"FAILED: {plural(len(found), 'finding')}", "bad")
    else:
        page.line("PASSED: nothing found", "good")


def render_end(page: Page, run: Any, config: Any) -> None:
    """Say where the run's files are and what repeats it."""
    page.line()
    page.line(f"run     {run}", "dim")
    page.line(f"repeat  {config['repeat']}", "dim")
