"""What a client leaves open when it goes is closed for it, as for a process that exits."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import smpmm
from cpus.errors import CpuDied
from smpmm import Machine

DEADLINE_S = 30

# Minor 1 opens when minor 0 says so by its ioctl, and not before; a read waits for a signal.
DRIVER = """
import os
import signal
from smpmm.kernel import *


class Watched(KStruct):
    opened: atomic_t
    waiting: atomic_t
    released: atomic_t
    dying: s32
    major: s32
    go: completion
    never: wait_queue_head_t


watched = Watched.static()


def watched_open(inode, filp):
    if MINOR(inode.i_rdev) == 1:
        atomic_inc(watched.waiting)
        wait_for_completion(watched.go)
    atomic_inc(watched.opened)
    return 0


def watched_read(filp, buf, count, f_pos):
    atomic_inc(watched.waiting)
    if wait_event_interruptible(watched.never, lambda: False):
        return -ERESTARTSYS
    return 0


def watched_ioctl(inode, filp, cmd, arg):
    if cmd == 0:
        return atomic_read(watched.opened)
    if cmd == 1:
        return atomic_read(watched.waiting)
    if cmd == 2:
        return atomic_read(watched.released)
    if cmd == 3:
        complete(watched.go)
    if cmd == 4:
        watched.dying = 1
    return 0


def watched_release(inode, filp):
    if watched.dying:
        watched.dying = 0
        os.kill(os.getpid(), signal.SIGKILL)
    atomic_inc(watched.released)
    return 0


fops = file_operations(
    owner=THIS_MODULE,
    open=watched_open,
    read=watched_read,
    ioctl=watched_ioctl,
    release=watched_release,
)


@module_init
def watched_init():
    init_completion(watched.go)
    init_waitqueue_head(watched.never)
    watched.major = register_chrdev(0, "watched", fops)
    return min(0, watched.major)


@module_exit
def watched_exit():
    unregister_chrdev(watched.major, "watched")
"""
OPENED, WAITING, RELEASED, GO, DIE = range(5)

CLIENT = """
    import os, sys
    from smpmm.machine import attach
    machine = attach(sys.argv[1])
    {begin}
    print("ready", flush=True)
    {then}
    sys.stdin.read()
"""


@pytest.fixture
def driver(tmp_path: Path) -> str:
    path = tmp_path / "watched.py"
    path.write_text(DRIVER)
    return str(path)


@pytest.fixture
def machine(driver: str) -> Iterator[Machine]:
    with Machine(cpus=3, mem="8M") as machine:
        machine.insmod(driver)
        yield machine


class Client:
    """A host process that has attached itself to the machine."""

    def __init__(self, machine: Machine, begin: str, then: str = ""):
        code = textwrap.dedent(CLIENT).format(begin=begin, then=then)
        directory = machine._connection.booted["directory"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def end(self, how: signal.Signals | None = signal.SIGKILL) -> None:
        """Kill it, or let it return without closing anything."""
        if how is not None:
            self.process.send_signal(how)
        self.process.communicate(timeout=DEADLINE_S)


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "never became true"
        time.sleep(0.005)


def uses(machine: Machine) -> int:
    line = next(s for s in machine.proc("modules").splitlines() if s.startswith("watched"))
    return int(line.split()[2])


def arm_kill(machine: Machine, point: str) -> None:
    def arm() -> None:
        from cpus import kill_cy

        kill_cy.arm(point)

    machine.run(arm)


@pytest.fixture
def control(machine: Machine) -> Iterator[Any]:
    with machine.open("/dev/watched0", "rb") as device:
        yield device


@pytest.mark.parametrize("how", (signal.SIGKILL, signal.SIGTERM))
def test_files_of_a_killed_client_are_released(machine, control, how) -> None:
    client = Client(machine, "files = [machine.open('/dev/watched0', 'rb') for _ in 'abc']")
    assert control.ioctl(OPENED) == 4 and uses(machine) == 4
    client.end(how)
    wait_until(lambda: uses(machine) == 1)
    assert control.ioctl(RELEASED) == 3
    control.close()
    machine.rmmod("watched")
    machine.check()


def test_files_of_a_client_that_forgets_them_are_released(machine, control) -> None:
    client = Client(machine, "machine.open('/dev/watched0', 'rb').detach()", "os._exit(0)")
    client.end(None)
    wait_until(lambda: uses(machine) == 1 and control.ioctl(RELEASED) == 1)


def test_a_read_that_sleeps_ends_before_its_file_is_released(machine, control) -> None:
    begin = "device = machine.open('/dev/watched0', 'rb', buffering=0)"
    client = Client(machine, begin, "device.read(1)")
    wait_until(lambda: control.ioctl(WAITING) == 1)
    assert control.ioctl(RELEASED) == 0
    client.end()
    wait_until(lambda: uses(machine) == 1)
    assert control.ioctl(RELEASED) == 1


def test_an_open_that_succeeds_too_late_is_undone(machine, control) -> None:
    client = Client(machine, "", "machine.open('/dev/watched1', 'rb')")
    wait_until(lambda: control.ioctl(WAITING) == 1)
    client.end()
    # A second client's files are closed: so the monitor has seen the end of the first one.
    Client(machine, "device = machine.open('/dev/watched0', 'rb')").end()
    wait_until(lambda: control.ioctl(RELEASED) == 1)
    assert uses(machine) == 2, "its open waits for a completion, which no signal ends"
    control.ioctl(GO)
    wait_until(lambda: uses(machine) == 1)
    assert (control.ioctl(OPENED), control.ioctl(RELEASED)) == (3, 2)


def test_tasks_of_a_client_that_has_gone_go_on(machine, control) -> None:
    waits = "def waits():\n    import smpmm; smpmm.open('/dev/watched1', 'rb').close()\n"
    client = Client(machine, f"{waits}machine.spawn(waits)")
    wait_until(lambda: control.ioctl(WAITING) == 1)
    client.end()
    Client(machine, "device = machine.open('/dev/watched0', 'rb')").end()
    wait_until(lambda: control.ioctl(RELEASED) == 1)
    control.ioctl(GO)
    wait_until(lambda: control.ioctl(RELEASED) == 2)
    assert uses(machine) == 1


def test_the_files_of_others_stay_open(machine, control) -> None:
    """Also when a CPU dies: a file belongs to its client, not to the CPU that opened it."""
    first = Client(machine, "device = machine.open('/dev/watched0', 'rb')")
    second = Client(machine, "device = machine.open('/dev/watched0', 'rb')")
    os.kill(machine.cpus[2].pid, signal.SIGKILL)
    machine._deaths(1)
    first.end()
    wait_until(lambda: uses(machine) == 2)
    assert control.ioctl(RELEASED) == 1
    second.end()
    wait_until(lambda: uses(machine) == 1)


def test_a_cpu_that_dies_in_release_leaves_no_file_open(machine, control) -> None:
    device = machine.open("/dev/watched0", "rb")
    control.ioctl(DIE)
    device.close()
    machine._deaths(1)
    assert uses(machine) == 1 and control.ioctl(RELEASED) == 1

    client = Client(machine, "device = machine.open('/dev/watched0', 'rb')")
    control.ioctl(DIE)
    client.end()
    machine._deaths(2)
    wait_until(lambda: uses(machine) == 1)
    assert control.ioctl(RELEASED) == 2
    machine.check()


@pytest.mark.parametrize("point", ("file_passed", "file_claimed", "open_file"))
def test_an_open_whose_cpu_dies_leaves_no_file_open(machine, control, point) -> None:
    """Also when the file is the client's already, who does not know of it."""
    arm_kill(machine, point)
    with pytest.raises(CpuDied):
        machine.open("/dev/watched0", "rb")
    machine._deaths(1)
    assert uses(machine) == 1 and control.ioctl(RELEASED) == 1
    control.close()
    machine.rmmod("watched")


def test_a_close_whose_cpu_dies_is_done_by_another(machine, control) -> None:
    """It died before the call began: the client asks again, by the name of its open."""
    device = machine.open("/dev/watched0", "rb", buffering=0)

    class DiesAtClose:
        def call(self, name: str, *args: Any) -> Any:
            raise CpuDied("CPU 0 died with sys_close")

        forget = device._calls.forget

    device._calls = DiesAtClose()
    device.close()
    assert uses(machine) == 1 and control.ioctl(RELEASED) == 1


def test_a_task_killed_in_open_closes_what_it_opened(machine, control) -> None:
    def opens() -> None:
        with smpmm.open("/dev/watched1", "rb"):
            pass

    task = machine.spawn(opens)
    wait_until(lambda: control.ioctl(WAITING) == 1)
    task.kill()
    control.ioctl(GO)
    with pytest.raises(BaseException, match="killed"):
        task.result(DEADLINE_S)
    assert control.ioctl(OPENED) == control.ioctl(RELEASED) + 1
    assert uses(machine) == 1


def test_a_closed_file_is_not_closed_twice(machine, control) -> None:
    raw = machine.open("/dev/watched0", "rb", buffering=0)
    handle, owner = raw._handle, raw._owner
    raw.close()
    with pytest.raises(OSError, match="closed|descriptor"):
        raw._calls.call("sys_close", handle, owner)
    assert control.ioctl(RELEASED) == 1
