"""Reports: who, where, holding what, in the order that a kernel prints them."""

import os
import re

import pytest

from cpus import (
    bug,
    context_cy,
    errors,
    event_cy,
    gate_cy,
    lock_cy,
    percpu_cy,
    segment_cy,
    spinlock_cy,
    task_calls_cy,
)
from tests.support import in_child, small_machine

LOCK = 0xC0001000
OTHER = 0xC0002000
KIND_HANDLER = 2


@pytest.fixture(autouse=True)
def machine():
    small_machine(spinlock_cy)
    percpu_cy.register_hooks(breach=bug.breach)
    bug.register(describe_task=lambda: ("insmod", 44))
    lock_cy.spin_lock_init(LOCK)
    lock_cy.spin_lock_init(OTHER)
    yield
    segment_cy.set_header(0, 0)
    bug.register(describe_task=lambda: ("swapper", 0))


def sleep_under_locks():
    lock_cy.spin_lock(LOCK)
    lock_cy.spin_lock(OTHER)
    context_cy.might_sleep()


def matches(line: str, pattern: str) -> None:
    assert re.fullmatch(pattern, line), line


def test_sleeping_under_locks_reads_as_the_kernels_own():
    with pytest.raises(errors.SleepingInAtomic) as caught:
        sleep_under_locks()
    lines = caught.value.report.splitlines()
    here = r"sleep_under_locks \(test_bug\.py:\d+\)"
    matches(
        lines[0], rf"BUG: sleeping function called from invalid context at {here}: might_sleep"
    )
    assert lines[1] == "in_atomic(): 1, irqs_disabled(): 0, pid: 44, name: insmod"
    assert lines[2] == "preempt_count: 2, expected: 0"
    assert lines[3] == "2 locks held by insmod/44:"
    matches(lines[4], rf" #0: c0001000 \(.+\), at: {here}.*")
    matches(lines[5], rf" #1: c0002000 \(.+\), at: {here}.*")
    matches(lines[6], r"CPU: 0 PID: 44 Comm: insmod  context: task, process cpu0, .*")
    assert lines[7] == "Call Trace:"
    matches(lines[8], rf" {here}")
    assert lines[-1].startswith("[SleepingInAtomic; Linux 2.4 here: ")


def test_the_scheduler_says_that_it_is_called_while_atomic():
    lock_cy.spin_lock(LOCK)
    lock_cy.spin_lock(OTHER)
    with pytest.raises(errors.SleepingInAtomic) as caught:
        task_calls_cy.schedule()
    lines = caught.value.report.splitlines()
    assert lines[0] == "BUG: scheduling while atomic: insmod/44/0x00000002"
    assert lines[1] == "2 locks held by insmod/44:"


def test_since_when_a_lock_is_held_is_said_when_sections_are_timed():
    spinlock_cy.set_exact(True)
    with pytest.raises(errors.SleepingInAtomic, match="sleeping") as caught:
        sleep_under_locks()
    assert len(re.findall(r", [\d.]+ us ago$", caught.value.report, re.M)) == 2


def test_of_a_lock_whose_section_is_not_timed_the_report_says_so():
    with pytest.raises(errors.SleepingInAtomic, match="sleeping") as caught:
        sleep_under_locks()
    held = [line for line in caught.value.report.splitlines() if line.startswith(" #")]
    assert len(held) == 2
    assert all(line.endswith(", since when is unknown: not timed") for line in held)


def test_report_is_in_the_log_and_among_the_events():
    with pytest.raises(errors.SleepingInAtomic) as caught:
        sleep_under_locks()
    texts = [text for _, level, _, text in event_cy.read_log() if level == bug.KERN_ALERT]
    assert "\n".join(texts) == caught.value.report
    assert [record["type"] for record in event_cy.read_events(0)].count("bug") == 1


def test_context_says_interrupt_and_flag():
    context_cy.add_count(0x10000)
    context_cy.local_irq_disable()
    assert "context: hardirq, process cpu0, preempt_count 0x10000, irqs off" in (
        bug.context_line()
    )
    context_cy.add_count(0x100 - 0x10000)
    assert "context: softirq" in bug.context_line()


def test_report_of_an_interrupt_says_what_it_interrupted():
    percpu_cy.take_slot(1, KIND_HANDLER, "irq5", 0)

    def interrupt():
        percpu_cy.become(1, os.getpid())
        assert gate_cy.become_cpu(0)
        with pytest.raises(errors.SleepingInAtomic) as caught:
            context_cy.might_sleep()
        below = caught.value.report.partition("interrupted: ")[2].splitlines()
        gate_cy.leave_cpu()
        matches(below[0], r"cpu0 \(pid \d+\) on CPU 0")
        assert below[1] == " 1 lock held there:"
        matches(below[2], r" #0: c0001000 \(.+\), at: test_report_of_an_interrupt.*")
        assert "context: hardirq, process irq5" in caught.value.report

    lock_cy.spin_lock(LOCK)
    in_child(interrupt)
    lock_cy.spin_unlock(LOCK)
    assert bug.interrupted_lines(0) == []


def test_continue_goes_on_after_a_warning_and_panics_where_linux_would():
    segment_cy.set_header(1, 0)
    bug.report(errors.BadLock, "first", linux="nothing", ending=bug.WARN)
    with pytest.raises(errors.BadLock, match="second"):
        bug.report(errors.BadLock, "second", linux="oops")
    with pytest.raises(errors.KernelPanic, match="third"):
        bug.report(errors.BadLock, "third", linux="hangs", ending=bug.HANG)
    context_cy.add_count(0x10000)
    with pytest.raises(errors.KernelPanic, match="Aiee, killing interrupt handler!"):
        bug.report(errors.BadLock, "fourth", linux="oops")


def test_addresses_in_the_first_page_are_null_pointers():
    with pytest.raises(errors.NullDereference, match="virtual address 00000008"):
        bug.bad_address("peek", 8)
    with pytest.raises(errors.Oops, match="paging request at virtual address 00001000"):
        bug.bad_address("peek", 4096)
