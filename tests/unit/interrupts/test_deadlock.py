"""An interrupt handler that takes a lock which the interrupted code holds."""

from cpus import bug, errors, event_cy, lock_cy, percpu_cy
from interrupts import irq, irq_cy
from tests.unit.interrupts.rig import Rig, rig, wait_until

__all__ = ["rig"]

LOCK = 0xC0001000
RAISED, TAKEN = range(2)


def test_the_call_that_closes_the_cycle_raises_and_the_line_lives(rig: Rig) -> None:
    def handler(line, dev_id, regs):
        try:
            lock_cy.spin_lock(LOCK)
        except errors.Deadlock:
            rig.shared[RAISED] += 1
            raise
        rig.shared[TAKEN] += 1
        lock_cy.spin_unlock(LOCK)

    percpu_cy.register_hooks(breach=bug.breach)
    lock_cy.spin_lock_init(LOCK)
    assert irq.request_irq(5, handler, 0, "careless", 0) == 0
    lock_cy.spin_lock(LOCK)
    irq.raise_irq(5)
    wait_until(lambda: irq_cy.line_info(5)["unhandled"])
    lock_cy.spin_unlock(LOCK)
    assert rig.shared[RAISED] == 1
    text = event_cy.dmesg()
    assert "deadlock detected" in text
    assert "handler (test_deadlock.py" in text
    assert "test_the_call_that_closes_the_cycle" in text  # the stack of the interrupted code
    irq.raise_irq(5)
    wait_until(lambda: rig.shared[TAKEN])
    assert not percpu_cy.slot_info(0)["held"]


def test_spin_lock_irqsave_keeps_the_handler_off(rig: Rig) -> None:
    def handler(line, dev_id, regs):
        lock_cy.spin_lock(LOCK)
        rig.shared[TAKEN] += 1
        lock_cy.spin_unlock(LOCK)

    lock_cy.spin_lock_init(LOCK)
    assert irq.request_irq(5, handler, 0, "careful", 0) == 0
    for _ in range(200):
        flags = lock_cy.spin_lock_irqsave(LOCK)
        irq.raise_irq(5)
        lock_cy.spin_unlock_irqrestore(LOCK, flags)
    wait_until(lambda: irq_cy.line_info(5)["status"] & 5 == 0)
    assert rig.shared[TAKEN] == irq_cy.line_info(5)["counts"][0] > 0


def test_a_handler_that_returns_with_a_lock_held_gives_it_back(rig: Rig) -> None:
    def handler(line, dev_id, regs):
        lock_cy.spin_lock(LOCK)
        rig.shared[TAKEN] += 1

    lock_cy.spin_lock_init(LOCK)
    assert irq.request_irq(5, handler, 0, "careless", 0) == 0
    irq.raise_irq(5)
    wait_until(lambda: rig.shared[TAKEN] and irq_cy.line_info(5)["cpu"] == -1)
    assert "the handler returned with spinlocks held" in event_cy.dmesg()
    assert not lock_cy.spin_is_locked(LOCK)
