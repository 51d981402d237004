"""on_bug='continue': a deadlock ends the machine, as Linux would stand still for ever."""

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from cpus import ship
from smpmm import KernelPanic, Machine, MachineError
from smpmm.kernel import (
    TASK_UNINTERRUPTIBLE,
    KStruct,
    atomic_inc,
    atomic_t,
    raise_irq,
    request_irq,
    schedule_timeout,
    set_current_state,
    smp_processor_id,
    spin_lock,
    spin_lock_init,
    spin_unlock,
    spinlock_t,
    udelay,
)

DEADLINE_S = 30
IRQ = 5


class Device(KStruct):
    first: spinlock_t
    second: spinlock_t
    entered: atomic_t


def interrupt(irq: int, dev_id: int, regs: Any) -> None:
    device = Device.at(dev_id)
    atomic_inc(device.entered)
    spin_lock(device.first)
    spin_unlock(device.first)


def in_a_handler() -> None:
    """Take a lock with interrupts on; the handler wants it on the same CPU."""
    device = Device.static()
    spin_lock_init(device.first)
    assert request_irq(IRQ, interrupt, 0, "unsafe", device) == 0
    spin_lock(device.first)
    raise_irq(IRQ, cpu=smp_processor_id())
    while True:
        udelay(10)


def in_a_task() -> None:
    device = Device.static()
    spin_lock_init(device.first)
    spin_lock(device.first)
    spin_lock(device.first)


def sleeps() -> None:
    set_current_state(TASK_UNINTERRUPTIBLE)
    schedule_timeout(1 << 30)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "never became true"
        time.sleep(0.005)


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def names_in_dev_shm() -> set[str]:
    return set(os.listdir("/dev/shm"))


@pytest.mark.parametrize(
    "workload, title",
    [
        (in_a_handler, "BUG: deadlock detected on CPU#1"),
        (in_a_task, "BUG: spinlock recursion on CPU#1"),
    ],
)
def test_a_deadlock_ends_the_machine(workload: Callable[[], None], title: str) -> None:
    ship.register_by_value("tests")
    before = names_in_dev_shm()
    with Machine(cpus=2, mem="8M", on_bug="continue") as machine:
        monitor = psutil.Process(machine._process.pid)
        everyone = [monitor, *monitor.children()]
        directory = Path(machine._connection.booted["directory"])
        sleeper = machine.spawn(sleeps, cpu=0)
        with pytest.raises(KernelPanic, match=f"^Kernel panic: {title}") as caught:
            machine.run(workload, cpu=1)
        # Every pending result ends so; who comes later is told that there is no machine.
        with pytest.raises(KernelPanic):
            sleeper.result(DEADLINE_S)
        with pytest.raises(MachineError, match=f"has ended: Kernel panic: {title}"):
            machine.run(int)
        assert machine.ended is not None and machine.ended.startswith(f"Kernel panic: {title}")
        log = machine.dmesg()
        assert caught.value.report == log
        assert f"] {title}" in log and "[Deadlock; Linux 2.4 here: " in log
        assert f"{workload.__name__} (test_continue.py:" in log
        assert log.rstrip().splitlines()[-1].partition("] ")[2].startswith("Kernel panic: ")
        wait_until(lambda: not any(map(alive, everyone)))
        assert not directory.exists()
        left = names_in_dev_shm() - before
        # Other machines boot meanwhile; their names are gone a moment later.
        wait_until(lambda: not left & names_in_dev_shm())


def test_both_stacks_are_in_the_log() -> None:
    ship.register_by_value("tests")
    with Machine(cpus=2, mem="8M", on_bug="continue") as machine:
        with pytest.raises(KernelPanic):
            machine.run(in_a_handler, cpu=1)
        log = machine.dmesg()
    assert "interrupt (test_continue.py:" in log
    assert "in_a_handler (test_continue.py:" in log.partition("stack of cpu")[2]
    assert log.count("Kernel panic: ") == 1


SCRIPT = """
    from smpmm import Machine
    from tests.smp.test_continue import in_a_handler

    with Machine(cpus=2, mem="8M", on_bug="continue") as machine:
        machine.run(in_a_handler)
"""


def test_a_program_that_does_not_expect_it_exits_with_1() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 1
    assert (
        done.stderr.rstrip()
        .splitlines()[-1]
        .startswith("cpus.errors.KernelPanic: Kernel panic: BUG: deadlock detected on CPU#")
    ), done.stderr
