"""CPUs, handlers and devices of a machine die under load at any instant; the others go on.

A kill counts when it finds a kernel call in progress or a lock; each test prints how many did.
"""

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import psutil
import pytest

from cpus import kill_cy, ship
from cpus.client import Task
from cpus.errors import CpuDied
from smpmm.machine import Machine
from tests.smp import kill_load

ship.register_by_value("tests")

DRIVER = Path(__file__).parent / "kill_driver.py"
IRQ = 7
KIND_CPU = 1
RESULT_S = 60
IN_HAND = 3  # allocations of a CPU's tasks at one instant, in no mailbox


class Load:
    """A machine whose CPUs are all busy, and those of its processes that may be killed."""

    def __init__(self, machine: Machine, seed: int) -> None:
        self.machine = machine
        self.nr_cpus = machine.config.cpus
        self.dice = random.Random(seed)
        self.monitor = psutil.Process(machine._process.pid)
        machine.insmod("scull", scull_nr_devs=self.nr_cpus + 1)
        machine.insmod("short", short_irq=IRQ)
        machine.insmod(str(DRIVER))
        machine.start_synthetic(IRQ, 1000)
        self.control = machine.run(kill_load.set_up, self.nr_cpus)
        self.dead: set[int] = set()  # numbers of CPUs
        self.killed: set[int] = set()  # host pids of handlers and devices
        self.nr_killed = 0
        self.tasks: list[tuple[int, Task]] = []
        self.readers: list[Task] = []
        self.makers: list[int] = []  # CPUs that make caches
        for cpu in range(self.nr_cpus):
            self.start(cpu)

    def start(self, cpu: int) -> None:
        self.spawn(cpu, kill_load.churn, cpu)
        self.spawn(cpu, kill_load.turns)
        self.spawn(cpu, kill_load.copy, f"/dev/scull{cpu + 1}", 0, cpu)
        self.spawn(cpu, kill_load.copy, "/dev/scull0", 20000 * cpu, cpu)
        self.spawn(cpu, kill_load.pairs)
        self.spawn(cpu, kill_load.locks)
        self.spawn(cpu, kill_load.blocks, 1000 * cpu, cpu)
        if cpu % 3 == 0:
            self.readers.append(self.spawn(cpu, kill_load.read))
        if cpu % 3 == 1:
            self.make_caches(cpu)

    def make_caches(self, cpu: int) -> None:
        self.makers.append(cpu)
        self.spawn(cpu, kill_load.make_caches)

    def replace(self) -> None:
        """Have somebody do what only the dead did: every point must be passed again."""
        if self.dead.issuperset(self.makers):
            self.make_caches(self.alive()[0])

    def spawn(self, cpu: int, function, *args) -> Task:
        task = self.machine.spawn(function, self.control, *args, cpu=cpu)
        self.tasks.append((cpu, task))
        return task

    def alive(self) -> list[int]:
        return [cpu for cpu in range(self.nr_cpus) if cpu not in self.dead]

    def kill_cpu(self, cpu: int) -> None:
        os.kill(self.machine.cpus[cpu].pid, signal.SIGKILL)
        self.dead.add(cpu)
        self.nr_killed += 1

    def kill_named(self, name: str) -> bool:
        """Kill a handler or a device by its name; false when there is none now."""
        for process in self.monitor.children():
            # A killed one may be there still: the host has not come to it yet.
            if process.pid not in self.killed and name_of(process) == name:
                os.kill(process.pid, signal.SIGKILL)
                self.killed.add(process.pid)
                self.nr_killed += 1
                return True
        return False

    def settle(self) -> list:
        return self.machine._deaths(self.nr_killed)

    def end(self) -> None:
        """Have everything end, and look at all of it."""
        machine = self.machine
        self.settle()
        machine.run(kill_load.stop, self.control)
        for task in self.readers:
            task.interrupt()
        for cpu, task in self.tasks:
            try:
                result = task.result(RESULT_S)
            except CpuDied:
                assert cpu in self.dead
            else:
                assert result["errors"] == []
        errors, left = machine.run(kill_load.tear_down, self.control)
        assert errors == []
        assert len(left) <= IN_HAND * len(self.dead), left
        machine.rmmod("short")  # interrupts and timers end: check() wants rest
        machine.rmmod("kill_driver")
        assert "a pending timer was lost" not in machine.dmesg()
        machine.check()
        machine.rmmod("scull")
        machine.check()


def name_of(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def log_of(machine: Machine) -> str:
    """Return a machine's log without the lines that its load writes."""
    lines = machine.dmesg().splitlines()
    return "\n".join(line for line in lines if not line.endswith("goes on"))


def powered_off(machine: Machine) -> list[str]:
    """Close a machine; returns what is left of it: processes, files."""
    everyone = [psutil.Process(machine._process.pid)]
    everyone += everyone[0].children()
    directory = Path(machine._connection.facts["directory"])
    machine.close()
    return [str(each) for each in (*everyone, directory) if still_there(each)]


def still_there(each: psutil.Process | Path) -> bool:
    return each.exists() if isinstance(each, Path) else each.is_running()


def kill_until_two_are_left(seed: int, nr_cpus: int, **options) -> list:
    """Kill CPUs, and now and then a handler or device; returns a record of each death."""
    machine = Machine(cpus=nr_cpus, mem="40M", highmem="8M", seed=seed, **options)
    try:
        load = Load(machine, seed)
        handler_at = load.dice.randrange(nr_cpus)
        while len(load.alive()) > 2:
            # A random instant is what a kill is about: nothing is waited for.
            time.sleep(load.dice.expovariate(50))
            if len(load.dead) == handler_at and load.kill_named(f"irq{IRQ}"):
                handler_at = -1
            elif load.dice.random() < 0.2:
                load.kill_named(load.dice.choice(("timer", f"synthetic{IRQ}")))
            else:
                load.kill_cpu(load.dice.choice(load.alive()))
            if load.dice.random() < 0.5:
                load.settle()
        load.end()
        deaths = load.settle()
    except BaseException:
        print(log_of(machine))
        raise
    finally:
        left = powered_off(machine)
    assert left == []
    return deaths


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "first, last", [(0, 3), pytest.param(100, 160, marks=pytest.mark.slow)]
)
def test_processes_killed_at_random_instants_harm_nobody(first: int, last: int) -> None:
    deaths: list = []
    counted: list = []
    seed = first
    # On a busy host a process waits for a processor most of the time, in Python as often as
    # not: machines more, until there was a death in a kernel call for each that was asked for.
    while seed < last or len(counted) < last - first:
        deaths += kill_until_two_are_left(seed, 8 + seed % 3 * 4)
        counted = [death for death in deaths if death.counts]
        seed += 1
    print(
        f"{len(deaths)} kills, {len(counted)} in a kernel call or with a lock: "
        f"{sum(bool(d.held) for d in counted)} held a spinlock, "
        f"{sum(bool(d.waiting_lock) for d in counted)} waited for one, "
        f"{sum(d.is_cpu for d in counted)} in an interrupt"
    )


@pytest.mark.timeout(600)
def test_processes_killed_in_a_debugging_build_leave_every_object_whole() -> None:
    deaths = kill_until_two_are_left(7, 10, slab_debug=True)
    print(f"{len(deaths)} kills")


# Points of a handler's process, and those that need one that lives: first on a machine.
FIRST = ("irq_handler", "softirq", "tasklet", "standing_still")
# Points that loading a module passes, not the load.
OF_INSMOD = ("text", "module", "class_claimed")
# One that a machine passes a few times at most: when an area needs a new page table.
OF_WIDE_AREAS = ("pgtable",)
MACHINES = 8  # for all points


def arm(point: str) -> None:
    from cpus import kill_cy

    kill_cy.arm(point)


def hits() -> dict[str, int]:
    from cpus import kill_cy

    return kill_cy.hits()


def die_at(load: Load, point: str) -> None:
    """Have the next process that passes a point die there; wait for the recovery."""
    print(point)
    machine = load.machine
    with contextlib.suppress(CpuDied):  # who arms it may be on the CPU that passes it first
        machine.run(arm, point)
    load.nr_killed += 1
    if point in OF_WIDE_AREAS:
        with contextlib.suppress(CpuDied):
            machine.run(kill_load.reach_new_table)
    if point in OF_INSMOD:
        try:
            machine.insmod("scullc")
        except CpuDied:
            pass
        else:  # somebody else has died there, such as the maker of a new cache
            machine.rmmod("scullc")
    deaths = load.settle()
    load.dead |= {death.cpu for death in deaths if death.kind == KIND_CPU}
    load.replace()
    if point in OF_INSMOD:
        machine.insmod("scullc")
        machine.rmmod("scullc")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("group", range(MACHINES))
def test_a_death_at_each_named_point_harms_nobody(group: int) -> None:
    points = sorted(kill_cy.NAMES, key=lambda name: name not in FIRST)[group::MACHINES]
    machine = Machine(cpus=len(points) + 2, mem="40M", highmem="8M", seed=group)
    try:
        load = Load(machine, group)
        for point in points:
            die_at(load, point)
        load.end()
        counts = machine.run(hits)
    except BaseException:
        print(log_of(machine))
        raise
    finally:
        left = powered_off(machine)
    assert left == []
    print(", ".join(f"{point}: {counts[point]}" for point in points))
    assert all(counts[point] for point in points), counts
