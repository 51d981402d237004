"""Whatever ends a command or the suite, nothing of it stays behind."""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

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
