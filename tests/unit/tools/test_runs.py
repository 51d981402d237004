"""Run directories: made, found again, read."""

import os
import stat

import pytest

from smpmm_tools import runs


def make(parent, command: str = "stress") -> runs.Run:
    run = runs.create(command, str(parent))
    run.write_json("config.json", {"command": command})
    return run


def test_two_runs_of_one_second_have_directories_of_their_own(tmp_path) -> None:
    first, second = make(tmp_path), make(tmp_path)
    assert first.path != second.path
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o700


def test_latest_is_the_newest(tmp_path) -> None:
    make(tmp_path)
    newest = make(tmp_path)
    assert runs.find(None, str(tmp_path)).path == newest.path
    assert os.readlink(tmp_path / "latest") == newest.path.name


def test_a_run_is_found_by_id_and_by_path(tmp_path) -> None:
    run = make(tmp_path)
    make(tmp_path)
    for name in (run.path.name, str(run.path)):
        assert runs.find(name, str(tmp_path)).path == run.path


@pytest.mark.parametrize("name", [None, "stress-1"])
def test_a_missing_run_is_named(tmp_path, name) -> None:
    with pytest.raises(runs.NoSuchRun, match=name or "no run in"):
        runs.find(name, str(tmp_path))


def test_files_of_a_run_are_written_whole(tmp_path) -> None:
    run = make(tmp_path)
    run.write("proc/slabinfo", "slabinfo - version: 1.1\n")
    run.write("proc/driver/x", "x\n")
    assert run.read("proc/slabinfo") == "slabinfo - version: 1.1\n"
    assert run.proc_names() == ["driver/x", "slabinfo"]
    with pytest.raises(runs.NoSuchRun, match="dmesg.txt"):
        run.read("dmesg.txt")
