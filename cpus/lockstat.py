"""Lock statistics: records gathered from the segment, and the text of /proc/lock_stat 0.4.

Gathering and rendering are apart: `gather` gives frozen records that travel to the user's
program and into a run's directory; `proc_text` prints them in the layout of
kernel/locking/lockdep_proc.c, to the column; the contention report for people is rendered by
the tools.
"""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from cpus import callsite_cy, lockstat_cy, segment_cy, spinlock_cy

KIND_NAMES = ("spinlock", "rwlock", "semaphore")
WIDTH = 40 + 1 + 12 * 15
NAME_LENGTH = 37
POINTS_PER_CLASS = 4
WRITE, READ = 0, 1


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
class Side:
    """The counters of one side of a lock class, summed over the CPUs; times in ns.

    `contentions` are acquisitions after a wait. Hold times are those of `nr_timed` sections:
    a sample, or all when `LockStat.exact_hold_times` says so.
    """

    acquisitions: int = 0
    acq_bounces: int = 0
    con_bounces: int = 0
    contentions: int = 0
    wait_min_ns: int = 0
    wait_max_ns: int = 0
    wait_total_ns: int = 0
    parked_ns: int = 0
    descheduled_ns: int = 0
    nr_timed: int = 0
    hold_min_ns: int = 0
    hold_max_ns: int = 0
    hold_total_ns: int = 0

    def __add__(self, other: "Side") -> "Side":
        total = {}
        for name in (one.name for one in fields(Side)):
            mine, theirs = getattr(self, name), getattr(other, name)
            if name.endswith("_max_ns"):
                total[name] = max(mine, theirs)
            elif name.endswith("_min_ns"):
                samples = "contentions" if name.startswith("wait") else "nr_timed"
                if not getattr(self, samples) or not getattr(other, samples):
                    total[name] = mine or theirs
                else:
                    total[name] = min(mine, theirs)
            else:
                total[name] = mine + theirs
        return Side(**total)

    @property
    def hold_estimate_ns(self) -> int:
        """The total hold time; of sampled sections, scaled up to all of them."""
        return self.hold_total_ns * self.acquisitions // self.nr_timed if self.nr_timed else 0


@dataclass(frozen=True)
class LockClass(Side):
    """The statistics of one lock class: both sides together, and the read side alone."""

    name: str = ""
    kind: str = ""
    write: Side = Side()
    read: Side = Side()
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
    return names[number][0] if 0 < number < len(names) else "?"


def lock_text(native: int) -> str:
    """Name a lock as reports do: its kernel address and its class."""
    address = segment_cy.kernel_address_of(native)
    where = f"{address:08x}" if address else "a lock of the kernel's own"
    return f"{where} ({lock_name(native)})"


def lock_name_at(address: int) -> str:
    """Name the class of the lock at a kernel address."""
    native = segment_cy.native_address(address, 8)
    return lock_name(native) if native else "no memory"


def side(number: int, which: int) -> Side:
    """Add up the counters of one side of a class over the CPUs."""
    total = Side()
    for cpu in range(segment_cy.nr_cpus()):
        total += Side(**lockstat_cy.class_stats(cpu, number, which))
    return total


def histograms(number: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Add up the histograms (waits, hold times) of a class over the CPUs."""
    each = [lockstat_cy.class_hists(cpu, number) for cpu in range(segment_cy.nr_cpus())]
    waits, holds = zip(*each, strict=True)
    return tuple(map(sum, zip(*waits, strict=True))), tuple(map(sum, zip(*holds, strict=True)))


def gather(note: str = "") -> LockStat:
    """Read the statistics of every lock class; takes no lock, any process of the machine."""
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
        write, read = side(number, WRITE), side(number, READ)
        both = write + read
        if not both.acquisitions and not both.contentions:
            continue
        waits, holds = histograms(number)
        mine = sorted(points.get(number, []), key=lambda p: -p.wait_total_ns)
        classes.append(
            LockClass(
                **asdict(both), name=name, kind=KIND_NAMES[kind], write=write, read=read,
                wait_hist=waits, hold_hist=holds, points=tuple(mine),
            )
        )  # fmt: skip
    classes.sort(key=lambda c: (-c.contentions, -c.acquisitions, c.name))
    return LockStat(
        tuple(classes), lockstat_cy.hold_times_exact(), segment_cy.uptime_ns(),
        segment_cy.nr_cpus(), note,
    )  # fmt: skip


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


def row(name: str, one: Side) -> str:
    """Print one row: `name` ends with its colon; the total of sampled hold times is scaled."""
    wait = times(one.contentions, one.wait_min_ns, one.wait_max_ns, one.wait_total_ns)
    hold = times(one.acquisitions, one.hold_min_ns, one.hold_max_ns, one.hold_estimate_ns)
    return f"{name:>41}{one.con_bounces:14d} {wait} {one.acq_bounces:14d} {hold}\n"


def class_rows(one: LockClass) -> str:
    """Print the rows of a class: one, or of each side that was taken if it was read-locked."""
    name = one.name[:NAME_LENGTH]
    if not one.read.acquisitions:
        return row(f"{name}:", one)
    written = row(f"{name}-W:", one.write) if one.write.acquisitions else ""
    return written + row(f"{name}-R:", one.read)


def point_rows(one: LockClass) -> str:
    """Print the places of the waiters, then those of the holders, four of each at most.

    A ruler of dots ends them; a class for which nobody waited has none of it.
    """
    if not one.contentions or not one.points:
        return ""
    name = one.name[:NAME_LENGTH]
    ruler = f"{'-' * (len(name) + 2 * bool(one.read.acquisitions)):>40}\n"
    text = ""
    for role in ("waiter", "holder"):
        counts: dict[tuple[int, str], int] = {}
        for point in one.points:
            key = (getattr(point, f"{role}_site"), getattr(point, role))
            counts[key] = counts.get(key, 0) + point.contentions
        text += ruler
        for (site, place), count in list(counts.items())[:POINTS_PER_CLASS]:
            address = f"[<{site:08x}>]"
            text += f"{name:>40} {count:14d} {address:>29} {place}\n"
    return f"{text}\n{'.' * WIDTH}\n\n"


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
    return text


def proc_read() -> str:
    """Return /proc/lock_stat as it is now."""
    return proc_text(gather())


def proc_write(text: str) -> None:
    """Take a write to /proc/lock_stat: '0' clears, anything else is accepted and ignored."""
    if text.startswith("0"):
        lockstat_cy.clear_stats()
