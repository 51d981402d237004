"""Lock statistics: records gathered from the segment, and the text of /proc/lock_stat 0.4.

Gathering and rendering are apart: `gather` gives frozen records that travel to the user's
program and into a run's directory; `proc_text` prints them in the layout of
kernel/locking/lockdep_proc.c, to the column; the contention report for people is rendered by
the tools.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

from cpus import callsite_cy, lockstat_cy, segment_cy, spinlock_cy

KIND_NAMES = ("spinlock", "rwlock", "semaphore")
WIDTH = 40 + 1 + 12 * 15
POINTS_PER_CLASS = 4


@dataclass(frozen=True)
class Point:
    """Waits at one place while another place held the lock; times in ns."""

    waiter: str
    holder: str
    waiter_site: int
    holder_site: int
    contentions: int
    wait_total_ns: int
    wait_max_ns: int
    parked_ns: int
    descheduled_ns: int


@dataclass(frozen=True)
class LockClass:
    """The statistics of one lock class, summed over the CPUs; times in ns."""

    name: str
    kind: str
    acquisitions: int
    acq_bounces: int
    con_bounces: int
    contentions: int
    wait_min_ns: int
    wait_max_ns: int
    wait_total_ns: int
    parked_ns: int
    descheduled_ns: int
    nr_timed: int
    hold_min_ns: int
    hold_max_ns: int
    hold_total_ns: int
    read_acquisitions: int
    read_contentions: int
    read_wait_total_ns: int
    wait_hist: tuple[int, ...] = ()
    hold_hist: tuple[int, ...] = ()
    points: tuple[Point, ...] = ()


@dataclass(frozen=True)
class LockStat:
    """One snapshot of all lock classes, most contended first."""

    classes: tuple[LockClass, ...]
    exact_hold_times: bool
    uptime_ns: int
    cpus: int
    note: str = field(default="")

    def __str__(self) -> str:
        return proc_text(self)

    def as_dict(self) -> dict[str, Any]:
        """Return plain dicts and lists, for JSON."""
        return asdict(self)


def lock_name(native: int) -> str:
    """Name the class of the lock at a native address."""
    number = spinlock_cy.class_of(native)
    names = lockstat_cy.class_names()
    return names[number][0] if 0 < number < len(names) else f"lock {native:#x}"


def lock_name_at(address: int) -> str:
    """Name the class of the lock at a kernel address."""
    native = segment_cy.native_address(address, 8)
    return lock_name(native) if native else "no memory"


def summed(number: int, cpus: int) -> dict[str, Any]:
    """Add up the counters of a class over the CPUs; extremes of those that have any."""
    total: dict[str, Any] = {}
    for cpu in range(cpus):
        stats = lockstat_cy.class_stats(cpu, number)
        if not total:
            total = stats
            continue
        waited, timed = total["contentions"], total["nr_timed"]
        for name, value in stats.items():
            if name.endswith("_hist"):
                total[name] = [a + b for a, b in zip(total[name], value, strict=True)]
            elif name.endswith("_max_ns"):
                total[name] = max(total[name], value)
            elif name.endswith("_min_ns"):
                mine = waited if name.startswith("wait") else timed
                theirs = stats["contentions" if name.startswith("wait") else "nr_timed"]
                if theirs:
                    total[name] = min(total[name], value) if mine else value
            else:
                total[name] += value
    return total


def gather(note: str = "") -> LockStat:
    """Read the statistics of every lock class; takes no lock, any process of the machine."""
    cpus = segment_cy.nr_cpus()
    points: dict[int, list[Point]] = {}
    for number, waiter, holder, nr, wait, parked, descheduled, longest in lockstat_cy.points():
        points.setdefault(number, []).append(
            Point(
                callsite_cy.site_text(waiter), callsite_cy.site_text(holder), waiter, holder,
                nr, wait, longest, parked, descheduled,
            )
        )  # fmt: skip
    classes = []
    for number, (name, kind) in enumerate(lockstat_cy.class_names()):
        total = summed(number, cpus)
        if not total["acquisitions"] and not total["contentions"]:
            continue
        total["wait_hist"] = tuple(total["wait_hist"])
        total["hold_hist"] = tuple(total["hold_hist"])
        mine = sorted(points.get(number, []), key=lambda p: -p.wait_total_ns)
        classes.append(
            LockClass(name=name, kind=KIND_NAMES[kind], points=tuple(mine), **total)
        )
    classes.sort(key=lambda c: (-c.contentions, -c.acquisitions, c.name))
    return LockStat(
        tuple(classes), lockstat_cy.hold_times_exact(), segment_cy.uptime_ns(), cpus, note
    )


def microseconds(ns: int) -> str:
    """Print ns as Linux does: microseconds with two decimals, rounded by 5 ns."""
    hundredths = (ns + 5) // 10
    return f"{hundredths // 100}.{hundredths % 100:02d}"


def times(nr: int, least: int, most: int, total: int) -> str:
    """Print a count and its four times, 14 columns each."""
    average = total // nr if nr else 0
    return f"{nr:14d} " + " ".join(
        f"{microseconds(ns):>14}" for ns in (least, most, total, average)
    )


def row(name: str, bounces: int, wait: str, acq_bounces: int, hold: str) -> str:
    """Print one row of lock_stat."""
    return f"{name:>40} {bounces:14d} {wait} {acq_bounces:14d} {hold}\n"


def class_rows(one: LockClass) -> str:
    """Print the rows of a class: one, or write and read apart when it has been read-locked."""
    if not one.read_acquisitions and not one.read_contentions:
        return row(
            f"{one.name}:", one.con_bounces,
            times(one.contentions, one.wait_min_ns, one.wait_max_ns, one.wait_total_ns),
            one.acq_bounces, hold_times(one, one.acquisitions),
        )  # fmt: skip
    reads, waits = one.read_contentions, one.read_wait_total_ns
    written = one.contentions - reads
    return row(
        f"{one.name}-W:", one.con_bounces,
        times(written, one.wait_min_ns, one.wait_max_ns, one.wait_total_ns - waits),
        one.acq_bounces, hold_times(one, one.acquisitions - one.read_acquisitions),
    ) + row(
        f"{one.name}-R:", 0,
        times(reads, one.wait_min_ns if reads else 0, one.wait_max_ns if reads else 0, waits),
        0, times(one.read_acquisitions, 0, 0, 0),
    )  # fmt: skip


def hold_times(one: LockClass, acquisitions: int) -> str:
    """Print acquisitions and hold times; the total of sampled ones is scaled up to all."""
    average = one.hold_total_ns // one.nr_timed if one.nr_timed else 0
    return times(acquisitions, one.hold_min_ns, one.hold_max_ns, average * acquisitions)


def point_rows(one: LockClass) -> str:
    """Print the places of the waiters, then those of the holders, four of each at most."""
    if not one.points:
        return ""
    ruler = f"{'-' * len(one.name):>40}\n"
    text = ""
    for side in ("waiter", "holder"):
        counts: dict[tuple[int, str], int] = {}
        for point in one.points:
            key = (getattr(point, f"{side}_site"), getattr(point, side))
            counts[key] = counts.get(key, 0) + point.contentions
        text += ruler
        for (site, name), count in list(counts.items())[:POINTS_PER_CLASS]:
            address = f"[<{site:08x}>]"
            text += f"{one.name:>40} {count:14d} {address:>29} {name}\n"
    return text


def proc_text(stat: LockStat) -> str:
    """Render /proc/lock_stat, version 0.4."""
    columns = (
        "con-bounces", "contentions", "waittime-min", "waittime-max", "waittime-total",
        "waittime-avg", "acq-bounces", "acquisitions", "holdtime-min", "holdtime-max",
        "holdtime-total", "holdtime-avg",
    )  # fmt: skip
    ruler = "-" * WIDTH + "\n"
    head = f"{'class name':>40} " + " ".join(f"{name:>14}" for name in columns) + "\n"
    text = f"lock_stat version 0.4\n{ruler}{head}{ruler}\n"
    for one in stat.classes:
        text += class_rows(one) + point_rows(one)
        text += f"\n{'.' * WIDTH}\n\n"
    return text


def proc_write(text: str) -> None:
    """Take a write to /proc/lock_stat: '0' clears, anything else is accepted and ignored."""
    if text.startswith("0"):
        lockstat_cy.clear_stats()
