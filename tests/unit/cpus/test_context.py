"""Contexts: what the counts say, what nests, what is put back."""

import pytest

from cpus import bug, context_cy, errors, percpu_cy
from tests.support import small_machine

HARDIRQ = 0x10000
SOFTIRQ = 0x100


@pytest.fixture(autouse=True)
def machine():
    small_machine()
    percpu_cy.register_hooks(breach=bug.breach)


def state():
    return (
        context_cy.preempt_count(),
        context_cy.in_interrupt(),
        context_cy.in_irq(),
        context_cy.in_softirq(),
        context_cy.in_atomic(),
        context_cy.irqs_disabled(),
    )


TASK = (0, False, False, False, False, False)


def test_a_task_may_do_anything():
    assert state() == TASK
    context_cy.might_sleep()
    assert context_cy.smp_processor_id() == 0


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (1, (1, False, False, False, True, False)),
        (SOFTIRQ, (SOFTIRQ, True, False, True, True, False)),
        (HARDIRQ, (HARDIRQ, True, True, False, True, False)),
        (HARDIRQ + SOFTIRQ + 1, (HARDIRQ + SOFTIRQ + 1, True, True, True, True, False)),
    ],
)
def test_predicates_read_the_count(offset, expected):
    context_cy.add_count(offset)
    assert state() == expected
    context_cy.add_count(-offset)
    assert state() == TASK


def test_bottom_halves_and_preemption_nest():
    for _ in range(3):
        context_cy.local_bh_disable()
        context_cy.preempt_disable()
    assert context_cy.preempt_count() == 3 * SOFTIRQ + 3
    for _ in range(3):
        context_cy.preempt_enable()
        context_cy.local_bh_enable()
    assert state() == TASK


def test_one_enable_too_many_takes_nothing_from_others():
    context_cy.local_bh_disable()
    context_cy.preempt_enable()
    assert context_cy.preempt_count() == SOFTIRQ
    context_cy.local_bh_enable()
    context_cy.local_bh_enable()
    assert state() == TASK


def test_interrupt_flag_is_idempotent_and_is_put_back():
    flags = context_cy.local_irq_save()
    assert (flags, context_cy.local_save_flags()) == (0, 1)
    inner = context_cy.local_irq_save()
    context_cy.local_irq_disable()
    context_cy.local_irq_restore(inner)
    assert context_cy.irqs_disabled() and not context_cy.in_atomic()
    context_cy.local_irq_restore(flags)
    assert state() == TASK
    context_cy.local_irq_disable()
    context_cy.local_irq_enable()
    assert not context_cy.irqs_disabled()


def test_a_lost_context_is_put_back():
    context_cy.local_irq_disable()
    context_cy.add_count(HARDIRQ + 5)
    context_cy.set_context(0, 0)
    assert state() == TASK


@pytest.mark.parametrize("offset", [1, SOFTIRQ, HARDIRQ])
def test_sleeping_is_refused_where_the_count_forbids_it(offset):
    context_cy.add_count(offset)
    with pytest.raises(errors.SleepingInAtomic, match="might_sleep"):
        context_cy.might_sleep()
    assert context_cy.preempt_count() == offset
    assert percpu_cy.slot_info(0)["inside"] == 0


def test_sleeping_is_refused_with_interrupts_off():
    context_cy.local_irq_disable()
    with pytest.raises(errors.SleepingInAtomic, match="invalid context") as caught:
        context_cy.might_sleep()
    assert "in_atomic(): 0, irqs_disabled(): 1" in caught.value.report
