"""Users of a buffer, by process, in one word: a dead process's are given up, no other's."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpus import percpu_cy, spinlock_cy, task_cy
from cpus.errors import KernelBug
from smpmm.mm import buffer_cy, disk_cy, page_alloc_cy, page_check_cy
from smpmm.mm.buffer_io_cy import bread, brelse, buffer_info, launder, refill_inactive
from smpmm.mm.buffer_users_cy import add_user, drop_user, drop_users_of, nr_users
from smpmm.profile import MIB
from tests.support import in_child, small_machine

HDA = 0x300
NR_SLOTS = 224
NAMED = 3  # processes that have an entry of their own
MOST = 255  # users of one entry


@given(st.lists(st.tuples(st.booleans(), st.integers(1, NR_SLOTS)), max_size=40))
def test_the_count_is_that_of_a_plain_counter(steps: list[tuple[bool, int]]) -> None:
    users = count = 0
    for add, slot in steps:
        users = add_user(users, slot) if add else drop_user(users, slot)
        count = count + 1 if add else max(0, count - 1)
        assert nr_users(users) == count
        assert (users == 0) == (count == 0)


@given(st.lists(st.integers(1, NR_SLOTS), max_size=40), st.integers(1, NR_SLOTS))
def test_of_few_processes_each_is_known(slots: list[int], dead: int) -> None:
    named = list(dict.fromkeys(slots))[:NAMED]
    slots = [slot for slot in slots if slot in named]
    users = 0
    for slot in slots:
        users = add_user(users, slot)
    counts = Counter(slots)
    left = drop_users_of(users, dead)
    assert nr_users(left) == counts.total() - counts[dead]
    assert drop_users_of(left, dead) == left
    for slot in slots:
        if slot != dead:
            left = drop_user(left, slot)
    assert left == 0


def test_who_gives_back_what_another_process_took_takes_nobody_elses_name() -> None:
    users = add_user(add_user(0, 1), 2)
    assert drop_users_of(drop_user(users, 2), 1) == 0
    assert nr_users(drop_user(users, 7)) == 1  # some process's: which one is not known


def test_an_entry_that_is_full_counts_on_without_a_name() -> None:
    users = 0
    for _ in range(MOST + 5):
        users = add_user(users, 9)
    assert nr_users(users) == MOST + 5
    for _ in range(MOST + 5):
        users = drop_user(users, 9)
    assert users == 0


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "disk"
    path.write_bytes(bytes(4 * MIB))
    small_machine(
        spinlock_cy,
        task_cy,
        page_alloc_cy,
        disk_cy,
        buffer_cy,
        cpus=2,
        ram_bytes=8 * MIB,
        disk=str(path),
    )
    yield path
    page_check_cy.check_pages()


def test_buffers_that_a_dead_process_used_are_given_up(disk) -> None:
    import os

    kept = bread(HDA, 1)

    def use_and_die() -> None:
        percpu_cy.take_slot(1, 1, "cpu1", 1)
        percpu_cy.become(1, os.getpid())
        for block in (1, 1, 2, 3):
            bread(HDA, block)

    in_child(use_and_die)
    assert buffer_info(kept)["count"] == 3
    percpu_cy.mark_dead(1)
    assert buffer_cy.give_up_users(1) == 4
    assert buffer_cy.give_up_users(1) == 0
    assert buffer_info(kept)["count"] == 1
    # Two of the three pages can be had now; the third one is still in use here.
    for _ in range(3):
        refill_inactive(10)
        launder(10, False)
    assert buffer_cy.reclaim(0, 10) == 2
    brelse(kept)
    with pytest.raises(KernelBug, match="Trying to free free buffer"):
        brelse(kept)
