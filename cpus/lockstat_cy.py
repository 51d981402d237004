"""Lock classes and their statistics: per class and CPU, and per pair of waiter and holder.

A class is the place of a lock's initialisation or its struct field. Counters of a class are
written by their CPU only, inside a call, so they cost no bouncing line; contention points are
shared and added to atomically, on slow paths. A sample of the sections is timed, all with
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
    clock_ticks,
    cpu_relax,
)
from cython.cimports.cpus.event_cy import EVENT_CONTENTION, trace_event
from cython.cimports.cpus.kill_cy import KILL_CLASS_CLAIMED, kill_point
from cython.cimports.cpus.percpu_cy import cpu_areas, owner_dead, this_cpu, this_owner
from cython.cimports.cpus.segment_cy import ticks_to_ns
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
    cpu: u64
    lock_classes = cython.cast(
        cython.pointer[lock_class], segment_cy.region_at(b"lock_classes")
    )
    lock_stats = cython.cast(cython.pointer[lock_stat], segment_cy.region_at(b"lock_stats"))
    contention_points = cython.cast(
        cython.pointer[contention_point], segment_cy.region_at(b"contention_points")
    )
    stat_level = cython.cast(cython.pointer[u64], segment_cy.region_at(b"lock_globals"))
    for cpu in range(segment_cy.header.nr_cpus):
        cpu_areas[cpu].lock_stats = cython.cast(u64, lock_stats + cpu * NR_CLASSES)
    lock_class_named(b"(all others)", CLASS_SPIN, RECOVER_NOTHING)


def set_exact(on: bool) -> None:
    """Take the hold time of every section, not of a sample; two clock reads."""
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
        if claim_class(c):
            fill_class(c, name, kind, recovery)
            return i
        if strcmp(c.name, name) == 0:
            return i
    return 0


def claim_class(class_):
    """Claim a free entry, or one whose claimer died; false when it is filled in."""
    state: u32
    while True:
        state = atomic32_load(cython.address(class_.state))
        if state == CLASS_READY:
            return False
        if state == 0 or owner_dead(state):
            if atomic32_cmpxchg(cython.address(class_.state), state, this_owner) == state:
                return True
        cpu_relax()


def fill_class(class_, name, kind, recovery):
    """Write an entry that this process has claimed."""
    strncpy(class_.name, name, 47)
    class_.kind = kind
    class_.recovery = recovery
    kill_point(KILL_CLASS_CLAIMED)
    atomic32_store_release(cython.address(class_.state), CLASS_READY)


def class_named(name: str, kind: int = CLASS_SPIN, recovery: int = RECOVER_NOTHING) -> int:
    """Return the lock class of a name, made when it is new; names are cut to 47 bytes."""
    encoded: bytes = name.encode()[:47]
    return lock_class_named(encoded, kind, recovery)


def class_names() -> list:
    """Return (name, kind) of every lock class, by its number."""
    names: list = []
    i: cython.int
    for i in range(NR_CLASSES):
        if atomic32_load(cython.address(lock_classes[i].state)) != CLASS_READY:
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


def side_of(class_, side):
    return cython.address(lock_stats[this_cpu.number * NR_CLASSES + class_].sides[side])


def hold_time_stat(class_, side, ticks):
    """Add the hold time of a section that began at `ticks` and ends now."""
    now: u64 = clock_ticks()
    # The counters of two host processors may differ by a little.
    add_hold(class_, side, ticks_to_ns(now - ticks) if now > ticks else 0)


def add_hold(class_, side, ns):
    """Add one hold time to the statistics of a class on this CPU."""
    stat: cython.pointer[lock_side] = side_of(class_, side)
    if stat.nr_timed == 0 or ns < stat.hold_min_ns:
        stat.hold_min_ns = ns
    if ns > stat.hold_max_ns:
        stat.hold_max_ns = ns
    stat.nr_timed += 1
    stat.hold_total_ns += ns
    lock_stats[this_cpu.number * NR_CLASSES + class_].hold_hist[log2_bucket(ns)] += 1


def wait_time_stat(class_, site, holder_site, ns, parked, descheduled, side):
    """Add one wait to the statistics of a class on this CPU and to its contention point.

    Called with the lock taken at the end of the wait: a wait that is refused is not counted.
    """
    stat: cython.pointer[lock_side] = side_of(class_, side)
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
    lock_stats[this_cpu.number * NR_CLASSES + class_].wait_hist[log2_bucket(ns)] += 1
    point: cython.pointer[contention_point] = find_point(point_key(class_, site, holder_site))
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


def point_key(class_, site, holder_site):
    """Pack what a contention point is about into its key, so that one store makes it whole."""
    return (
        (cython.cast(u64, class_ + 1) << 48)
        | (cython.cast(u64, site & 0xFFFFFF) << 24)
        | (holder_site & 0xFFFFFF)
    )


def find_point(key):
    """Return the counters of a (class, waiter, holder) triple; NULL when the table is full."""
    n: u64 = ((key * cython.cast(u64, 0x9E3779B97F4A7C15)) >> 40) & (NR_POINTS - 1)
    _tries: cython.int
    held: u64
    point: cython.pointer[contention_point]
    for _tries in range(64):
        point = cython.address(contention_points[n])
        held = atomic64_load(cython.address(point.key))
        if held == 0:
            held = atomic64_cmpxchg(cython.address(point.key), 0, key)
        if held == 0 or held == key:
            return point
        n = (n + 1) & (NR_POINTS - 1)
    return cython.NULL


def lock_acquired_stat(class_, side, last_cpu):
    stat: cython.pointer[lock_side] = side_of(class_, side)
    stat.acquisitions += 1
    if last_cpu[0] != this_cpu.number + 1:
        stat.acq_bounces += last_cpu[0] != 0
        last_cpu[0] = cython.cast(u32, this_cpu.number) + 1


def lock_contended_stat(class_, side, last_cpu):
    if last_cpu != this_cpu.number + 1:
        side_of(class_, side).con_bounces += 1


FIELDS = (
    "acquisitions", "acq_bounces", "con_bounces", "contentions", "wait_min_ns", "wait_max_ns",
    "wait_total_ns", "parked_ns", "descheduled_ns", "nr_timed", "hold_min_ns", "hold_max_ns",
    "hold_total_ns",
)  # fmt: skip


def class_stats(cpu: int, number: int, side: int) -> dict:
    """Return the counters of one side of a lock class on one CPU, by their names."""
    words: cython.pointer[u64] = cython.cast(
        cython.pointer[u64],
        cython.address(lock_stats[cpu * NR_CLASSES + number].sides[side]),
    )
    return {FIELDS[i]: words[i] for i in range(13)}


def class_hists(cpu: int, number: int) -> tuple:
    """Return the log2 histograms (waits, hold times) of a class on one CPU."""
    stat: cython.pointer[lock_stat] = cython.address(lock_stats[cpu * NR_CLASSES + number])
    return list(stat.wait_hist), list(stat.hold_hist)


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
                    (p.key >> 48) - 1, (p.key >> 24) & 0xFFFFFF, p.key & 0xFFFFFF,
                    p.nr, p.wait_ns, p.parked_ns, p.descheduled_ns, p.max_ns,
                )
            )  # fmt: skip
    return result


def clear_stats() -> None:
    """Zero every counter; what is counted meanwhile may survive, as in Linux."""
    i: cython.int
    n: u64 = segment_cy.header.nr_cpus
    p: cython.pointer[contention_point]
    memset(lock_stats, 0, n * NR_CLASSES * cython.sizeof(lock_stat))
    # The keys stay: somebody may be adding to a point that he has just found.
    for i in range(NR_POINTS):
        p = cython.address(contention_points[i])
        p.nr = 0
        p.wait_ns = p.parked_ns = p.descheduled_ns = p.max_ns = 0
