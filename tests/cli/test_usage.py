"""Help, wrong usage and exit codes."""

import os
import subprocess
import sys

import pytest

from tests.cli.support import COMMAND, environment, smpmm

COMMANDS = ("stress", "run", "lockstat", "proc", "bench")


def test_help_lists_the_commands_and_the_exit_codes() -> None:
    code, out, err = smpmm("--help")
    assert (code, err) == (0, "")
    assert all(f"\n  {name} " in out for name in COMMANDS)
    assert "1 findings" in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    code, out, _ = smpmm(name, "--help")
    assert code == 0
    assert out.startswith(f"Usage: smpmm {name} ")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["nonsense"], "nonsense"),
        (["stress", "--cpus", "0"], "--cpus"),
        (["stress", "--failslab", "lots"], "lots"),
        (["stress", "--disk", "/no/disk"], "/no/disk"),
        (["stress", "--drivers", "scull,rot13"], "rot13"),
        (["stress", "--mem", "rather much"], "rather much"),
        (["stress", "--tree", "/nowhere"], "/nowhere"),
        (["run", "missing.py"], "missing.py"),
        (["lockstat", "no-such-run"], "no-such-run"),
        (["bench", "--only", "nothing"], "nothing"),
    ],
)
def test_wrong_usage_is_2_and_names_what_is_wrong(words, named, tmp_path) -> None:
    code, out, err = smpmm(*words, cwd=tmp_path)
    assert (code, out) == (2, "")
    assert named in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("def main(:\n", "invalid syntax"),
        ("import sys\nsys.exit(7)\n", "SystemExit(7)"),
        ("MACHINE = 5\n\n\ndef main():\n    pass\n", "MACHINE"),
        ("x = 1\n", "neither main()"),
        ("def main():\n    yield 1\n", "work.py: main() is a generator function"),
        ("async def main():\n    pass\n", "work.py: main() is an async function"),
        ("def host_main(machine):\n    yield\n", "host_main() is a generator function"),
        ("async def main():\n    yield 1\n", "main() is an async generator function"),
    ],
)
def test_a_workload_that_cannot_be_loaded_is_wrong_usage(text, named, tmp_path) -> None:
    (tmp_path / "work.py").write_text(text)
    code, out, err = smpmm("run", "work.py", cwd=tmp_path)
    assert (code, out) == (2, "")
    assert named in err


def test_a_directory_that_cannot_be_made_is_wrong_usage(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = smpmm("stress", "-o", "file/runs", "--cpus", "1", cwd=tmp_path)
    assert code == 2
    assert "file/runs: Not a directory" in err
    assert "Traceback" not in err


def test_a_reader_that_has_seen_enough_is_no_failure() -> None:
    """As in `smpmm --help | true`."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, "--help"], env=environment(), stdout=writer, stderr=subprocess.PIPE
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    "words", [["--help"], ["proc", "meminfo"], ["proc", "slabinfo", "--cpus", "1"]]
)
def test_output_that_is_refused_is_told_in_one_line(words: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, *words], env=environment(), stdout=full, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
    assert done.stderr == "smpmm: write error: No space left on device\n"
    assert done.returncode == 3


def test_an_output_that_is_closed_is_told_in_one_line() -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *COMMAND, "--help"], env=environment(),
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (3, "smpmm: write error: Bad file descriptor\n")


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from smpmm_tools.cli import main; main(['--help']); "
        "heavy = ('rich', 'dill', 'multiprocess', 'smpmm'); "
        "sys.exit(str([m for m in heavy if m in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert done.stderr.strip() == "[]"
