"""Interrupt lines: request, share, disable, nest, die."""

import os
import time

import pytest

from cpus import context_cy, event_cy, percpu_cy
from interrupts import irq, irq_cy
from tests.unit.interrupts.rig import KIND_CPU, Rig, rig, wait_until

__all__ = ["rig"]

SA_SHIRQ, SA_INTERRUPT = 0x04000000, 0x20000000
EINVAL, EBUSY = 22, 16
RUN, IN_IRQ, OFF, DEVICE, CPU, RELEASED = range(6)


def dmesg() -> str:
    return event_cy.dmesg()


def test_a_handler_runs_as_the_cpu_in_hardirq_context(rig: Rig) -> None:
    def handler(line, dev_id, regs):
        rig.shared[IN_IRQ] = context_cy.in_irq()
        rig.shared[OFF] = context_cy.irqs_disabled()
        rig.shared[DEVICE] = dev_id
        rig.shared[CPU] = context_cy.smp_processor_id()
        rig.shared[RUN] += line

    assert irq.request_irq(5, handler, 0, "tick", 0x1234) == 0
    irq.raise_irq(5)
    wait_until(lambda: rig.shared[RUN])
    assert list(rig.shared[:5]) == [5, 1, 0, 0x1234, 0]
    wait_until(lambda: irq_cy.line_info(5)["cpu"] == -1)
    assert irq_cy.line_info(5)["counts"] == [1]
    assert not context_cy.in_irq()


def test_sa_interrupt_keeps_interrupts_off(rig: Rig) -> None:
    def handler(line, dev_id, regs):
        rig.shared[OFF] = context_cy.irqs_disabled()
        rig.shared[RUN] += 1

    assert irq.request_irq(5, handler, SA_INTERRUPT, "fast", 0) == 0
    irq.raise_irq(5)
    wait_until(lambda: rig.shared[RUN])
    assert rig.shared[OFF] == 1


def test_a_line_is_shared_only_by_consent(rig: Rig) -> None:
    def handler(line, dev_id, regs):
        rig.shared[RUN] += dev_id

    assert irq.request_irq(5, handler, SA_SHIRQ, "a", 1) == 0
    assert irq.request_irq(5, handler, 0, "b", 2) == -EBUSY
    assert irq.request_irq(5, handler, SA_SHIRQ, "c", 0) == -EINVAL
    assert irq.request_irq(64, handler, 0, "d", 0) == -EINVAL
    assert irq.request_irq(5, None, 0, "e", 0) == -EINVAL
    assert irq.request_irq(5, handler, SA_SHIRQ, "f", 16) == 0
    irq.raise_irq(5)
    wait_until(lambda: rig.shared[RUN] == 17)
    irq.free_irq(5, 1)
    irq.raise_irq(5)
    wait_until(lambda: rig.shared[RUN] == 33)
    irq.free_irq(5, 1)
    assert "Trying to free free IRQ5" in dmesg()


def test_edges_of_a_disabled_line_are_merged_and_come_when_it_is_enabled(rig: Rig) -> None:
    def handler(line, dev_id, regs):
        rig.shared[RUN] += 1

    assert irq.request_irq(5, handler, 0, "tick", 0) == 0
    irq.disable_irq(5)
    irq.disable_irq_nosync(5)
    irq.raise_irq(5)
    irq.raise_irq(5)
    irq.enable_irq(5)
    assert irq_cy.line_info(5)["counts"] == [0]
    irq.enable_irq(5)
    wait_until(lambda: rig.shared[RUN])
    irq.synchronize_irq()
    assert rig.shared[RUN] == 1
    assert irq_cy.line_info(5)["merged"] == 1
    irq.enable_irq(5)
    assert "enable_irq(5) unbalanced" in dmesg()


def test_a_line_without_a_handler_loses_its_edges(rig: Rig) -> None:
    irq.raise_irq(9)
    assert irq_cy.line_info(9)["lost"] == 1
    with pytest.raises(ValueError, match="64"):
        irq.raise_irq(64)


def test_interrupts_wait_while_the_cpu_has_them_off(rig: Rig) -> None:
    def handler(line, dev_id, regs):
        rig.shared[RUN] += 1

    assert irq.request_irq(5, handler, 0, "tick", 0) == 0
    context_cy.local_irq_disable()
    irq.raise_irq(5)
    wait_until(lambda: percpu_cy.cpu_info(0)["pending"])
    assert rig.shared[RUN] == 0
    context_cy.local_irq_enable()
    assert rig.shared[RUN] == 1


def test_another_line_interrupts_a_handler(rig: Rig) -> None:
    def outer(line, dev_id, regs):
        irq.raise_irq(6)
        while not rig.shared[RUN]:
            percpu_cy.preemption_point()
        rig.shared[DEVICE] += 1

    def inner(line, dev_id, regs):
        rig.shared[CPU] = percpu_cy.cpu_info(0)["pending"]
        rig.shared[RUN] = context_cy.preempt_count()

    assert irq.request_irq(5, outer, 0, "outer", 0) == 0
    assert irq.request_irq(6, inner, 0, "inner", 0) == 0
    irq.raise_irq(5)
    wait_until(lambda: rig.shared[DEVICE])
    assert rig.shared[RUN] == 0x20000
    assert rig.shared[CPU] == 2


def test_a_handler_that_raises_leaves_its_line_alive(rig: Rig) -> None:
    def handler(line, dev_id, regs):
        rig.shared[RUN] += 1
        if rig.shared[RUN] == 1:
            raise LookupError("no such packet")

    assert irq.request_irq(5, handler, 0, "tick", 0) == 0
    irq.raise_irq(5)
    wait_until(lambda: irq_cy.line_info(5)["unhandled"])
    irq.raise_irq(5)
    wait_until(lambda: rig.shared[RUN] == 2)
    assert "no such packet" in dmesg()
    assert context_cy.preempt_count() == 0


def test_a_killed_handler_gives_its_cpu_back_and_shuts_its_line(rig: Rig) -> None:
    def handler(line, dev_id, regs):
        rig.shared[RUN] = os.getpid()
        while True:
            percpu_cy.preemption_point()

    assert irq.request_irq(5, handler, 0, "stuck", 0) == 0
    irq.raise_irq(5)
    slot = irq_cy.line_info(5)["handler"] - 1
    while not rig.shared[RUN]:
        pass
    rig.kill(slot)
    irq_cy.shut_line(irq_cy.line_of(slot))
    percpu_cy.preemption_point()
    assert not context_cy.in_irq() and not context_cy.irqs_disabled()
    irq.raise_irq(5)
    assert irq_cy.line_info(5)["lost"] == 1
    irq.free_irq(5, 0)
    rig.shared[RUN] = 0
    assert irq.request_irq(5, lambda *_: rig.shared.__setitem__(RUN, 7), 0, "new", 0) == 0
    irq.raise_irq(5)
    wait_until(lambda: rig.shared[RUN] == 7)


def test_proc_interrupts_has_the_layout_of_2_4(rig: Rig) -> None:
    def handler(line, dev_id, regs):
        rig.shared[RUN] += 1

    assert irq.request_irq(7, handler, SA_SHIRQ, "short", 1) == 0
    assert irq.request_irq(7, handler, SA_SHIRQ, "parport", 2) == 0
    irq.raise_irq(7)
    wait_until(lambda: rig.shared[RUN] == 2)
    assert irq.interrupts_text() == (
        "           CPU0       \n"
        "  0:          0    IO-APIC-edge  timer\n"
        "  7:          1    IO-APIC-edge  short, parport\n"
        "NMI:          0 \n"
        "LOC:          0 \n"
        "ERR:          0\n"
    )


def test_cli_keeps_handlers_off_until_sti(rig: Rig) -> None:
    def handler(line, dev_id, regs):
        rig.shared[RUN] += 1

    assert irq.request_irq(5, handler, 0, "tick", 0) == 0
    assert irq.save_flags() == 1
    irq.cli()
    assert irq.save_flags() == 0
    flags = irq.save_flags()
    irq.raise_irq(5)
    irq.restore_flags(flags)
    assert rig.shared[RUN] == 0
    irq.sti()
    wait_until(lambda: rig.shared[RUN] == 1)
    assert irq.save_flags() == 1


@pytest.mark.parametrize("rig", [3], indirect=True)
def test_a_cpu_that_lets_nothing_in_is_passed_over(rig: Rig) -> None:
    """In turn among those outside of calls with interrupts on."""

    def with_interrupts_off() -> None:
        context_cy.local_irq_disable()
        rig.shared[0] += 1
        while True:
            time.sleep(1)

    def with_interrupts_on() -> None:
        rig.shared[1] += 1
        while True:
            time.sleep(1)

    rig.fork(KIND_CPU, "cpu1", with_interrupts_off, cpu=1)
    rig.fork(KIND_CPU, "cpu2", with_interrupts_on, cpu=2)
    wait_until(lambda: rig.shared[0] and rig.shared[1])
    chosen = [irq_cy.choose_cpu(5) for _ in range(6)]
    assert chosen in ([0, 2] * 3, [2, 0] * 3)
    context_cy.local_irq_disable()
    assert [irq_cy.choose_cpu(5) for _ in range(2)] == [2, 2]
    context_cy.local_irq_enable()
