"""Interrupts on a whole machine: handlers on every CPU, devices, and what a SIGKILL leaves."""

import errno
import os
import re
import resource
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cpus.errors import MachineError
from smpmm import Machine

DRIVER = Path(__file__).parent / "irq_driver.py"
DEADLINE_S = 30.0


def look(words: int) -> dict[str, Any]:
    """Return the driver's words and the line's; a task."""
    from cpus import atomic_cy, percpu_cy
    from interrupts import irq, irq_cy

    names = ("interrupts", "tasklets", "misplaced")
    found: dict[str, Any] = {
        name: atomic_cy.atomic_read(words + 8 * i) for i, name in enumerate(names)
    }
    found["timers"] = atomic_cy.atomic_read(words + 248)
    found["line"] = irq_cy.line_info(5)
    found["text"] = irq.interrupts_text()
    slots = [percpu_cy.slot_info(slot) for slot in range(32)]
    found["pids"] = {info["name"]: info["pid"] for info in slots if info["state"] == 1}
    found["counts"] = [percpu_cy.cpu_info(cpu)["preempt_count"] for cpu in range(2)]
    return found


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine(cpus=2, mem="16M", seed=3) as booted:
        booted.insmod(str(DRIVER))
        yield booted


@pytest.fixture
def words(machine: Machine) -> int:
    found = re.search(r"words (\d+)", log(machine))
    assert found
    return int(found[1])


def log(machine: Machine) -> str:
    return machine.dmesg()


def wait_for(look_again: Callable[[], Any]) -> Any:
    """Look until there is something, and return it."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := look_again()):
        assert time.monotonic() < deadline, "nothing happened"
    return found


def test_a_device_interrupts_every_cpu_and_tasklets_follow(
    machine: Machine, words: int
) -> None:
    machine.start_synthetic(5, 1000)
    seen = wait_for(
        lambda: (s := machine.run(look, words))["interrupts"] > 200 and s["tasklets"] and s
    )
    assert all(seen["line"]["counts"])
    machine.stop_synthetic(5)
    wait_for(lambda: "synthetic5" not in machine.run(look, words)["pids"])
    quiet = wait_for(lambda: (s := machine.run(look, words))["line"]["status"] == 0 and s)
    assert quiet["interrupts"] == sum(quiet["line"]["counts"])
    assert quiet["line"]["raised"] == quiet["interrupts"] + quiet["line"]["merged"]
    assert quiet["misplaced"] == 0
    wait_for(lambda: machine.run(look, words)["counts"] == [0, 0])
    assert re.search(r"^  5: +\d+ +\d+    IO-APIC-edge  irq_driver$", quiet["text"], re.M)


def test_a_killed_handler_shuts_its_line_and_the_machine_goes_on(
    machine: Machine, words: int
) -> None:
    machine.start_synthetic(5, 1000)
    seen = wait_for(lambda: (s := machine.run(look, words))["interrupts"] > 20 and s)
    os.kill(seen["pids"]["irq5"], signal.SIGKILL)
    wait_for(lambda: "irq 5: handler process died, line disabled" in log(machine))
    shut = machine.run(look, words)
    lost = wait_for(lambda: (s := machine.run(look, words))["line"]["lost"] and s)
    assert lost["interrupts"] == shut["interrupts"]
    machine.stop_synthetic(5)
    machine.rmmod("irq_driver")
    machine.insmod(str(DRIVER))
    again = int(re.findall(r"words (\d+)", log(machine))[-1])
    machine.raise_irq(5, 1)
    seen = wait_for(lambda: (s := machine.run(look, again))["interrupts"] and s)
    assert seen["line"]["counts"][1] >= 1
    wait_for(lambda: machine.run(look, again)["counts"] == [0, 0])


def test_a_killed_timer_is_started_again(machine: Machine, words: int) -> None:
    first = machine.run(look, words)["pids"]["timer"]
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: machine.run(look, words)["pids"].get("timer", first) != first)
    assert "timer: restarted" in log(machine)
    seen = machine.run(look, words)
    wait_for(lambda: machine.run(look, words)["timers"] > seen["timers"] + 3)


@pytest.mark.parametrize("spare", [1, 2, 3])
def test_a_device_that_the_host_has_no_files_for_costs_nothing(spare: int) -> None:
    with Machine(cpus=1, mem="4M") as machine:
        monitor = machine._process.pid
        files = sorted(int(fd) for fd in os.listdir(f"/proc/{monitor}/fd"))
        usual = resource.prlimit(monitor, resource.RLIMIT_NOFILE)
        most = (files[-1] + 1 + spare, usual[1])
        resource.prlimit(monitor, resource.RLIMIT_NOFILE, most)
        for _ in range(300):  # more than there are slots for processes
            with pytest.raises(MachineError, match="Too many open files"):
                machine.start_synthetic(5, 100)
        assert sorted(int(fd) for fd in os.listdir(f"/proc/{monitor}/fd")) == files
        resource.prlimit(monitor, resource.RLIMIT_NOFILE, usual)
        machine.start_synthetic(5, 100)
        assert machine.stop_synthetic(5)
        machine.check()


ONE_LINE = """
from smpmm.kernel import *

def handler(irq, dev_id, regs):
    pass

@module_init
def one_line_init():
    return request_irq(7, handler, 0, "one_line", None)

@module_exit
def one_line_exit():
    free_irq(7, None)
"""


def test_a_line_that_the_host_has_no_process_for_is_refused_at_once(tmp_path: Path) -> None:
    driver = tmp_path / "one_line.py"
    driver.write_text(ONE_LINE)
    with Machine(cpus=1, mem="4M") as machine:
        monitor = machine._process.pid
        files = sorted(int(fd) for fd in os.listdir(f"/proc/{monitor}/fd"))
        usual = resource.prlimit(monitor, resource.RLIMIT_NOFILE)
        resource.prlimit(monitor, resource.RLIMIT_NOFILE, (files[-1] + 1, usual[1]))
        with pytest.raises(OSError) as refused:
            machine.insmod(str(driver))
        assert refused.value.errno == errno.ENOMEM
        assert "irq 7: no process for its handler: " in log(machine)
        resource.prlimit(monitor, resource.RLIMIT_NOFILE, usual)
        machine.insmod(str(driver))
        machine.rmmod("one_line")
        machine.check()


def spin(ticks: int) -> tuple[int, int]:
    """Be busy for some ticks, in a task; returns how many interrupts line 0 has had meanwhile,
    and in how many ticks this CPU was seen busy."""
    from interrupts import globalirq_cy, irq_cy, timer_cy
    from smpmm.kernel import smp_processor_id

    def counts() -> tuple[int, int]:
        own = globalirq_cy.timer_counts()[smp_processor_id()]
        return sum(irq_cy.line_info(0)["counts"]), own

    line, own = counts()
    end = timer_cy.timer_jiffies() + ticks
    while timer_cy.timer_jiffies() < end:
        pass
    line_after, own_after = counts()
    return line_after - line, own_after - own


def test_each_tick_of_a_busy_machine_is_an_interrupt_of_line_0(machine: Machine) -> None:
    line, own = wait_for(lambda: (seen := machine.run(spin, 10))[1] >= 5 and seen)
    assert line >= own - 1  # the look at the two counts may have a tick between it
