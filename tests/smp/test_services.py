"""kswapd and bdflush run on a CPU that is idle, and go on elsewhere when theirs dies."""

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from smpmm import Machine

HDA = 0x300
DEADLINE_S = 60
KSWAPD, BDFLUSH = 0, 1


@pytest.fixture
def machine() -> Iterator[Machine]:
    from cpus import ship

    ship.register_by_value("tests")
    with Machine(cpus=3, mem="16M") as machine:
        # They begin as tasks of two CPUs, beside whatever the first program runs on the third.
        wait_until(lambda: machine.run(both_live))
        yield machine


def where() -> list[tuple[int, int, int]]:
    """Return (CPU, pid, state) of kswapd and of bdflush."""
    from cpus import service_cy, task_cy

    found = {
        service_cy.service_of(one["at"]): (one["cpu"], one["pid"], one["state"])
        for one in task_cy.all_tasks()
    }
    return [found[number] for number in (KSWAPD, BDFLUSH)]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "never became true"
        time.sleep(0.01)


def keep_busy_and_dirty(home: int) -> list[tuple[int, int]]:
    """Never sleep; make bdflush wanted, until it was seen on another CPU than `home`.

    Returns (CPU, pid) of each time: on a host that gives the others no time, home is first.
    """
    from cpus import service_cy, task_cy
    from smpmm.mm import access_cy
    from smpmm.mm.buffer_io_cy import bread, brelse, mark_buffer_dirty

    seen: set[tuple[int, int]] = set()
    deadline = time.monotonic() + DEADLINE_S / 2
    block = 0
    while not any(cpu != home for cpu, _ in seen) and time.monotonic() < deadline:
        block += 1
        address = bread(HDA, block % 200)
        access_cy.poke(address, block.to_bytes(4, "little"))
        mark_buffer_dirty(address)
        brelse(address)
        for one in task_cy.all_tasks():
            if service_cy.service_of(one["at"]) == BDFLUSH:
                seen.add((one["cpu"], one["pid"]))
    return sorted(seen)


def test_a_service_thread_is_woken_on_an_idle_cpu(machine: Machine) -> None:
    home, pid, _ = machine.run(where)[BDFLUSH]
    seen = machine.spawn(keep_busy_and_dirty, home, cpu=home).result(DEADLINE_S)
    assert {who for _, who in seen} == {pid}, "it is one task, wherever it runs"
    assert {cpu for cpu, _ in seen} - {home}, "its own CPU was busy, others idle"
    machine.check()


def test_there_is_one_of_each_after_its_cpu_has_died(machine: Machine) -> None:
    for number in range(2):
        alive = [n for n, cpu in enumerate(machine.cpus) if cpu.pid is not None]
        home = machine.spawn(where, cpu=alive[-1]).result(DEADLINE_S)[KSWAPD][0]
        os.kill(machine.cpus[home].pid, signal.SIGKILL)
        machine._deaths(number + 1)
        left = [n for n in alive if n != home][0]
        wait_until(lambda cpu=left: machine.spawn(both_live, cpu=cpu).result(DEADLINE_S))
        cpus = {cpu for cpu, _, _ in machine.spawn(where, cpu=left).result(DEADLINE_S)}
        assert home not in cpus
        assert machine.spawn(hog, 3000, cpu=left).result(DEADLINE_S) == 3000
        machine.check()


def both_live() -> bool:
    from cpus import service_cy

    return service_cy.lives(KSWAPD) and service_cy.lives(BDFLUSH)


def hog(pages: int) -> int:
    from smpmm.kernel import GFP_KERNEL, __get_free_page, free_page

    taken = [__get_free_page(GFP_KERNEL) for _ in range(pages)]
    for address in taken:
        free_page(address)
    return sum(map(bool, taken))
