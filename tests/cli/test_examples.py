"""What the examples' reports say, and how a run with on_bug=continue ends.

That each example ends in the report that it announces is in `test_run`.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import smpmm
from tests.house.tree import ROOT


def run(tmp_path: Path, name: str, on_bug: str = "raise") -> tuple[int, str, Any]:
    """Run an example; returns exit code, output and the record of the run."""
    path = ROOT / "examples" / f"{name}.py"
    code, out, err = smpmm("run", str(path), "--on-bug", on_bug, "--seed", "1", cwd=tmp_path)
    assert "Traceback" not in err, err
    record = json.loads((tmp_path / "smpmm-runs" / "latest" / "result.json").read_text())
    return code, out, record


def kinds(record: Any) -> list[str]:
    return [one["kind"] for one in record["findings"]]


def test_a_deadlock_in_a_handler_is_raised_there_and_the_machine_goes_on(tmp_path) -> None:
    code, _out, record = run(tmp_path, "irq_unsafe_lock")
    assert code == 1
    assert kinds(record) == ["Deadlock"]
    text = record["findings"][0]["text"]
    # Both stacks: the handler's and that of the task which it interrupted.
    assert "interrupt (irq_unsafe_lock.py:31)" in text
    assert " main (irq_unsafe_lock.py:" in text.partition("stack of cpu")[2]
    assert "Device.lock" in text and "taken at main (irq_unsafe_lock.py:41)" in text
    log = (tmp_path / "smpmm-runs" / "latest" / "dmesg.txt").read_text()
    assert "Kernel panic" not in log


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("irq_unsafe_lock", ("irq_unsafe_lock.py:31", "irq_unsafe_lock.py:41")),
        ("abba", ("take_both (abba.py:28)", "take_both (abba.py:32)")),
    ],
)
def test_a_deadlock_that_linux_does_not_survive_ends_the_machine(
    tmp_path, name: str, places: tuple[str, ...]
) -> None:
    code, out, record = run(tmp_path, name, "continue")
    assert code == 1, out
    assert kinds(record) == ["Deadlock", "KernelPanic"], out
    assert all(place in record["findings"][0]["text"] for place in places)


def test_continue_does_what_linux_does_where_it_goes_on(tmp_path) -> None:
    code, out, record = run(tmp_path, "sleep_in_atomic", "continue")
    assert (code, kinds(record)) == (1, ["SleepingInAtomic"]), out
    text = record["findings"][0]["text"]
    assert "in_atomic(): 1" in text and "sleep_in_atomic.py:21" in text  # the lock held


def test_a_report_starts_with_the_drivers_own_lines(tmp_path) -> None:
    _, _, record = run(tmp_path, "double_free")
    trace = record["findings"][0]["text"].partition("Call Trace:\n")[2]
    assert trace.startswith(" main (double_free.py:"), trace


def test_a_leak_is_named_by_call_site(tmp_path) -> None:
    code, _out, record = run(tmp_path, "leak")
    assert code == 1
    summary = record["findings"][0]["summary"]
    assert "1 object of size-64 from leak_init (leak.py:" in summary and "64 bytes" in summary


def test_an_oops_says_which_allocation_was_made_to_fail(tmp_path) -> None:
    _, out, _ = run(tmp_path, "unchecked_kmalloc")
    assert "failslab: 256 bytes for task" in out
    assert "main (unchecked_kmalloc.py:" in out.partition("Injected faults")[2]
