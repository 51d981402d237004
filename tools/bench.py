"""`smpmm bench`: what the machine costs, as ratios against what would be used instead.

Each row has a figure, its bound and whether it keeps it. Things that are compared are measured
alternately in one run, so that a busy host disturbs both; it still disturbs, and the head of
the table says how busy it was.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Final

from smpmm_tools import bench_host, output
from smpmm_tools.output import Page, left, right

COLUMNS: Final = (left("what"), right("figure"), right("bound"), left(""), left("measured"))


@dataclass(frozen=True)
class Row:
    """One line of the table; `bound` is what the figure must not pass, None for no bound."""

    name: str
    figure: float
    unit: str = ""  # "x" a ratio, "ms", "MB", "B", "%", "MB/s"
    bound: float | None = None
    at_least: bool = False  # the bound is the least that it must be
    detail: str = ""

    @property
    def ok(self) -> bool | None:
        if self.bound is None:
            return None
        return self.figure >= self.bound if self.at_least else self.figure <= self.bound

    def cells(self) -> tuple[str, ...]:
        sign = ">=" if self.at_least else "<="
        bound = "" if self.bound is None else f"{sign} {self.text(self.bound)}"
        verdict = {None: "", True: "ok", False: "OVER"}[self.ok]
        return self.name, self.text(self.figure), bound, verdict, self.detail

    def text(self, value: float) -> str:
        digits = 0 if self.unit == "B" else 2
        return f"{value:,.{digits}f}{'' if self.unit in ('x', '%') else ' '}{self.unit}"


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    rounds: int
    pairs: int
    windows: int
    window_s: float
    boots: int
    deaths: int
    idle_s: float


FULL: Final = Effort(
    rounds=15, pairs=20_000, windows=30, window_s=0.1, boots=7, deaths=9, idle_s=10.0
)
QUICK: Final = Effort(
    rounds=5, pairs=5_000, windows=4, window_s=0.1, boots=3, deaths=3, idle_s=2.0
)


def pair_rows(effort: Effort) -> Iterator[Row]:
    ns = bench_host.pairs(effort.rounds, effort.pairs)
    yield Row(
        "kmalloc(256)+kfree from Python / calls that do nothing",
        ns["kmalloc"] / ns["noop"], "x", 1.5,
        detail=f"{ns['kmalloc']:.0f} / {ns['noop']:.0f} ns",
    )  # fmt: skip
    yield Row(
        "multiprocessing.heap malloc+free / kmalloc+kfree",
        ns["heap"] / ns["kmalloc"], "x", 40, True,
        f"{ns['heap']:.0f} / {ns['kmalloc']:.0f} ns",
    )  # fmt: skip
    yield Row(
        "kmalloc+kfree in a compiled loop / glibc's malloc+free",
        ns["kmalloc_compiled"] / ns["malloc_compiled"], "x", 2,
        detail=f"{ns['kmalloc_compiled']:.1f} / {ns['malloc_compiled']:.1f} ns",
    )  # fmt: skip
    yield Row(
        "page pair, order 0, from Python / kmalloc+kfree",
        ns["page"] / ns["kmalloc"], "x", 1.5,
        detail=f"{ns['page']:.0f} / {ns['kmalloc']:.0f} ns",
    )  # fmt: skip
    yield Row("page pair, order 0, in a compiled loop", ns["page_compiled"], "ns")
    cost = ns["page_with"] / ns["page_without"]
    yield Row(
        "page pair with lock statistics / without", cost, "x", 1.25,
        detail=f"{ns['page_with']:.0f} / {ns['page_without']:.0f} ns",
    )  # fmt: skip


def area_rows(effort: Effort) -> Iterator[Row]:
    ns = bench_host.areas(effort.rounds, effort.pairs)
    yield Row(
        "vmalloc+vfree of 64 KiB / order-4 page pair, from Python",
        ns["vmalloc"] / ns["order4"], "x", 20,
        detail=f"{ns['vmalloc']:.0f} / {ns['order4']:.0f} ns",
    )  # fmt: skip
    yield Row(
        "the same, touched once / mmap and munmap of its frames by the host",
        ns["touched"] / ns["host"], "x", 2,
        detail=f"{ns['touched']:.0f} / {ns['host']:.0f} ns, of 16 scattered frames",
    )  # fmt: skip
    few, many = (ns[f"beside {nr}"] for nr in bench_host.MANY_AREAS)
    yield Row(
        "vmalloc+vfree beside 15,000 areas / beside 10", many / few, "x", 2,
        detail=f"{many:.0f} / {few:.0f} ns; areas of one page, one touched in each turn",
    )  # fmt: skip


def scaling_rows(effort: Effort) -> Iterator[Row]:
    rates, busy, host = bench_host.scaling((1, 2, 8), effort.window_s, effort.windows)
    text = ", ".join(f"{n}: {rate / 1e6:.2f} M/s" for n, rate in rates.items())
    yield Row("pairs of 2 CPUs / of 1", rates[2] / rates[1], "x", 1.9, True, text)
    yield Row(
        "calls that do nothing, on 2 CPUs / on 1", host[2] / host[1], "x",
        detail="in the same rounds: what the host has for CPUs that share nothing",
    )  # fmt: skip
    yield Row("pairs of 8 CPUs / of 2", rates[8] / rates[2], "x", 0.95, True)
    text = ", ".join(f"{n}: {rate / 1e6:.2f} M/s" for n, rate in busy.items())
    yield Row(
        "pairs per processor time: each of 2 CPUs / one alone", busy[2] / busy[1], "x",
        detail=text,
    )  # fmt: skip


def device_rows(effort: Effort) -> Iterator[Row]:
    ns = bench_host.scull_writes(effort.rounds)
    speed = {name: 65536e3 / time_ns for name, time_ns in ns.items()}
    yield Row(
        "write to scull, 64 KiB a call / memcpy of the blocks",
        100 * ns["memcpy"] / ns["write"], "%", 5, True,
        f"{speed['write']:,.0f} / {speed['memcpy']:,.0f} MB/s",
    )  # fmt: skip
    yield Row("write to scull, 64 KiB a call", speed["write"], "MB/s", 200, True)


def boot_rows(effort: Effort) -> Iterator[Row]:
    for cpus, bound in ((4, 250.0), (16, None)):
        times = bench_host.boots(cpus, effort.boots)
        yield Row(
            f"boot of {cpus} CPUs", min(times), "ms", bound,
            detail=f"best of {len(times)}, slowest {max(times):.0f} ms",
        )  # fmt: skip


def death_rows(effort: Effort) -> Iterator[Row]:
    times = sorted(bench_host.owner_deaths(effort.deaths))
    yield Row(
        "lock of a killed owner is free again", times[len(times) // 2], "ms", 5.0,
        detail=f"median of {len(times)}, slowest {times[-1]:.1f} ms",
    )  # fmt: skip


def size_rows(effort: Effort) -> Iterator[Row]:
    sizes = bench_host.sizes()
    yield Row("struct page with its truth", sizes["page"], "B", 64)
    yield Row("truth of a slab object", sizes["truth"], "B", 8)
    yield Row(
        "host memory of a CPU process", sizes["cpu_bytes"] / 1e6, "MB", 3.0,
        detail="Pss without the segment, the largest of 4, before a task has run",
    )  # fmt: skip
    yield Row(
        "host memory of a CPU process, after a task", sizes["used_cpu_bytes"] / 1e6, "MB",
        detail="the same, once each has run a function of a script",
    )  # fmt: skip


def idle_rows(effort: Effort) -> Iterator[Row]:
    share = bench_host.idle(16, effort.idle_s)
    yield Row(
        "16 halted CPUs, of one host processor", 100 * share, "%", 1.0,
        detail=f"all processes of the machine, over {effort.idle_s:.0f} s",
    )  # fmt: skip


GROUPS: Final[dict[str, Callable[[Effort], Iterator[Row]]]] = {
    "pairs": pair_rows,
    "areas": area_rows,
    "scaling": scaling_rows,
    "devices": device_rows,
    "boot": boot_rows,
    "deaths": death_rows,
    "sizes": size_rows,
    "idle": idle_rows,
}


def measure(effort: Effort, only: str | None) -> list[Row]:
    """Measure group after group; the progress shows which."""
    rows: list[Row] = []
    groups = {name: group for name, group in GROUPS.items() if not only or only in name}
    with output.Progress("bench", len(groups)) as bar:
        for number, (name, group) in enumerate(groups.items()):
            bar.show(number, name)
            rows += group(effort)
    return rows


def render(page: Page, rows: list[Row], load: float) -> None:
    page.line(
        f"smpmm bench: {os.cpu_count()} host processors, load {load:.1f} before it began"
    )
    if load > 0.5 * (os.cpu_count() or 1):
        page.line("The host is busy: expect worse figures than on an idle one.", "warn")
    page.table(COLUMNS, (row.cells() for row in rows))
    over = [row for row in rows if row.ok is False]
    for row in over:
        page.line(f"OVER its bound: {row.name}: {row.text(row.figure)}", "bad")
    if not over:
        page.line("every bound kept", "good")


def main(json_path: str | None, quick: bool, only: str | None) -> int:
    """Run `smpmm bench`; returns 1 when a figure is over its bound."""
    import click

    from smpmm_tools.cli import write_json

    if only and not any(only in name for name in GROUPS):
        raise click.UsageError(f"--only {only}: the groups are {', '.join(GROUPS)}")
    load = os.getloadavg()[0]
    began = time.time()
    rows = measure(QUICK if quick else FULL, only)
    record = {
        "began": began,
        "host_cpus": os.cpu_count(),
        "load": load,
        "python": sys.version.split()[0],
        "rows": [{**asdict(row), "ok": row.ok} for row in rows],
    }
    if json_path != "-":
        render(output.page(), rows, load)
    if json_path is not None:
        write_json(json_path, record)
    return 1 if any(row.ok is False for row in rows) else 0
