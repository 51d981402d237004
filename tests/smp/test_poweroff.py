"""However a machine's user goes away, no process and no file of it stays."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from cpus.errors import MachineError
from smpmm.machine import Machine

DEADLINE_S = 20


def processes_of(machine: Machine) -> list[psutil.Process]:
    monitor = psutil.Process(machine._process.pid)
    return [monitor, *monitor.children()]


def wait_for(condition) -> bool:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_close_ends_every_process_and_removes_the_run_directory():
    with Machine(cpus=3, mem="4M") as machine:
        everyone = processes_of(machine)
        directory = Path(machine._connection.facts["directory"])
        assert len(everyone) >= 4
        assert directory.stat().st_mode & 0o777 == 0o700
    assert not [p for p in everyone if p.is_running()]
    assert not directory.exists()


def test_nothing_of_the_machine_has_a_name_in_dev_shm():
    with Machine(cpus=2, mem="4M") as machine:
        for process in processes_of(machine):
            for fd in Path(f"/proc/{process.pid}/fd").iterdir():
                target = os.readlink(fd)
                if target.startswith("/dev/shm"):
                    assert target.endswith("(deleted)")
            for line in Path(f"/proc/{process.pid}/maps").read_text().splitlines():
                assert "/dev/shm" not in line or line.endswith("(deleted)")


SCRIPT = """
    import os, sys, time
    from smpmm.machine import Machine
    machine = Machine(cpus=2, mem="4M")
    busy = machine.spawn(lambda: [None for _ in iter(int, 1)])
    pids = machine.run(lambda: (os.getpid(), os.getppid()), cpu=1)
    print(*pids, machine.cpus[0].pid, machine._connection.facts["directory"], flush=True)
    {end}
"""


@pytest.mark.parametrize(
    "end, how",
    [
        ("time.sleep(600)", signal.SIGKILL),
        ("time.sleep(600)", signal.SIGTERM),
        ("pass", None),
        ("os._exit(0)", None),
        ("raise SystemExit(3)", None),
        ("raise RuntimeError('of the user')", None),
        ("time.sleep(600)", signal.SIGINT),
        ("import threading; threading.Thread(target=sys.exit).start()", None),
        ("with machine: raise KeyboardInterrupt", None),
        ("os.fork() or os.read(0, 1)", None),  # a child has the machine's socket, and lives on
    ],
)
def test_nothing_survives_the_users_program(end: str, how: signal.Signals | None):
    program = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT).format(end=end)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    *pids, directory = program.stdout.readline().split()
    assert len(pids) == 3
    if how is not None:
        program.send_signal(how)
    program.wait(DEADLINE_S)
    program.stdout.close()
    assert wait_for(lambda: all(gone(int(pid)) for pid in pids))
    assert wait_for(lambda: not os.path.exists(directory))
    program.stdin.close()


KILLED_IN_BOOT = """
    import os, signal
    from smpmm.machine import Machine

    def wait(machine):
        while open(f"/proc/{machine._process.pid}/comm").read() != "smpmm/monitor\\n":
            pass
        os.kill(os.getpid(), signal.SIGKILL)

    Machine._wait_for_boot = wait
    Machine(cpus=2, mem="4M")
"""


def test_a_program_that_is_killed_while_its_machine_boots_leaves_nothing(tmp_path: Path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    environment.pop("XDG_RUNTIME_DIR", None)
    program = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED_IN_BOOT)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    # Reaped at once: there is no such process when the monitor looks for it.
    assert program.wait(DEADLINE_S) == -signal.SIGKILL
    # The stream ends with the last process that has it.
    assert program.communicate(timeout=DEADLINE_S)[0] == b""
    assert not list(tmp_path.iterdir())


def test_cpus_end_with_a_killed_monitor():
    machine = Machine(cpus=2, mem="4M")
    everyone = processes_of(machine)
    directory = machine._connection.facts["directory"]
    os.kill(machine._process.pid, signal.SIGKILL)
    assert wait_for(lambda: all(gone(p.pid) for p in everyone[1:]))
    machine.close()
    assert not os.path.exists(directory)


def test_what_waits_for_a_killed_monitor_says_that_it_is_gone():
    machine = Machine(cpus=2, mem="4M")
    task = machine.spawn(lambda: [None for _ in iter(int, 1)])
    os.kill(machine._process.pid, signal.SIGKILL)
    with pytest.raises(MachineError, match="ended"):
        task.result(DEADLINE_S)
    with pytest.raises(MachineError, match="ended"):
        machine.run(lambda: 1)
    machine.close()
