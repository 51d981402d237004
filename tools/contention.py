"""The contention report: who waited for which lock, for how long, and for whom.

It is rendered from the records of `Machine.lock_stat()` as plain dicts, live or from a run.
Host-descheduled is the part of a wait in which the holder could have run and the host ran
something else; parked is the part that the waiter slept. Both are of the model, not of the
modelled machine: on a host with fewer processors than the machine has they explain most of
the long waits.
"""

from typing import Any

from smpmm_tools.output import Page, count_text, left, right, time_text

SLEEPING = "semaphore"  # the kind of locks that tasks sleep for
BY_LOCK = (
    left("lock"),
    left("type", spare=5),
    right("acquired", spare=1),
    right("contended"),
    right("total wait"),
    right("max wait", spare=2),
    right("avg wait", spare=4),
    right("host-desched."),
    right("parked"),
    right("avg hold", spare=3),
    right("max hold", spare=6),
)
BY_CALLER = (
    left("lock"),
    left("waiter", folds=True),
    left("holder", folds=True),
    right("contended", spare=1),
    right("total wait"),
    right("max wait", spare=4),
    right("avg wait", spare=5),
    right("host-desched.", spare=3),
    right("parked", spare=2),
)


def average(total: int, count: int) -> str:
    return time_text(total / count) if count else "-"


def lock_row(one: dict[str, Any]) -> tuple[str, ...]:
    """Return the row of a lock class."""
    nr = one["contentions"]
    return (
        one["name"],
        one["kind"],
        count_text(one["acquisitions"]),
        count_text(nr),
        time_text(one["wait_total_ns"]),
        time_text(one["wait_max_ns"]) if nr else "-",
        average(one["wait_total_ns"], nr),
        time_text(one["descheduled_ns"]),
        parked_text(one["kind"], one),
        average(one["hold_total_ns"], one["nr_timed"]),
        time_text(one["hold_max_ns"]) if one["nr_timed"] else "-",
    )


def parked_text(kind: str, one: dict[str, Any]) -> str:
    """Return how long waiters were parked; a task sleeps instead, its CPU runs others."""
    return "-" if kind == SLEEPING else time_text(one["parked_ns"])


def point_row(lock: dict[str, Any], point: dict[str, Any]) -> tuple[str, ...]:
    """Return the row of a pair of waiter and holder."""
    return (
        lock["name"],
        point["waiter"],
        point["holder"],
        count_text(point["contentions"]),
        time_text(point["wait_total_ns"]),
        time_text(point["wait_max_ns"]),
        average(point["wait_total_ns"], point["contentions"]),
        time_text(point["descheduled_ns"]),
        parked_text(lock["kind"], point),
    )


def render(page: Page, stat: dict[str, Any], rows: int = 20) -> None:
    """Print both tables: by lock and by caller, each sorted by total wait."""
    classes = sorted(
        stat["classes"], key=lambda c: (-c["wait_total_ns"], -c["acquisitions"], c["name"])
    )
    contended = [one for one in classes if one["contentions"]]
    page.heading("Lock contention by lock")
    if not contended:
        page.line(f"No wait for any of the {len(classes)} lock classes that were taken.")
    else:
        shown = contended[:rows]
        page.table(BY_LOCK, (lock_row(one) for one in shown))
        left_out = len(contended) - len(shown)
        more = f"{left_out} more waited for; " if left_out else ""
        quiet = len(classes) - len(contended)
        page.line(f"{more}{quiet} lock classes were taken and never waited for.", "dim")
    render_points(page, contended, rows)
    if any(one["kind"] == SLEEPING for one in contended):
        page.line(
            "Who waits for a semaphore sleeps, and its CPU runs others: never parked.", "dim"
        )
    if stat.get("note"):
        page.line(stat["note"], "warn")
    if not stat["exact_hold_times"]:
        page.line(
            "Hold times are of a sample, 1 section in 16, later in 64; waits are of all.",
            "dim",
        )


def render_points(page: Page, contended: list[dict[str, Any]], rows: int) -> None:
    """Print who waited where while who held the lock."""
    points = [(one, point) for one in contended for point in one["points"]]
    if not points:
        return
    points.sort(key=lambda pair: -pair[1]["wait_total_ns"])
    page.heading("Lock contention by caller")
    page.table(BY_CALLER, (point_row(*pair) for pair in points[:rows]))
    if len(points) > rows:
        page.line(f"{len(points) - rows} more pairs of waiter and holder.", "dim")
