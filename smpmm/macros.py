"""Small things of the kernel's headers: capable, PAGE_ALIGN."""

from cpus import percpu_cy
from smpmm import symbols


def capable(capability: int) -> bool:
    """Return whether the calling task has a capability: a program of a machine has them all."""
    percpu_cy.preemption_point()
    return capability >= 0


def PAGE_ALIGN(address: int) -> int:
    """Return `address` rounded up to a whole page."""
    size = symbols.resolve("PAGE_SIZE")
    return (address + size - 1) // size * size
