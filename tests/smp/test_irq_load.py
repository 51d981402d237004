"""Kernel calls of every CPU and interrupts that use the same arrays, counters and rings."""

import re
from pathlib import Path

import pytest

from smpmm import Machine

DRIVER = Path(__file__).parent / "irq_load_driver.py"
LINES = (5, 6, 7)
PAIRS = 50_000  # kmalloc and kfree in a compiled loop, between two marked rounds
PAGE_PAIRS = 5_000  # the same with pages: a handler may want the lock that they just take


def calls(tag: int, pairs: int, rounds: int) -> int:
    """Make kernel calls; return how many objects were not what they were left as. A task."""
    from smpmm.kernel import GFP_ATOMIC, kfree, kmalloc, peek, poke
    from smpmm_tools import bench_cy

    damaged = 0
    for _ in range(rounds):
        bench_cy.kmalloc_loop(pairs, 256, GFP_ATOMIC)
        bench_cy.page_loop(PAGE_PAIRS, 0, GFP_ATOMIC)
        for i in range(200):
            mark = bytes((tag + i % 8,)) * 32
            taken = [kmalloc(256, GFP_ATOMIC) for _ in range(3)]
            for address in taken:
                poke(address, mark)
            for address in taken:
                damaged += peek(address, 32) != mark
                kfree(address)
    return damaged


def look(words: int) -> dict[str, int]:
    """Return what the driver and the rings have counted. A task."""
    from cpus import atomic_cy, event_cy
    from interrupts import irq_cy
    from smpmm.mm import page_check_cy

    page_check_cy.check_pages()
    records = [str(each) for cpu in range(2) for each in event_cy.read_events(cpu)]
    return {
        "damaged": atomic_cy.atomic_read(words + 8),
        "counted": sum(sum(irq_cy.line_info(line)["counts"]) for line in LINES),
        "entries": sum(record.count("irq_handler_entry") for record in records),
        "exits": sum(record.count("irq_handler_exit") for record in records),
    }


@pytest.mark.parametrize(
    ("rounds", "interrupts"), [(200, 500), pytest.param(1000, 10_000, marks=pytest.mark.slow)]
)
def test_calls_and_interrupts_share_a_cpu_without_damage(rounds: int, interrupts: int) -> None:
    with Machine(cpus=2, mem="32M", seed=5) as machine:
        machine.insmod(str(DRIVER))
        found = re.search(r"words (\d+)", machine.dmesg())
        assert found
        words = int(found[1])
        for line in LINES:
            machine.start_synthetic(line, 4000)
        tasks = [machine.spawn(calls, 128 * i, PAIRS, rounds, cpu=i) for i in range(2)]
        assert [task.result(100) for task in tasks] == [0, 0]
        for line in LINES:
            machine.stop_synthetic(line)
        damaged = machine.run(look, words)["damaged"]
        machine.rmmod("irq_load_driver")  # waits for the last handlers
        seen = machine.run(look, words)
        nr_calls = 2 * rounds * (2 * (PAIRS + PAGE_PAIRS) + 2400)
        print(f"{nr_calls} calls against {seen['counted']} interrupts")
        assert seen["counted"] > interrupts
        assert damaged == 0
        assert "deadlock" not in machine.dmesg()
        assert abs(seen["entries"] - seen["exits"]) <= 2 * len(LINES)  # the rings go round
