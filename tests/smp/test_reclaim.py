"""Memory runs short on a whole machine: kswapd, waiting tasks, write-back, the OOM killer."""

import os
import re
import signal
import time

import pytest

from smpmm import Machine, OomKilled, TaskKilled

HDA = 0x300


def fill_cache(first: int, blocks: int) -> int:
    """Write blocks of the disk through the buffer cache; returns the buffers that it has."""
    from smpmm.mm import access_cy
    from smpmm.mm.buffer_io_cy import bread, brelse, cache_info, mark_buffer_dirty

    for block in range(first, first + blocks):
        address = bread(HDA, block)
        access_cy.poke(address, block.to_bytes(4, "little"))
        mark_buffer_dirty(address)
        brelse(address)
    return cache_info()["buffers"]


def verify(first: int, blocks: int) -> int:
    """Count the blocks that do not hold their number."""
    from smpmm.mm import access_cy
    from smpmm.mm.buffer_io_cy import bread, brelse

    wrong = 0
    for block in range(first, first + blocks):
        address = bread(HDA, block)
        wrong += access_cy.peek(address, 4) != block.to_bytes(4, "little")
        brelse(address)
    return wrong


def hog(pages: int) -> int:
    """Allocate pages with GFP_KERNEL until that is refused; returns how many it got."""
    from smpmm.mm.page_calls_cy import __get_free_page, free_page

    taken = []
    while len(taken) < pages and (address := __get_free_page(0x07)):
        taken.append(address)
    for address in taken:
        free_page(address)
    return len(taken)


def figures() -> dict:
    """Check every invariant and return the figures of shortage."""
    from smpmm.mm import buffer_check_cy, page_alloc_cy, page_check_cy

    page_check_cy.check_pages()
    buffer_check_cy.check_buffers()
    return page_alloc_cy.vm_counters()


def test_kswapd_makes_room_and_no_change_is_lost() -> None:
    with Machine(cpus=2, mem="16M") as machine:
        tasks = [machine.spawn(fill_cache, 2500 * n, 2500) for n in range(4)]
        assert all(task.result(timeout=60) > 0 for task in tasks)
        # All at once they have less than the RAM.
        tasks = [machine.spawn(hog, 900, cpu=n % 2) for n in range(4)]
        assert [task.result(timeout=60) for task in tasks] == [900] * 4
        assert machine.run(verify, 0, 10000) == 0
        counts = machine.run(figures)
        assert counts["nr_written"] > 5000
        assert counts["kswapd_freed"] > 100
        assert counts["nr_oom_kills"] == 0


def hog_for_ever(words: int, number: int) -> None:
    """Take every page there is, and note how many before each request. Never returns."""
    from smpmm.kernel import GFP_KERNEL, __get_free_page, free_page, u32

    counts = u32.at(words)
    taken: list[int] = []
    try:
        while True:
            taken.append(__get_free_page(GFP_KERNEL))
            counts[number] = len(taken)
    finally:  # a process has exit handlers of no kind, but they are what Python has
        for address in taken:
            free_page(address)


def sleep_until_told(words: int, number: int) -> str:
    """Have no memory, sleep, and return when the word at `number` is not 0."""
    from smpmm.kernel import TASK_INTERRUPTIBLE, schedule_timeout, set_current_state, u32

    while not u32.at(words)[number]:
        set_current_state(TASK_INTERRUPTIBLE)
        schedule_timeout(1)
    return "told"


def test_when_nothing_is_left_the_biggest_task_is_killed() -> None:
    with Machine(cpus=2, mem="8M") as machine:
        words = machine.run(make_word)
        bystander = machine.spawn(sleep_until_told, words, 10, cpu=1)
        hog_task = machine.spawn(hog_for_ever, words, 0, cpu=0)
        with pytest.raises(OomKilled) as caught:
            hog_task.result(timeout=60)
        assert str(caught.value) == f"Out of Memory: Killed process {hog_task.pid} (workload)"
        assert f"Out of Memory: Killed process {hog_task.pid} (workload)." in machine.dmesg()
        assert machine.run(read_word, words, 0) > 500
        machine.run(write_word, words, 10)
        assert bystander.result(timeout=60) == "told"
        assert machine.run(hog, 500) == 500
        assert machine.run(figures)["nr_oom_kills"] == 1


def hold(pages: int, words: int, number: int) -> None:
    """Keep some pages, say so, and sleep for ever."""
    from smpmm.kernel import (
        GFP_KERNEL,
        TASK_INTERRUPTIBLE,
        __get_free_page,
        free_page,
        schedule_timeout,
        set_current_state,
        u32,
    )

    taken = [__get_free_page(GFP_KERNEL) for _ in range(pages)]
    u32.at(words)[number] = pages
    try:
        while True:
            set_current_state(TASK_INTERRUPTIBLE)
            schedule_timeout(1 << 30)
    finally:
        for address in taken:
            free_page(address)


def test_of_two_the_ordinary_users_task_is_killed_first() -> None:
    """A superuser's pages count a quarter. The victim sleeps, on another CPU than kswapd."""
    with Machine(cpus=2, mem="8M") as machine:
        words = machine.run(make_word)
        user = machine.spawn(hold, 500, words, 1, cpu=1, uid=1000)
        assert machine.run(sleep_until_told, words, 1) == "told"
        root = machine.spawn(hog_for_ever, words, 0, cpu=0)
        for task in (user, root):
            with pytest.raises(OomKilled):
                task.result(timeout=60)
        assert 500 < machine.run(read_word, words, 0) < 2000
        killed = re.findall(r"Killed process (\d+)", machine.dmesg())
        assert killed == [str(user.pid), str(root.pid)]


def test_a_victim_in_a_driver_gets_enomem_and_ends_behind_the_system_call() -> None:
    with Machine(cpus=1, mem="8M") as machine:
        machine.insmod("scull")
        victim = machine.spawn(fill_scull)
        with pytest.raises(OomKilled) as caught:
            victim.result(timeout=60)
        # The driver's memory is the module's: it stays until somebody trims the device. While
        # the machine is full, kswapd ends one task after another: perhaps also that one.
        assert any(trimmed(machine) for _ in range(20))
        assert machine.run(hog, 500) == 500
        machine.rmmod("scull")
        machine.run(figures)
        assert isinstance(caught.value, TaskKilled)


def trimmed(machine: Machine) -> bool:
    try:
        machine.open("/dev/scull0", "wb").close()
    except OomKilled:
        return False
    return True


def fill_scull() -> None:
    import smpmm

    with smpmm.open("/dev/scull0", "wb", buffering=0) as device:
        while True:
            device.write(b"x" * 4000)


def read_word(words: int, number: int) -> int:
    from smpmm.kernel import u32

    return u32.at(words)[number]


def write_word(words: int, number: int) -> None:
    from smpmm.kernel import u32

    u32.at(words)[number] = 1


def test_kswapd_is_started_elsewhere_when_its_cpu_is_killed() -> None:
    with Machine(cpus=3, mem="16M") as machine:
        machine.run(fill_cache, 0, 2000, cpu=2)
        for cpu in range(2):
            os.kill(machine.cpus[cpu].pid, signal.SIGKILL)
        assert machine.spawn(fill_cache, 2000, 6000, cpu=2).result(timeout=60) > 0
        assert machine.spawn(hog, 2500, cpu=2).result(timeout=60) == 2500
        assert machine.spawn(verify, 0, 8000, cpu=2).result(timeout=60) == 0
        counts = machine.spawn(figures, cpu=2).result(timeout=60)
        assert counts["nr_oom_kills"] == 0


def use_buffers_for_ever(blocks: int, words: int) -> None:
    """Read blocks and never give one back; say when they are there."""
    from smpmm.kernel import schedule, u32
    from smpmm.mm.buffer_io_cy import bread

    assert all(bread(HDA, block) for block in range(blocks))
    u32.at(words)[0] = 1
    while True:
        schedule()


def test_buffers_in_use_by_a_dead_cpu_can_be_reclaimed() -> None:
    with Machine(cpus=2, mem="8M") as machine:
        words = machine.run(make_word, cpu=0)
        machine.spawn(use_buffers_for_ever, 900, words, cpu=1)
        assert machine.spawn(sleep_until_told, words, 0, cpu=0).result(timeout=60) == "told"
        os.kill(machine.cpus[1].pid, signal.SIGKILL)
        machine._deaths(1)
        assert "cpu1 died with 900 buffers in use: given up" in machine.dmesg()
        assert machine.spawn(hog, 1200, cpu=0).result(timeout=60) == 1200
        assert machine.run(figures)["nr_oom_kills"] == 0


def keep_pages_and_wait(word: int) -> None:
    """Keep seven pages in two blocks, say so, and never return."""
    from smpmm.mm import access_cy
    from smpmm.mm.page_calls_cy import __get_free_page, __get_free_pages

    pages = [__get_free_pages(0x07, 1) for _ in range(3)] + [__get_free_page(0x07)]
    access_cy.poke(word, b"ready")
    while all(pages):
        pass


def make_word() -> int:
    from smpmm.mm.page_calls_cy import get_zeroed_page

    return get_zeroed_page(0x07)


def look(word: int) -> bytes:
    from smpmm.mm import access_cy

    return access_cy.peek(word, 5)


def test_what_a_dead_cpu_had_allocated_is_reported_by_call_site() -> None:
    with Machine(cpus=2) as machine:
        word = machine.run(make_word, cpu=0)
        machine.spawn(keep_pages_and_wait, word, cpu=1)
        deadline = time.monotonic() + 20
        while machine.run(look, word, cpu=0) != b"ready":
            assert time.monotonic() < deadline
        os.kill(machine.cpus[1].pid, signal.SIGKILL)
        while "1 pages in 1 blocks, at keep_pages_and_wait" not in machine.dmesg():
            assert time.monotonic() < deadline, machine.dmesg()
        assert "cpu1 died with 7 pages allocated in 4 blocks" in machine.dmesg()
        assert "6 pages in 3 blocks, at " in machine.dmesg()
        machine.spawn(figures, cpu=0).result(timeout=20)
