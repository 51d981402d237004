"""Faults are attributed: who got one, in which call, and how that call ended."""

import io
import json
from collections import Counter

from smpmm_tools import gather, output, report, runs
from smpmm_tools.workload import watch

COPIER = {
    "kind": "copy", "pid": 1001, "name": "copy scull0",
    "faulted": [
        (100, 200, "scull write", "ENOMEM, repeated"),
        (300, 400, "scull read", "short"),
    ],
}  # fmt: skip


WRITE = "scull_write (scull.py:9)"


def fault(number: int, ns: int, task: int, where: str = WRITE, **given) -> dict:
    return {
        "type": "fault", "number": number, "ns": ns, "cpu": 0, "task": task,
        "name": "failslab",
        "size": 4000, "nth": 1,
        "stack": [where], "comm": "workload", "call": None, "result": None, "error": None,
        "ended": False, **given,
    }  # fmt: skip


def attribute(tmp_path, *events: dict, results=(COPIER,)) -> tuple[dict, list[dict]]:
    run = runs.Run(tmp_path)
    run.write("events.cpu0", "".join(json.dumps(event) + "\n" for event in events))
    record = gather.attribute_faults(run, list(results), 1)
    return record, [json.loads(line) for line in run.read("events.jsonl").splitlines()]


def test_a_fault_inside_a_driver_call_has_that_calls_ending(tmp_path) -> None:
    record, events = attribute(tmp_path, fault(1, 150, 1001), fault(2, 350, 1001))
    assert record["total"] == record["in_driver_calls"] == 2
    assert [(one["call"], one["ending"]) for one in events] == [
        ("scull write", "ENOMEM, repeated"),
        ("scull read", "short"),
    ]


def test_a_fault_between_driver_calls_is_not_counted_as_one(tmp_path) -> None:
    record, _ = attribute(tmp_path, fault(1, 250, 1001))
    assert record["in_driver_calls"] == 0


def test_a_fault_of_the_handler_is_told_from_that_of_the_interrupted_task(tmp_path) -> None:
    record, _ = attribute(tmp_path, fault(1, 150, 0, "short_alloc (short.py:70)"))
    assert record["rows"] == [
        ["handler", "short_alloc (short.py:70)", "interrupt", "record dropped and counted", 1]
    ]


def test_a_call_that_no_task_followed_has_the_ending_of_the_machine_s_record(tmp_path) -> None:
    ended = {"call": "insmod", "result": -12, "ended": True}
    record, _ = attribute(tmp_path, fault(1, 50, 7, **ended), fault(2, 50, 7))
    assert [row[0:1] + row[2:] for row in record["rows"]] == [
        ["workload", "insmod", "insmod returned -ENOMEM", 1],
        ["workload", "-", "0 to the task", 1],
    ]


def test_equal_faults_are_one_row(tmp_path) -> None:
    record, _ = attribute(tmp_path, *(fault(n, 150, 1001) for n in range(3)))
    assert [row[-1] for row in record["rows"]] == [3]


def test_half_a_line_of_a_dead_cpu_is_passed_over(tmp_path) -> None:
    (tmp_path / "events.cpu0").write_text(json.dumps(fault(1, 150, 1001)) + '\n{"type": "fa')
    assert gather.attribute_faults(runs.Run(tmp_path), [COPIER], 1)["total"] == 1


def follower(cpu: int, missed: int = 0, **cut: int) -> dict:
    return {
        "kind": "events", "cpu": cpu, "counts": {}, "lost": 0, "most": 20_000,
        "cut": cut, "faults_missed": missed,
    }  # fmt: skip


def test_faults_without_room_count_and_are_told(tmp_path) -> None:
    followers = (follower(0, 3, fault=7, contention=2), follower(1, 2, fault=4))
    record, _ = attribute(tmp_path, fault(1, 150, 1001), results=(COPIER, *followers))
    assert (record["total"], record["cut"], record["missed"]) == (12, 11, 3)
    told = io.StringIO()
    page = output.Page(told)
    report.render_faults(page, record, 1)
    report.render_interrupts(page, {"results": list(followers), "seconds": 1.0}, 0)
    lines = told.getvalue().splitlines()
    assert any("12 allocations made to fail" in line for line in lines)
    assert any("of the 1 that were kept: 11 had no room" in line for line in lines)
    assert any("3 more faults overwritten" in line for line in lines)
    assert (
        "events.jsonl has the first 20,000 records of a kind and CPU; cut off were "
        "7 fault of CPU 0, 2 contention of CPU 0, 4 fault of CPU 1" in lines
    )


def test_what_is_beyond_the_room_of_a_file_is_counted_by_kind() -> None:
    counts = Counter({"fault kept": watch.MOST_RECORDS + 5, "irq": 10**6, "bug kept": 2})
    assert watch.cut_off(counts) == {"fault": 5}
