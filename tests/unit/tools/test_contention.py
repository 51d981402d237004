"""The contention report: sorted by total wait, by lock and by caller."""

import io

from smpmm_tools import contention, output


def lock_class(name: str, wait_ns: int, points: list | None = None) -> dict:
    return {
        "name": name, "kind": "spinlock", "acquisitions": 1000, "acq_bounces": 10,
        "con_bounces": 5, "contentions": 4 if wait_ns else 0, "wait_min_ns": 10,
        "wait_max_ns": wait_ns, "wait_total_ns": wait_ns, "parked_ns": 7000,
        "descheduled_ns": 3000, "nr_timed": 60, "hold_min_ns": 1, "hold_max_ns": 900,
        "hold_total_ns": 6000, "read_acquisitions": 0, "read_contentions": 0,
        "read_wait_total_ns": 0, "wait_hist": [], "hold_hist": [], "points": points or [],
    }  # fmt: skip


def point(waiter: str, holder: str, wait_ns: int) -> dict:
    return {
        "waiter": waiter, "holder": holder, "waiter_site": 1, "holder_site": 2,
        "contentions": 2, "wait_total_ns": wait_ns, "wait_max_ns": wait_ns,
        "parked_ns": 11_000, "descheduled_ns": 13_000,
    }  # fmt: skip


def rendered(*classes: dict, rows: int = 20) -> list[str]:
    stream = io.StringIO()
    stat = {"classes": list(classes), "exact_hold_times": False, "uptime_ns": 1, "cpus": 4}
    contention.render(output.Page(stream), stat, rows)
    return stream.getvalue().splitlines()


def test_locks_are_sorted_by_total_wait() -> None:
    lines = rendered(lock_class("a", 100), lock_class("b", 5_000_000), lock_class("quiet", 0))
    names = [line.split()[0] for line in lines if line.startswith(("a ", "b ", "quiet"))]
    assert names == ["b", "a"]
    assert any("1 lock classes were taken and never waited for" in line for line in lines)


def test_a_row_has_holder_descheduled_and_parked_time() -> None:
    lines = rendered(
        lock_class("zone", 900, [point("alloc (a.py:1)", "free (b.py:2)", 900_000)])
    )
    row = next(line for line in lines if "alloc (a.py:1)" in line)
    assert "free (b.py:2)" in row
    assert "13.00 us" in row and "11.00 us" in row and "900.00 us" in row


def test_who_waits_for_a_semaphore_is_not_parked() -> None:
    one = lock_class("sem", 900, [point("down (a.py:1)", "up (b.py:2)", 900_000)])
    lines = rendered({**one, "kind": "semaphore"})
    assert not any("7.00 us" in line or "11.00 us" in line for line in lines)
    assert any("never parked" in line for line in lines)


def test_callers_of_all_locks_are_sorted_together() -> None:
    lines = rendered(
        lock_class("a", 100, [point("small", "x", 1000)]),
        lock_class("b", 90, [point("large", "y", 90_000)]),
    )
    text = "\n".join(lines)
    assert text.index("large") < text.index("small")


def test_rows_left_out_are_counted() -> None:
    lines = rendered(*(lock_class(f"lock{n}", n + 1) for n in range(5)), rows=2)
    assert any(line.startswith("3 more waited for") for line in lines)


def test_a_run_without_waits_says_so() -> None:
    lines = rendered(lock_class("zone", 0))
    assert "No wait for any of the 1 lock classes that were taken." in lines
