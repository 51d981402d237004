"""Whatever ends a command or the suite, nothing of it stays behind."""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from tests.cli.support import COMMAND, environment
from tests.house.tree import ROOT

DEADLINE_S = 20.0


def processes(mark: str) -> list[int]:
    """Return the live processes that have inherited `mark` in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark.encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def wait_for(condition, what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def start(words: list[str], mark: str, cwd: Path) -> subprocess.Popen:
    return subprocess.Popen(
        words, cwd=cwd, env=environment(SMPMM_TEST_MARK=mark), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def loaded(cwd: Path) -> bool:
    """Return whether the load of a stress run has begun: an event was written."""
    return any(path.stat().st_size for path in cwd.glob("smpmm-runs/*/events.cpu*"))


def stress(tmp_path: Path, mark: str) -> subprocess.Popen:
    words = [*COMMAND, "stress", "--seconds", "60", "--cpus", "2", "--failslab", "5%"]
    process = start(words, mark, tmp_path)
    wait_for(lambda: loaded(tmp_path), "the load does not begin")
    return process


def test_an_interrupted_run_reports_what_it_has(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    process = stress(tmp_path, mark)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130, out
    assert "Interrupted: the load ended early." in out
    assert "Verdict" in out
    assert (tmp_path / "smpmm-runs" / "latest" / "report.txt").exists()
    wait_for(lambda: not processes(mark), "processes are left")


# A run that waits in its last check, until it is told to go on.
SAVES_SLOWLY = """
import sys, time
from pathlib import Path
from smpmm_tools import cli, gather

real = gather.check


def check(machine, found):
    Path("saving").touch()
    while not Path("go").exists():
        time.sleep(0.01)
    return real(machine, found)


gather.check = check
sys.exit(cli.main(sys.argv[1:]))
"""
WORKLOADS = {
    "stress": ["stress", "--seconds", "0.5", "--cpus", "1", "--failslab", "20%"],
    "run": ["run", "work.py", "--cpus", "1"],
}


@pytest.fixture(params=WORKLOADS)
def saving(request, tmp_path: Path) -> subprocess.Popen:
    """Return a command whose load is over and which is about to save its report."""
    (tmp_path / "work.py").write_text("def main():\n    return 42\n")
    words = [sys.executable, "-c", SAVES_SLOWLY, *WORKLOADS[request.param]]
    process = start(words, uuid.uuid4().hex, tmp_path)
    wait_for((tmp_path / "saving").exists, "nothing is saved")
    return process


def test_an_interrupt_does_not_cost_the_report(saving, tmp_path: Path) -> None:
    saving.send_signal(signal.SIGINT)
    assert saving.stdout.readline().startswith("smpmm: the run is being saved;")
    (tmp_path / "go").touch()
    out, _ = saving.communicate(timeout=60)
    assert saving.returncode == 130, out
    assert "PASSED" in out or "FAILED" in out
    files = {path.name for path in (tmp_path / "smpmm-runs" / "latest").iterdir()}
    assert files >= {"report.txt", "result.json", "lock_stat.json", "dmesg.txt"}


def test_a_second_interrupt_ends_the_saving(saving, tmp_path: Path) -> None:
    saving.send_signal(signal.SIGINT)
    assert saving.stdout.readline().startswith("smpmm: the run is being saved;")
    saving.send_signal(signal.SIGINT)
    out, _ = saving.communicate(timeout=60)
    assert (saving.returncode, out) == (130, "\nsmpmm: interrupted\n")


def test_an_interrupted_workload_is_reported(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(
        "from smpmm.kernel import *\n\n\n"
        "def main():\n"
        "    print('begun', flush=True)\n"
        "    while not signal_pending(current()):\n"
        "        set_current_state(TASK_INTERRUPTIBLE)\n"
        "        schedule_timeout(1)\n"
    )
    process = start([*COMMAND, "run", "work.py", "--cpus", "2"], uuid.uuid4().hex, tmp_path)
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130, out
    assert "Interrupted: the workload was ended early." in out
    assert (tmp_path / "smpmm-runs" / "latest" / "dmesg.txt").exists()


def test_a_killed_run_leaves_no_process(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    process = stress(tmp_path, mark)
    process.kill()
    process.wait()
    wait_for(lambda: not processes(mark), "processes are left")


def test_an_interrupted_suite_leaves_no_process(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    test = tmp_path / "test_machines.py"
    test.write_text(
        "import pytest\nfrom smpmm import Machine\n\n\n"
        "@pytest.mark.parametrize('n', range(4))\n"
        "def test_one(n):\n"
        "    with Machine(cpus=2) as machine:\n"
        f"        open(f'{tmp_path}/running{{n}}', 'w').close()\n"
        "        machine.run(__import__('time').sleep, 60)\n"
    )
    words = [sys.executable, "-m", "pytest", "-n", "2", "-p", "no:cacheprovider", str(test)]
    process = start(words, mark, ROOT)
    wait_for(lambda: list(tmp_path.glob("running*")), "no test runs")
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    wait_for(lambda: not processes(mark), "processes are left")
