"""The main job, short: a verdict, a run's directory, the same report again."""

import json
from pathlib import Path

import pytest

from tests.cli.support import smpmm, smpmm_on_terminal

SHORT = ("stress", "--seconds", "1", "--cpus", "2", "--seed", "7")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str, str]:
    """One run in a pipe: its working directory, exit code, output, error output."""
    cwd = tmp_path_factory.mktemp("stress")
    return (cwd, *smpmm(*SHORT, "--failslab", "5%", cwd=cwd, timeout=110))


def test_a_run_without_findings_is_0(run) -> None:
    _, code, out, err = run
    assert (code, err) == (0, ""), out
    assert "PASSED: nothing found" in out
    assert "\x1b" not in out


def test_the_report_says_what_was_done(run) -> None:
    _, _, out, _ = run
    for heading in ("Throughput", "Interrupts", "Injected faults", "Reclaim", "Verdict"):
        assert f"\n{heading}\n" in out
    assert "scull write" in out
    assert "Lock contention by lock" in out
    repeat = next(line for line in out.splitlines() if line.startswith("repeat  smpmm stress"))
    assert all(text in repeat for text in ("--seed 7", "--cpus 2", "--failslab 5%"))


def test_the_directory_has_everything_that_the_report_is_made_of(run) -> None:
    cwd, _, out, _ = run
    latest = cwd / "smpmm-runs" / "latest"
    config = json.loads((latest / "config.json").read_text())
    assert config["machine"]["seed"] == config["options"]["seed"] == 7
    assert (latest / "report.txt").read_text() in out
    assert "scull inserted" in (latest / "dmesg.txt").read_text()
    names = {path.name for path in (latest / "proc").iterdir()}
    assert {"slabinfo", "meminfo", "interrupts", "lock_stat", "modules"} <= names
    assert json.loads((latest / "result.json").read_text())["findings"] == []


def test_every_fault_has_a_task_a_stack_and_an_ending(run) -> None:
    cwd = run[0]
    lines = (cwd / "smpmm-runs" / "latest" / "events.jsonl").read_text().splitlines()
    faults = [event for event in map(json.loads, lines) if event["type"] == "fault"]
    assert faults
    assert all(one["stack"] and one["who"] and one["ending"] for one in faults)
    assert any(one["who"] == "copier" for one in faults)


def test_lockstat_prints_the_tables_again(run) -> None:
    cwd, _, report, _ = run
    code, out, _ = smpmm("lockstat", cwd=cwd)
    assert code == 0
    assert out.partition("Lock contention by lock")[2].splitlines()[2] in report
    code, out, _ = smpmm("lockstat", "--json", "-", cwd=cwd)
    records = json.loads(out)
    assert {"zone->lock"} <= {one["name"] for one in records["classes"]}


def test_proc_of_a_run_is_the_file_that_was_saved(run) -> None:
    cwd = run[0]
    code, out, _ = smpmm("proc", "slabinfo", "latest", cwd=cwd)
    assert code == 0
    assert out == (cwd / "smpmm-runs" / "latest" / "proc" / "slabinfo").read_text()
    code, _, err = smpmm("proc", "nonsense", "latest", cwd=cwd)
    assert code == 2
    assert "slabinfo" in err


def test_a_run_may_be_without_faults(tmp_path) -> None:
    code, out, _ = smpmm(
        "stress", "--seconds", "0.3", "--cpus", "1", "--drivers", "scullp", "--irq-rate", "0",
        "--failslab", "0%", cwd=tmp_path,
    )  # fmt: skip
    assert code == 0, out
    assert "None: --failslab is 0%." in out


def test_a_terminal_sees_progress_and_colour(tmp_path) -> None:
    code, shown = smpmm_on_terminal(*SHORT, "--failslab", "5%", cwd=tmp_path)
    assert code == 0, shown
    assert "stress" in shown and "━" in shown
    assert "\x1b[" in shown


def test_no_color_is_honoured(tmp_path) -> None:
    _, shown = smpmm_on_terminal(*SHORT, "--failslab", "5%", cwd=tmp_path, NO_COLOR="1")
    assert "\x1b[32m" not in shown and "\x1b[1;31m" not in shown
