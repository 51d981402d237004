"""/proc/lock_stat: the layout of Linux 0.4 to the column, and what its numbers mean."""

import os
import re

import pytest

from cpus import (
    bug,
    lock_cy,
    lockstat,
    lockstat_cy,
    percpu_cy,
    rwlock_calls_cy,
    segment_cy,
    spinlock_cy,
)
from tests.support import KIND_CPU, in_child, small_machine

LOCK, RW, LONG = 0xC0001000, 0xC0002000, 0xC0003000
READY = 0xC0007000

COUNT, TIME = r"(?=.{14}) *\d+", r"(?=.{14}) *\d+\.\d\d"
FOUR = rf"{COUNT}(?: {TIME}){{4}}"
# One expression for a whole file, ours or a kernel's.
FILE = re.compile(
    r"lock_stat version 0\.4\n-{221}\n {30}class name    con-bounces    contentions "
    r"  waittime-min   waittime-max waittime-total   waittime-avg    acq-bounces "
    r"  acquisitions   holdtime-min   holdtime-max holdtime-total   holdtime-avg\n-{221}\n\n"
    r"(?:(?P<rows>(?: *\S.{0,60}:[ \d]{14} [^\n]*\n){1,2})(?P<points>(?: *-+\n"
    r"(?:.{40} [ \d]{14} +\[<[0-9a-f]+>\] \S[^\n]*\n){1,4}){2}\n\.{221}\n\n)?)+\Z"
)
ROW = re.compile(
    r"(?=.{41}[ \d]{14} )(?P<name> *\S.*?(?:-W|-R)?):(?P<con_bounces> *\d+) "
    r"(?P<wait> *\d+(?: +\d+\.\d\d){4})(?P<acq_bounces> +\d+)"
    r" (?P<hold> *\d+(?: +\d+\.\d\d){4})"
)

# As a 6.1 kernel printed it, shortened: the ruler under a name that is read and written has
# two columns more, a name ends at column 41 with its colon. Dots follow places of waiters
# only: of the last class nobody waited for a lock.
KERNEL = (
    "lock_stat version 0.4\n" + "-" * 221 + "\n"
    "                              class name    con-bounces    contentions   waittime-min"
    "   waittime-max waittime-total   waittime-avg    acq-bounces   acquisitions"
    "   holdtime-min   holdtime-max holdtime-total   holdtime-avg\n" + "-" * 221 + "\n\n"
    "                        &mm->mmap_lock-W:           568          24209           0.03"
    "      684592.18   283162238.59       11696.57           1316          19414"
    "           0.00      353027.96    13223696.80         681.14\n"
    "                        &mm->mmap_lock-R:           927         155356           0.04"
    "      460460.81   229581931.15        1477.78           1268         479256"
    "           0.00      673523.22   170142160.23         355.01\n"
    "                        ----------------\n"
    "                          &mm->mmap_lock          12458          [<ffffffff8110e7e7>]"
    " vm_mmap_pgoff+0x6e/0xfb\n"
    "                        ----------------\n"
    "                          &mm->mmap_lock             16          [<ffffffff8112c983>]"
    " do_mprotect_pkey+0x105/0x347\n\n" + "." * 221 + "\n\n"
    "                             &rq->__lock:             0              0           0.00"
    "           0.00           0.00           0.00           9463         117452"
    "           0.00       16943.30     2916100.42          24.83\n"
)


@pytest.fixture(autouse=True)
def machine():
    small_machine(spinlock_cy, cpus=4)
    percpu_cy.register_hooks(breach=bug.breach)
    lock_cy.spin_lock_init(LOCK)
    rwlock_calls_cy.rwlock_init_(RW)


def widths(line: str) -> list[int]:
    """Return where the columns of a row end."""
    return [m.end() for m in re.finditer(r"\S+", line[41:])]


def rows(text: str) -> list[re.Match[str]]:
    return [m for line in text.splitlines() if (m := ROW.fullmatch(line))]


def contend(take, give, lock) -> None:
    """Let another process hold the lock until this one waits for it, and 5 ms more."""
    ready = segment_cy.native_address(READY, 8)

    def hold():
        percpu_cy.take_slot(1, KIND_CPU, "cpu1", 1)
        percpu_cy.become(1, os.getpid())
        take(lock)
        spinlock_cy.add_unlocked(ready, 1)
        while not percpu_cy.slot_info(0)["waiting_lock"]:
            os.sched_yield()
        start = segment_cy.uptime_ns()
        while segment_cy.uptime_ns() - start < 5_000_000:
            pass
        give(lock)

    before = spinlock_cy.add_unlocked(ready, 0)
    child = in_child(hold, wait=False)
    while spinlock_cy.add_unlocked(ready, 0) == before:
        os.sched_yield()
    return child


def test_one_expression_reads_a_kernels_file_and_ours():
    child = contend(lock_cy.spin_lock, lock_cy.spin_unlock, LOCK)
    lock_cy.spin_lock(LOCK)
    lock_cy.spin_unlock(LOCK)
    os.waitpid(child, 0)
    child = contend(rwlock_calls_cy.write_lock, rwlock_calls_cy.write_unlock, RW)
    rwlock_calls_cy.read_lock(RW)
    rwlock_calls_cy.read_unlock(RW)
    os.waitpid(child, 0)
    ours = lockstat.proc_text(lockstat.gather())
    for text in (KERNEL, ours):
        assert FILE.match(text), text
        assert all(
            len(line) == 220 and widths(line)[0] == 14 for line in (r[0] for r in rows(text))
        )
        assert {line[40] for line in (r[0] for r in rows(text))} == {":"}
        rulers = {line for line in text.splitlines() if re.fullmatch(" +-+", line)}
        assert rulers and {len(line) for line in rulers} == {40}
    names = [r["name"].strip() for r in rows(ours)]
    assert [n[-2:] for n in names if "rwlock" not in n].count("-R") == 1


def test_a_lock_without_readers_has_one_row():
    rwlock_calls_cy.write_lock(RW)
    rwlock_calls_cy.write_unlock(RW)
    assert len(rows(lockstat.proc_text(lockstat.gather()))) == 1
    rwlock_calls_cy.read_lock(RW)
    rwlock_calls_cy.read_unlock(RW)
    assert len(rows(lockstat.proc_text(lockstat.gather()))) == 2


def test_a_lock_that_was_only_read_has_the_row_of_its_readers_only():
    rwlock_calls_cy.read_lock(RW)
    rwlock_calls_cy.read_unlock(RW)
    (one,) = rows(lockstat.proc_text(lockstat.gather()))
    assert one["name"].endswith("-R")


def test_a_class_that_nobody_waited_for_has_no_ruler():
    lock_cy.spin_lock(LOCK)
    lock_cy.spin_unlock(LOCK)
    text = lockstat.proc_text(lockstat.gather())
    assert FILE.match(text)
    assert "." * 221 not in text


def test_a_wait_is_counted_on_its_side_with_its_acquisition():
    child = contend(rwlock_calls_cy.write_lock, rwlock_calls_cy.write_unlock, RW)
    rwlock_calls_cy.read_lock(RW)
    rwlock_calls_cy.read_unlock(RW)
    os.waitpid(child, 0)
    (one,) = lockstat.gather().classes
    assert (one.write.acquisitions, one.write.contentions) == (1, 0)
    assert (one.read.acquisitions, one.read.contentions) == (1, 1)
    assert one.read.wait_min_ns == one.read.wait_max_ns == one.read.wait_total_ns > 0
    assert one.wait_total_ns == one.read.wait_total_ns
    assert one.con_bounces == 1


def test_exact_hold_times_are_of_all_sections():
    lockstat_cy.set_exact(True)
    for _ in range(5):
        lock_cy.spin_lock(LOCK)
        lock_cy.spin_unlock(LOCK)
        rwlock_calls_cy.read_lock(RW)
        rwlock_calls_cy.read_unlock(RW)
    stat = lockstat.gather()
    assert stat.exact_hold_times
    assert [one.nr_timed for one in stat.classes] == [5, 5]
    assert all(one.hold_estimate_ns == one.hold_total_ns for one in stat.classes)


def test_sampled_hold_times_are_scaled_up():
    for _ in range(32):
        lock_cy.spin_lock(LOCK)
        lock_cy.spin_unlock(LOCK)
    (one,) = lockstat.gather().classes
    assert (one.acquisitions, one.nr_timed) == (32, 2)
    assert one.hold_estimate_ns == 16 * one.hold_total_ns


def test_statistics_can_be_off():
    lockstat_cy.set_stats(False)
    lock_cy.spin_lock(LOCK)
    lock_cy.spin_unlock(LOCK)
    assert not lockstat.gather().classes


def test_writing_0_clears_and_anything_else_does_not():
    lock_cy.spin_lock(LOCK)
    lock_cy.spin_unlock(LOCK)
    lockstat.proc_write("1\n")
    assert lockstat.gather().classes
    lockstat.proc_write("0\n")
    assert not lockstat.gather().classes


def test_the_most_contended_comes_first():
    child = contend(rwlock_calls_cy.write_lock, rwlock_calls_cy.write_unlock, RW)
    rwlock_calls_cy.write_lock(RW)
    rwlock_calls_cy.write_unlock(RW)
    os.waitpid(child, 0)
    for _ in range(9):
        lock_cy.spin_lock(LOCK)
        lock_cy.spin_unlock(LOCK)
    assert [one.contentions for one in lockstat.gather().classes] == [1, 0]
