"""The host's side of `smpmm bench`: machines to measure in, processes to measure."""

import os
import re
import signal
import time
from typing import Any, Final, NamedTuple

from smpmm import Machine
from smpmm_tools import bench_tasks

SEGMENT: Final = re.compile(
    r"^2[0-9a-f]{11}-"
)  # the machines' address range, in /proc/*/smaps
# Travels by value, as what a script defines; a module's would be imported by the CPU.
OWN_FUNCTION: Final = eval("lambda: None", {"__name__": "__main__"})
START_S: Final = 0.05  # from now until all CPUs begin together
DEADLINE_S: Final = 10.0
MANY_AREAS: Final = (10, 15_000)


def pairs(rounds: int, nr: int) -> dict[str, float]:
    """Return ns of a pair, by name."""
    with Machine(cpus=1) as machine:
        result = machine.run(bench_tasks.pairs, rounds, nr)
        both = machine.run(bench_tasks.lock_statistics, rounds, nr)
    return {**result, "page_with": both["with"], "page_without": both["without"]}


def areas(rounds: int, nr: int) -> dict[str, float]:
    """Return ns of a pair of vmalloc and vfree and of what it is compared with, by name."""
    with Machine(cpus=1, mem="128M") as machine:
        best = machine.run(bench_tasks.areas, rounds, nr)
        for nr_areas in MANY_AREAS:
            best[f"beside {nr_areas}"] = machine.run(
                bench_tasks.beside_areas, rounds, max(100, nr // 10), nr_areas
            )
    return best


class Scaling(NamedTuple):
    """Pairs per second, by the number of CPUs that do them."""

    rates: dict[int, float]
    per_processor_second: dict[int, float]
    """Of a CPU on average, in a second of host processor: it falls when the CPUs are in each
    other's way, and not when others use the host."""
    host: dict[int, float]
    """Of calls that do nothing: what the host has for CPUs that share nothing."""


def scaling(cpu_counts: tuple[int, ...], seconds: float, rounds: int) -> Scaling:
    """Measure pairs by the number of CPUs that do them, best of the rounds."""
    result = Scaling({}, {}, {})

    def measure(machine: Machine, count: int, kernel: bool) -> None:
        start_ns = time.monotonic_ns() + int(START_S * 1e9)
        tasks = [
            machine.spawn(bench_tasks.pairs_until, start_ns, seconds, kernel, cpu=cpu)
            for cpu in range(count)
        ]
        done = [task.result(DEADLINE_S) for task in tasks]
        rates = result.rates if kernel else result.host
        rates[count] = max(sum(pairs for pairs, _ in done) / seconds, rates.get(count, 0.0))
        if kernel:
            rate = sum(per_second for _, per_second in done) / count
            busy = result.per_processor_second
            busy[count] = max(rate, busy.get(count, 0.0))

    with Machine(cpus=max(cpu_counts)) as machine:
        for _ in range(rounds):
            for count in cpu_counts:
                measure(machine, count, True)
            for count in cpu_counts[:2]:
                measure(machine, count, False)
    return result


def scull_writes(rounds: int) -> dict[str, float]:
    """Return ns of a 64 KiB block: written to scull, copied in RAM."""
    with Machine(cpus=1) as machine:
        machine.insmod("scull")
        result = machine.run(bench_tasks.scull_writes, rounds)
        machine.rmmod("scull")
    return result


def boots(cpus: int, rounds: int) -> list[float]:
    """Return how long machines took to boot, in ms."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        with Machine(cpus=cpus):
            times.append((time.perf_counter() - began) * 1e3)
    return times


def owner_deaths(rounds: int) -> list[float]:
    """Return the times from SIGKILL of a lock's owner until another CPU has it, in ms."""
    times = []
    with Machine(cpus=rounds + 1) as machine:
        for victim in range(1, rounds + 1):
            lock = machine.run(bench_tasks.make_lock, cpu=0)
            machine.spawn(bench_tasks.hold, lock, cpu=victim)
            deadline = time.monotonic() + DEADLINE_S
            while not machine.run(bench_tasks.is_held, lock, cpu=0):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"CPU {victim} did not take the lock")
            pid = machine.cpus[victim].pid
            taker = machine.spawn(bench_tasks.take, lock, cpu=0)
            time.sleep(0.02)  # until it waits, asleep
            killed_ns = time.monotonic_ns()
            os.kill(pid, signal.SIGKILL)
            times.append((taker.result(DEADLINE_S) - killed_ns) / 1e6)
    return times


def sizes() -> dict[str, float]:
    """Return bytes: of struct page, of an object's truth, of host memory of a CPU process.

    That before any task has run on it, and after one.
    """
    with Machine(cpus=4) as machine:
        booted = max(own_bytes(cpu.pid) for cpu in machine.cpus)
        for cpu in machine.cpus:
            machine.run(OWN_FUNCTION, cpu=cpu.number)
        used = max(own_bytes(cpu.pid) for cpu in machine.cpus)
        result = machine.run(bench_tasks.sizes)
    return {**result, "cpu_bytes": booted, "used_cpu_bytes": used}


def own_bytes(pid: int) -> float:
    """Return the Pss of a process without its machine's segment, in bytes."""
    total = 0
    inside = False
    with open(f"/proc/{pid}/smaps") as file:
        for line in file:
            if line[0].islower() or line[0].isdigit():  # the head of a mapping
                if "-" in line.split()[0]:
                    inside = SEGMENT.match(line) is not None
            elif line.startswith("Pss:") and not inside:
                total += int(line.split()[1])
    return total * 1024.0


def idle(cpus: int, seconds: float) -> float:
    """Return which part of one host processor an idle machine uses, all its processes."""
    with Machine(cpus=cpus) as machine:
        time.sleep(0.5)  # until the boot has settled
        pids = machine_pids(machine)
        before = {pid: run_ns(pid) for pid in pids}
        began = time.monotonic_ns()
        time.sleep(seconds)
        taken = time.monotonic_ns() - began
        used = sum(run_ns(pid) - before[pid] for pid in pids)
    return used / taken


def machine_pids(machine: Any) -> list[int]:
    """Return the host's numbers of a machine's processes: the monitor and all its children."""
    with open(f"/proc/{machine.cpus[0].pid}/stat") as file:
        monitor = int(file.read().rpartition(")")[2].split()[1])
    with open(f"/proc/{monitor}/task/{monitor}/children") as file:
        return [monitor, *(int(word) for word in file.read().split())]


def run_ns(pid: int) -> int:
    """Return how long a process has run on host processors, in ns."""
    with open(f"/proc/{pid}/schedstat") as file:
        return int(file.read().split()[0])
