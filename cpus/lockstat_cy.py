"""Lock classes and their statistics: per class and CPU, and per pair of waiter and holder.

A class is the place of a lock's initialisation or its struct field. Counters of a class are
written by their CPU only, inside a call, so they cost no bouncing line; contention points are
shared and added to atomically, on slow paths. Every sixteenth section is timed, all with
`set_exact`.

What reports read they read without a lock, while the CPUs go on counting.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import (
    atomic32_cmpxchg,
    atomic32_load,
    atomic32_store_release,
    atomic64_cmpxchg,
    atomic64_fetch_add,
    atomic64_load,
    cpu_relax,
)
from cython.cimports.cpus.event_cy import EVENT_CONTENTION, trace_event
from cython.cimports.cpus.percpu_cy import this_cpu
from cython.cimports.libc.string import memset, strcmp, strncpy


def regions(config: object = None) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    nr_cpus = getattr(config, "cpus", 1)
    return {
        "lock_classes": NR_CLASSES * cython.sizeof(lock_class),
        "lock_stats": nr_cpus * NR_CLASSES * cython.sizeof(lock_stat),
        "contention_points": NR_POINTS * cython.sizeof(contention_point),
        "lock_globals": 4096,
    }


def attach(config: object = None) -> None:
    """Find this module's regions in the attached segment."""
    global lock_classes, lock_stats, contention_points, stat_level
    lock_classes = cython.cast(
        cython.pointer[lock_class], segment_cy.region_at(b"lock_classes")
    )
    lock_stats = cython.cast(cython.pointer[lock_stat], segment_cy.region_at(b"lock_stats"))
    contention_points = cython.cast(
        cython.pointer[contention_point], segment_cy.region_at(b"contention_points")
    )
    stat_level = cython.cast(cython.pointer[u64], segment_cy.region_at(b"lock_globals"))
    lock_class_named(b"(all others)", CLASS_SPIN, RECOVER_NOTHING)


def set_exact(on: bool) -> None:
    """Take the hold time of every section, not of every sixteenth; two clock reads."""
    stat_level[0] = STAT_EXACT if on else STAT_SAMPLED


def hold_times_exact() -> bool:
    """Return whether every hold time is taken."""
    return stat_level[0] == STAT_EXACT


def set_stats(on: bool) -> None:
    """Count acquisitions and time sections of spinlocks, or leave it, to see what that costs.

    Waits are counted in any case.
    """
    stat_level[0] = STAT_SAMPLED if on else STAT_OFF


def lock_class_named(name, kind, recovery):
    i: cython.int
    c: cython.pointer[lock_class]
    for i in range(NR_CLASSES):
        c = cython.address(lock_classes[i])
        if atomic32_cmpxchg(cython.address(c.ready), 0, 2) == 0:
            strncpy(c.name, name, 47)
            c.kind = kind
            c.recovery = recovery
            atomic32_store_release(cython.address(c.ready), 1)
            return i
        while atomic32_load(cython.address(c.ready)) == 2:
            cpu_relax()
        if strcmp(c.name, name) == 0:
            return i
    return 0


def class_named(name: str, kind: int = CLASS_SPIN, recovery: int = RECOVER_NOTHING) -> int:
    """Return the lock class of a name, made when it is new; names are cut to 47 bytes."""
    encoded: bytes = name.encode()[:47]
    return lock_class_named(encoded, kind, recovery)


def class_names() -> list:
    """Return (name, kind) of every lock class, by its number."""
    names: list = []
    i: cython.int
    for i in range(NR_CLASSES):
        if lock_classes[i].ready != 1:
            break
        names.append((lock_classes[i].name.decode("utf-8", "replace"), lock_classes[i].kind))
    return names


def log2_bucket(ns):
    """Return the bucket of a log2 histogram: 0 for less than 2 ns."""
    bucket: cython.int = 0
    while ns > 1 and bucket < HIST - 1:
        ns >>= 1
        bucket += 1
    return bucket


def hold_time_stat(class_, ns):
    """Add one hold time to the statistics of a class on this CPU."""
    stat: cython.pointer[lock_stat] = cython.address(
        lock_stats[this_cpu.number * NR_CLASSES + class_]
    )
    if stat.nr_timed == 0 or ns < stat.hold_min_ns:
        stat.hold_min_ns = ns
    if ns > stat.hold_max_ns:
        stat.hold_max_ns = ns
    stat.nr_timed += 1
    stat.hold_total_ns += ns
    stat.hold_hist[log2_bucket(ns)] += 1


def wait_time_stat(class_, site, holder_site, ns, parked, descheduled, flags):
    """Add one wait to the statistics of a class on this CPU and to its contention point."""
    stat: cython.pointer[lock_stat] = cython.address(
        lock_stats[this_cpu.number * NR_CLASSES + class_]
    )
    if descheduled > ns:
        descheduled = ns
    if stat.contentions == 0 or ns < stat.wait_min_ns:
        stat.wait_min_ns = ns
    if ns > stat.wait_max_ns:
        stat.wait_max_ns = ns
    stat.contentions += 1
    stat.wait_total_ns += ns
    stat.parked_ns += parked
    stat.descheduled_ns += descheduled
    stat.wait_hist[log2_bucket(ns)] += 1
    if flags & 1:
        stat.read_contentions += 1
        stat.read_wait_total_ns += ns
    point: cython.pointer[contention_point] = find_point(class_, site, holder_site)
    if point != cython.NULL:
        atomic64_fetch_add(cython.address(point.nr), 1)
        atomic64_fetch_add(cython.address(point.wait_ns), ns)
        atomic64_fetch_add(cython.address(point.parked_ns), parked)
        atomic64_fetch_add(cython.address(point.descheduled_ns), descheduled)
        if ns > point.max_ns:
            point.max_ns = ns
    trace_event(
        EVENT_CONTENTION, ns, parked, (cython.cast(u64, holder_site) << 32) | class_, site
    )


def find_point(class_, site, holder_site):
    """Return the counters of a (class, waiter, holder) triple; NULL when the table is full."""
    key: u64 = (
        (cython.cast(u64, class_) << 48) | (cython.cast(u64, site) << 24) | holder_site
    ) + 1
    n: u64 = ((key * cython.cast(u64, 0x9E3779B97F4A7C15)) >> 40) & (NR_POINTS - 1)
    _tries: cython.int
    held: u64
    point: cython.pointer[contention_point]
    for _tries in range(64):
        point = cython.address(contention_points[n])
        held = atomic64_load(cython.address(point.key))
        if held == 0:
            held = atomic64_cmpxchg(cython.address(point.key), 0, key)
            if held == 0:
                point.class_ = class_
                point.waiter_site = site
                point.holder_site = holder_site
                return point
        if held == key:
            return point
        n = (n + 1) & (NR_POINTS - 1)
    return cython.NULL


def lock_acquired_stat(class_, last_cpu):
    stat: cython.pointer[lock_stat] = cython.address(
        lock_stats[this_cpu.number * NR_CLASSES + class_]
    )
    stat.acquisitions += 1
    if last_cpu[0] != this_cpu.number + 1:
        stat.acq_bounces += last_cpu[0] != 0
        last_cpu[0] = cython.cast(u32, this_cpu.number) + 1


def lock_waited_stat(class_, site, holder_site, ns):
    wait_time_stat(class_, site, holder_site, ns, 0, 0, 0)


def lock_held_stat(class_, ns):
    hold_time_stat(class_, ns)


FIELDS = (
    "acquisitions", "acq_bounces", "con_bounces", "contentions", "wait_min_ns", "wait_max_ns",
    "wait_total_ns", "parked_ns", "descheduled_ns", "nr_timed", "hold_min_ns", "hold_max_ns",
    "hold_total_ns", "read_acquisitions", "read_contentions", "read_wait_total_ns",
)  # fmt: skip


def class_stats(cpu: int, number: int) -> dict:
    """Return the counters of a lock class on one CPU, by the names of lock_stat's fields."""
    stat: cython.pointer[lock_stat] = cython.address(lock_stats[cpu * NR_CLASSES + number])
    words: cython.pointer[u64] = cython.cast(cython.pointer[u64], stat)
    result = {FIELDS[i]: words[i] for i in range(16)}
    result["wait_hist"] = [stat.wait_hist[i] for i in range(HIST)]
    result["hold_hist"] = [stat.hold_hist[i] for i in range(HIST)]
    return result


def points() -> list:
    """Return (class, waiter's site, holder's site, nr, wait, parked, descheduled, max)."""
    i: cython.int
    p: cython.pointer[contention_point]
    result: list = []
    for i in range(NR_POINTS):
        p = cython.address(contention_points[i])
        if p.nr != 0:
            result.append(
                (
                    p.class_, p.waiter_site, p.holder_site, p.nr, p.wait_ns, p.parked_ns,
                    p.descheduled_ns, p.max_ns,
                )
            )  # fmt: skip
    return result


def clear_stats() -> None:
    """Zero every counter; what is counted meanwhile may survive, as in Linux."""
    n: u64 = segment_cy.header.nr_cpus
    memset(lock_stats, 0, n * NR_CLASSES * cython.sizeof(lock_stat))
    memset(contention_points, 0, NR_POINTS * cython.sizeof(contention_point))
