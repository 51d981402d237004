"""A process dies as the CPU that it has interrupted: that one lives, its arrays are right."""

from typing import Any

import pytest

from cpus import ship
from cpus.errors import CpuDied
from smpmm.kernel import (
    GFP_ATOMIC,
    GFP_KERNEL,
    kfree,
    kmalloc,
    kmem_cache_alloc,
    kmem_cache_create,
    kmem_cache_destroy,
    kmem_cache_free,
    kmem_cache_shrink,
    request_irq,
)
from smpmm.machine import Machine

IRQ = 5
CPU = 2


def die_at(point: str) -> None:
    from cpus import kill_cy

    kill_cy.arm(point)


def interrupt(irq: int, dev_id: int, regs: Any) -> None:
    """Die between the objects of a batch on its way into this CPU's array."""
    die_at("slab_refill")
    for _ in range(1000):
        kmalloc(256, GFP_ATOMIC)


def fill_array() -> None:
    for address in [kmalloc(256, GFP_KERNEL) for _ in range(40)]:
        kfree(address)


def begin() -> None:
    assert request_irq(IRQ, interrupt, 0, "dies", None) == 0


def raise_it(cpu: int) -> None:
    from interrupts import irq_cy

    irq_cy.raise_irq(IRQ, cpu=cpu)


def array(cpu: int) -> int:
    from smpmm.mm import cache_cy, slab_state_cy

    index = cache_cy.find_cache("size-256")
    return len(slab_state_cy.array_info(index, cpu)["entries"])


@pytest.fixture
def machine():
    ship.register_by_value("tests")
    with Machine(cpus=3, mem="16M") as booted:
        yield booted


def test_a_handler_that_dies_in_a_refill_leaves_the_arrays_whole(machine: Machine) -> None:
    for cpu in range(3):
        machine.run(fill_array, cpu=cpu)
    before = machine.run(array, 0, cpu=0)
    assert before > 0
    machine.run(begin)
    machine.run(raise_it, CPU, cpu=0)
    (death,) = machine._deaths(1)
    assert (death.name, death.is_cpu, death.cpu) == ("irq5", True, CPU)
    machine.check()
    assert machine.run(array, 0, cpu=0) == before, "the others' arrays are left alone"
    machine.run(fill_array, cpu=CPU)
    machine.check()


def make_cache() -> int:
    return kmem_cache_create("drained", 200, 0, 0, None, None).address


def use(cache: int) -> None:
    for address in [kmem_cache_alloc(cache, GFP_KERNEL) for _ in range(30)]:
        kmem_cache_free(cache, address)


def shrink_and_die(cache: int) -> None:
    """Die while the other CPU's array is emptied, as that CPU."""
    die_at("slab_flush")
    kmem_cache_shrink(cache)


def test_a_cpu_that_dies_as_another_leaves_its_arrays_whole(machine: Machine) -> None:
    cache = machine.run(make_cache, cpu=1)
    machine.run(use, cache, cpu=CPU)
    with pytest.raises(CpuDied):
        machine.run(shrink_and_die, cache, cpu=0)
    (death,) = machine._deaths(1)
    assert (death.name, death.cpu) == ("cpu0", 0)
    machine.check()
    machine.run(use, cache, cpu=CPU)
    assert machine.run(kmem_cache_destroy, cache, cpu=1) == 0
    machine.check()
