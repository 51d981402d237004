"""Processes contend for zones: nothing is lost or given twice, also when some are killed."""

import os
import random
import signal
import time

import pytest

from cpus import percpu_cy, reap_cy, spinlock_cy
from smpmm.mm import page_alloc_cy, page_check_cy, page_cy, zone_cy
from smpmm.mm.page_calls_cy import __free_pages, __get_free_pages, alloc_pages, free_pages
from smpmm.profile import GFP_2_4_0, MIB
from tests.support import in_child, small_machine

PAGE_OFFSET = 0xC0000000
KIND_CPU = 1
ATOMIC, HIGHMEM = GFP_2_4_0["GFP_ATOMIC"], GFP_2_4_0["GFP_HIGHMEM"]
NR_CPUS = 4


def boot() -> int:
    """Boot without CPU 0's own work; returns the free pages."""
    zones = {"DMA": 8 * MIB, "Normal": 8 * MIB, "HighMem": 8 * MIB}
    small_machine(
        spinlock_cy, page_alloc_cy, ram_bytes=24 * MIB, zones=zones, cpus=NR_CPUS + 1
    )
    return free_pages_now()


def free_pages_now() -> int:
    return sum(zone_cy.zone_info(zone)["free_pages"] for zone in range(3))


def start(cpu: int, work, *args) -> int:
    """Fork the process of `cpu` (slot and CPU of the same number) to run `work`."""
    percpu_cy.take_slot(cpu, KIND_CPU, f"cpu{cpu}", cpu)

    def child() -> None:
        percpu_cy.become(cpu, os.getpid())
        work(*args)

    return in_child(child, wait=False)


def churn(seed: int, rounds: int) -> None:
    """Allocate and free blocks of mixed orders and zones; free all at the end."""
    dice = random.Random(seed)
    held = []
    for _ in range(rounds):
        if held and dice.random() < 0.5:
            page, order = held.pop(dice.randrange(len(held)))
            assert page.count == 1
            __free_pages(page, order)
        else:
            order = min(dice.randrange(10), dice.randrange(10))
            page = alloc_pages(ATOMIC | dice.choice((0, HIGHMEM)), order)
            if page is not None:
                assert page.pfn % (1 << order) == 0
                held.append((page, order))
    for page, order in held:
        __free_pages(page, order)


def test_pages_are_conserved_when_cpus_contend_for_the_zones() -> None:
    free = boot()
    pids = [start(cpu, churn, cpu, 5000) for cpu in range(1, NR_CPUS + 1)]
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * NR_CPUS
    page_check_cy.check_pages()
    assert free_pages_now() == free


def stamp(cpu: int) -> None:
    """Take blocks for ever, write their owner into them, and give back only what is whole."""
    import ctypes

    from cpus import segment_cy

    dice = random.Random(cpu)
    held = []
    while True:
        order = dice.randrange(4)
        if len(held) < 20 and (address := __get_free_pages(ATOMIC, order)):
            text = os.getpid().to_bytes(4, "little") * (1024 << order)
            ctypes.memmove(segment_cy.native_address(address), text, len(text))
            held.append((address, order, text))
        else:
            address, order, text = held.pop(dice.randrange(len(held)))
            if ctypes.string_at(segment_cy.native_address(address), len(text)) != text:
                os._exit(98)
            free_pages(address, order)


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_or_given_twice_when_cpus_are_killed(seed: int) -> None:
    free = boot()
    dice = random.Random(seed)
    pids = {cpu: start(cpu, stamp, cpu) for cpu in range(1, NR_CPUS + 1)}
    for _ in range(15):
        wait_for_allocations(dice.randrange(1, 4000))
        cpu = dice.choice(sorted(pids))
        os.kill(pids[cpu], signal.SIGKILL)
        assert os.waitpid(pids[cpu], 0)[1] == signal.SIGKILL, "a block was given twice"
        bury(cpu)
        page_check_cy.check_pages()
        pids[cpu] = start(cpu, stamp, cpu)
    for cpu, pid in pids.items():
        os.kill(pid, signal.SIGKILL)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL, "a block was given twice"
        bury(cpu)
    page_check_cy.check_pages()
    assert free_pages_now() == free


def wait_for_allocations(number: int) -> None:
    """Wait until the other processes have allocated `number` more blocks."""
    start = allocations()
    deadline = time.monotonic() + 20
    while allocations() < start + number:
        assert time.monotonic() < deadline, f"{allocations() - start} blocks in 20 s"


def allocations() -> int:
    return sum(zone_cy.zone_info(zone)["nr_allocs"] for zone in range(3))


def bury(cpu: int) -> None:
    """Do what the monitor does for a dead CPU, and free what it had allocated."""
    percpu_cy.mark_dead(cpu)
    reap_cy.reap_slot(cpu)
    for pfn, order, _site, _pid in page_cy.pages_of_slot(cpu):
        free_pages(PAGE_OFFSET + (pfn << 12), order)
