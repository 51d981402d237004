"""A machine boots, runs what is given to it, and says clearly why it cannot."""

import os
import pickle
import signal
import subprocess
import sys
import threading

import pytest

from cpus.errors import ConfigError, CpuDied, MachineError
from smpmm.machine import Machine


class Local(Exception):
    """An exception class that is known here only by value."""


def test_run_returns_the_value():
    with Machine(cpus=4, mem="4M") as machine:
        assert machine.run(lambda: 42) == 42


def test_each_cpu_is_a_process_of_its_own():
    with Machine(cpus=4, mem="4M") as machine:
        pids = [machine.run(os.getpid, cpu=n) for n in range(4)]
        assert len({*pids, os.getpid()}) == 5
        assert [cpu.pid for cpu in machine.cpus] == pids


def test_exceptions_keep_their_class_and_bring_the_remote_traceback():
    def fail():
        raise Local("numbers", 7)

    with Machine(cpus=1, mem="4M") as machine:
        with pytest.raises(Local) as caught:
            machine.run(fail)
        assert caught.value.args == ("numbers", 7)
        assert 'raise Local("numbers", 7)' in str(caught.value.__cause__)


def test_output_of_a_task_comes_out_of_the_users_stdout(capsys):
    with Machine(cpus=2, mem="4M") as machine:
        machine.run(lambda: print("from a CPU"), cpu=1)
        machine.run(lambda: print("complaint", file=sys.stderr), cpu=0)
    out = capsys.readouterr()
    assert out.out == "from a CPU\n"
    assert out.err == "complaint\n"


def test_a_large_argument_and_result_travel():
    data = os.urandom(3 << 20)
    with Machine(cpus=2, mem="4M") as machine:
        assert machine.run(lambda text: text[::-1], data) == data[::-1]


def test_a_result_that_cannot_be_pickled_comes_as_text():
    with Machine(cpus=1, mem="4M") as machine:
        assert "generator" in machine.run(lambda: (n for n in range(3)))


def test_several_machines_at_once_from_several_threads():
    results = []

    def use(n: int) -> None:
        with Machine(cpus=2, mem="4M") as machine:
            results.append(machine.run(lambda: n * n))

    threads = [threading.Thread(target=use, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [0, 1, 4]


def test_threads_share_a_machine():
    results = []
    with Machine(cpus=2, mem="4M") as machine:
        threads = [
            threading.Thread(target=lambda n=n: results.append(machine.run(lambda: n)))
            for n in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(results) == list(range(6))


def test_a_pickled_machine_is_another_client():
    with Machine(cpus=2, mem="4M") as machine:
        other = pickle.loads(pickle.dumps(machine))
        assert other.run(lambda: "second client") == "second client"
        other.close()
        assert machine.run(lambda: "first client") == "first client"


def test_a_forked_child_is_another_client():
    with Machine(cpus=2, mem="4M") as machine:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = 0 if machine.run(lambda: 5) == 5 else 1
                machine.close()
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
        assert machine.run(lambda: 6) == 6


def test_a_task_of_a_killed_cpu_raises_cpu_died():
    with Machine(cpus=2, mem="4M") as machine:
        task = machine.spawn(lambda: os.kill(os.getpid(), 9), cpu=1)
        with pytest.raises(CpuDied, match="CPU 1 died, killed by SIGKILL, with <lambda>"):
            task.result(20)
        assert machine.cpus[1].state == "dead"
        assert machine.run(lambda: "alive") == "alive"
        with pytest.raises(CpuDied):
            machine.run(lambda: 0, cpu=1)


def test_a_nudge_before_a_process_is_ready_does_not_end_it():
    def ignored_signals() -> int:
        """Return what a child of the monitor ignores until it has handlers of its own."""
        with open(f"/proc/{os.getppid()}/status") as status:
            return int(
                next(line for line in status if line.startswith("SigIgn")).split()[1], 16
            )

    with Machine(cpus=1, mem="4M") as machine:
        assert machine.run(ignored_signals) >> (signal.SIGUSR1 - 1) & 1


def test_a_closed_machine_says_so():
    machine = Machine(cpus=1, mem="4M")
    machine.close()
    machine.close()
    with pytest.raises(MachineError, match="closed"):
        machine.run(lambda: 1)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"mem": "lots"}, "mem='lots'"),
        ({"cpus": 0}, "cpus=0"),
        ({"cpus": 65}, "cpus=65"),
        ({"zones": {"DMA": "32M"}}, "DMA has"),
        ({"cmdline": "failslab=1,2"}, "failslab='1,2'"),
        ({"cmdline": "slub_debgu"}, "slub_debgu"),
        ({"on_bug": "explode"}, "on_bug='explode'"),
        ({"kernel": "0.01"}, "0.01"),
    ],
)
def test_a_bad_option_is_named_before_any_process_starts(arguments, message, monkeypatch):
    monkeypatch.setattr("subprocess.Popen", None)
    with pytest.raises(ConfigError, match=message):
        Machine(**arguments)


def test_a_host_without_room_is_one_clear_error(monkeypatch):
    monkeypatch.setattr("subprocess.Popen", None)
    monkeypatch.setattr("smpmm.config.available_bytes", lambda: 10 << 20)
    with pytest.raises(MachineError, match="10 MiB available"):
        Machine(mem="64M")


WITHOUT_FILES = """
import resource, sys
from smpmm import Machine

resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]),) * 2)
try:
    Machine(cpus=8, mem="4M")
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""


@pytest.mark.parametrize("most", [12, 24])  # before the first CPU is forked, and behind it
def test_a_boot_that_fails_says_why_and_leaves_nothing(tmp_path, most: int):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    environment.pop("XDG_RUNTIME_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_FILES, str(most)],
        env=environment,
        capture_output=True,  # which ends with the last process that has its streams
        text=True,
        timeout=30,
    )
    assert done.stdout == (
        "MachineError: the machine did not boot: OSError: [Errno 24] Too many open files\n"
    )
    assert done.stderr == ""
    assert not list(tmp_path.iterdir())
