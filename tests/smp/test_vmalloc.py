"""vmalloc from many CPUs at once: contents, pages nobody may touch after vfree, check()."""

import random
import struct

import pytest

from cpus import ship
from cpus.errors import Oops
from smpmm import Machine
from smpmm.kernel import *

ship.register_by_value("tests")

NR_BOXES = 12
MARK = "<QQ"
ROUNDS = 150
AREA_PAGES = 64


class Shared(KStruct):
    """Areas on their way from one CPU to another; whose turn it is."""

    lock: spinlock_t
    boxes: ptr * NR_BOXES  # guarded by lock
    area: ptr  # what the writer may write to
    round: u32
    ended: u32


def set_up() -> int:
    shared = Shared.at(kmalloc(sizeof(Shared), GFP_KERNEL))
    memset(shared, 0, sizeof(Shared))
    spin_lock_init(shared.lock)
    return int(shared)


def pattern(number: int, size: int) -> bytes:
    mark = struct.pack(MARK, number, size)
    return (mark * (size // len(mark) + 1))[:size]


def churn(address: int, seed: int, rounds: int) -> list[str]:
    """Make areas, pass them on, look at and free what others have made."""
    shared = Shared.at(address)
    dice = random.Random(seed)
    errors = []
    for _ in range(rounds):
        size = dice.choice((100, PAGE_SIZE, 10_000, 65536, 200_001))
        area = vmalloc(size)
        if area:
            poke(area, pattern(dice.randrange(1 << 60), max(size, 16)))
        box = dice.randrange(NR_BOXES)
        spin_lock(shared.lock)
        old, shared.boxes[box] = shared.boxes[box], area
        spin_unlock(shared.lock)
        if old:
            number, size = struct.unpack(MARK, peek(old, 16))
            if peek(old, size) != pattern(number, size):
                errors.append(f"area at {old:#x} of {size} bytes is not as it was made")
            vfree(old)
    return errors


def tear_down(address: int) -> None:
    shared = Shared.at(address)
    for box in range(NR_BOXES):
        vfree(shared.boxes[box])
    kfree(address)


@pytest.mark.parametrize("seed", range(3))
def test_areas_passed_between_cpus_keep_their_contents(seed: int) -> None:
    with Machine(cpus=4, seed=seed) as machine:
        free = machine.run(nr_free_pages)
        shared = machine.run(set_up)
        tasks = [machine.spawn(churn, shared, 10 * seed + n, 120, cpu=n % 4) for n in range(8)]
        for _ in range(20):
            machine.run(check_under_load)
        for task in tasks:
            assert task.result(60) == []
        machine.run(tear_down, shared)
        machine.check()
        tables = machine.run(nr_tables)
        # Slabs of vm_structs stay, in the caches of each CPU.
        assert 0 <= free - tables - machine.run(nr_free_pages) <= 8


def check_under_load() -> None:
    from smpmm.mm import vm_check_cy

    vm_check_cy.check_vmalloc()


def nr_tables() -> int:
    from smpmm.mm import pgtable_cy

    return pgtable_cy.nr_tables()


def write_until_it_is_gone(address: int) -> int:
    """Store to whatever area the other CPU shows, in the middle of its vfree too."""
    shared = Shared.at(address)
    data = b"\xaa" * (AREA_PAGES * PAGE_SIZE)
    faults = 0
    while not shared.ended:
        area = shared.area
        if area:
            try:
                poke(area, data)
            except Oops:
                faults += 1
    return faults


def free_under_the_writer(address: int) -> list[int]:
    """Free an area that is being written; its frames must not change afterwards.

    No area is made meanwhile: the writer may still store to the address that it has.
    """
    shared = Shared.at(address)
    changed = []
    for number in range(ROUNDS):
        area = vmalloc(AREA_PAGES * PAGE_SIZE)
        shared.area = area
        udelay(number % 50)
        shared.area = 0
        vfree(area)
        pages = [alloc_page(GFP_HIGHUSER) for _ in range(AREA_PAGES)]
        mapped = [kmap(page) for page in pages]
        for place in mapped:
            memset(place, 0x55, PAGE_SIZE)
        udelay(100)
        changed += [number for place in mapped if peek(place, PAGE_SIZE).strip(b"\x55")]
        for page in pages:
            kunmap(page)
            __free_page(page)
    shared.ended = 1
    return changed


def test_nobody_writes_to_pages_whose_area_was_freed() -> None:
    with Machine(cpus=3) as machine:
        shared = machine.run(set_up)
        writers = [machine.spawn(write_until_it_is_gone, shared, cpu=n) for n in (1, 2)]
        freer = machine.spawn(free_under_the_writer, shared, cpu=0)
        assert freer.result(90) == []
        for writer in writers:
            writer.result(30)
        machine.check()


def take_and_die(size: int) -> None:
    import os
    import signal

    vmalloc(size)
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_dead_cpu_had_is_said() -> None:
    with Machine(cpus=2) as machine:
        machine.spawn(take_and_die, 5 * PAGE_BYTES, cpu=1)
        machine._deaths(1)
        log = machine.dmesg()
        assert "cpu1 died with 1 vmalloc areas" in log
        assert "1 areas of 5 pages, at take_and_die" in log
        machine.check()


PAGE_BYTES = 4096


def read_at(address: int) -> bytes:
    return peek(address, 1)


def test_an_oops_names_the_area_and_the_machine_lives() -> None:
    with Machine(cpus=2) as machine:
        area = machine.run(vmalloc, 3 * PAGE_BYTES)
        with pytest.raises(Oops) as caught:
            machine.run(read_at, area + 3 * PAGE_BYTES + 7)
        assert "7 bytes after the end of vmalloc area" in caught.value.report
        assert machine.run(read_at, area) is not None
        machine.run(vfree, area)
        with pytest.raises(Oops) as caught:
            machine.run(read_at, area + 1)
        assert "1 bytes into a vmalloc area that was freed" in caught.value.report
        machine.check()
