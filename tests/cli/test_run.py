"""Workloads of the user's own: the examples end in the report that they announce."""

import ast
import json
from pathlib import Path

import pytest

from tests.cli.support import smpmm
from tests.house.tree import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def expected(path: Path) -> tuple[str, str] | None:
    """Return the EXPECT of an example, without importing it."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "EXPECT":
            return ast.literal_eval(node.value)
    raise LookupError(f"{path} has no EXPECT")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_ends_in_its_report(path: Path, tmp_path: Path) -> None:
    code, out, err = smpmm("run", str(path), "--seed", "1", cwd=tmp_path)
    record = json.loads((tmp_path / "smpmm-runs" / "latest" / "result.json").read_text())
    wanted = expected(path)
    if wanted is None:
        assert (code, record["findings"]) == (0, []), out + err
        return
    assert code == 1, out + err
    kind, text = wanted
    first = record["findings"][0]
    assert first["kind"] == kind, out
    assert text in first["summary"] + first["text"]


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "work.py"
    path.write_text(text)
    return str(path)


def test_arguments_and_a_function_of_another_name(tmp_path) -> None:
    path = write(tmp_path, "def add(a, b):\n    return int(a) + int(b)\n")
    code, out, _ = smpmm("run", f"{path}:add", "--", "40", "2", cwd=tmp_path)
    assert code == 0
    assert "returned 42" in out
    assert f"{path}:add" in out and "-- 40 2" in out


@pytest.mark.parametrize(("status", "code"), [("", 0), ("0", 0), ("4", 1), ("'no'", 1)])
def test_a_workload_may_end_by_sys_exit(status, code, tmp_path) -> None:
    path = write(tmp_path, f"import sys\n\n\ndef main():\n    sys.exit({status})\n")
    found, out, _ = smpmm("run", path, "--cpus", "1", cwd=tmp_path)
    assert found == code, out
    assert (f"SystemExit: main: sys.exit({status})" in out) == bool(code)


def test_the_files_machine_is_a_default_that_options_win_over(tmp_path) -> None:
    path = write(
        tmp_path,
        "MACHINE = {'cpus': 3, 'mem': '32M'}\n"
        "def host_main(machine):\n    return machine.config.cpus, machine.config.ram_bytes\n",
    )
    _, out, _ = smpmm("run", path, "--cpus", "1", cwd=tmp_path)
    assert f"returned (1, {32 << 20})" in out


def test_an_exception_of_the_workload_is_a_finding(tmp_path) -> None:
    path = write(tmp_path, "def main():\n    raise ValueError('no such luck')\n")
    code, out, _ = smpmm("run", path, cwd=tmp_path)
    assert code == 1
    assert "ValueError" in out and "no such luck" in out


@pytest.mark.parametrize(
    ("text", "named"), [("x = ", "cannot be loaded"), ("x = 1\n", "neither main()")]
)
def test_a_file_without_a_workload_is_wrong_usage(tmp_path, text, named) -> None:
    code, _, err = smpmm("run", write(tmp_path, text), cwd=tmp_path)
    assert code == 2
    assert named in err


def test_proc_of_a_fresh_machine(tmp_path) -> None:
    code, out, _ = smpmm("proc", "meminfo", "--mem", "32M", cwd=tmp_path)
    assert code == 0
    assert "MemTotal:" in out
