"""The interrupt gate under load: calls and interrupts of one CPU never overlap.

The same stress on a copy whose `enter` is a plain store must see overlaps: what it counts is
the power of the test.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
HARNESS = ROOT / "tests/smp/gate_harness.py"
PLAIN_RUNS = 8


def stress(root: Path, *numbers: int) -> dict[str, int]:
    """Run the stress with the packages below `root`; print and return its counts."""
    done = subprocess.run(
        [sys.executable, HARNESS, root, *map(str, numbers)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    print(f"gate of {root}: {done.stdout.strip()}")
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def plain_gate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the compiled packages whose `enter` publishes by a plain store."""
    copy = tmp_path_factory.mktemp("plain-gate")
    for package in ("cpus", "interrupts"):
        shutil.copytree(ROOT / package, copy / package)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, copy)
    # `enter` is inlined where it is called: what the stress calls is compiled again.
    for folder, name in (("cpus", "percpu_cy"), ("interrupts", "gatestress_cy")):
        next(copy.glob(f"{folder}/{name}.*.so")).unlink()
        subprocess.run(
            [sys.executable, "setup.py", "-q", "build_ext", "--inplace", "--only", name],
            cwd=copy,
            env={**os.environ, "SMPMM_PLAIN_GATE": "1", "SMPMM_SKIP_EXTENSIONS": "0"},
            check=True,
        )
    return copy


def test_no_section_overlaps_an_interrupt_and_no_update_is_lost() -> None:
    result = stress(ROOT, 1_000_000, 8_000)
    assert result["sections"] > 2_000_000
    assert result["interrupts"] == 4 * 8_000
    assert result["signals"] > 0
    assert [result[each] for each in ("overlaps", "broken", "lost")] == [0, 0, 0]
    assert result["sections"] == result["counted"] == result["summed"] == result["ring"]


def test_a_gate_without_the_exchange_overlaps(plain_gate: Path) -> None:
    """Two processes must run at one moment for that: on a busy host that takes more runs."""
    overlaps = 0
    for _run in range(PLAIN_RUNS):
        overlaps += stress(plain_gate, 1_000_000, 8_000)["overlaps"]
        if overlaps:
            break
    assert overlaps > 0


def test_what_an_interrupted_suite_kills_leaves_no_process() -> None:
    with subprocess.Popen([sys.executable, HARNESS, ROOT, "1000000", "100000000"]) as stress:
        while len(children := psutil.Process(stress.pid).children()) < 6:
            assert stress.poll() is None
        stress.kill()
    assert not psutil.wait_procs(children, timeout=20)[1]


def test_killed_cpus_and_handlers_leave_no_cpu_taken() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tests/smp/gate_killer.py", ROOT, "80", "1"],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    print(f"kills: {done.stdout.strip()}")
    result = json.loads(done.stdout)
    assert result["wrong"] == 0, done.stderr
    assert result["overlaps"] == 0
    for point in ("gate_counted", "gate_taken", "gate_releasing", "standing_still"):
        assert result[point] > 0, point
