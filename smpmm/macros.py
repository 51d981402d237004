"""Small things of the kernel's headers: PAGE_ALIGN, spin_unlock_wait."""

from typing import Any

from cpus import lock_cy
from smpmm import symbols, time_cy


def PAGE_ALIGN(address: int) -> int:
    """Return `address` rounded up to a whole page. Any context."""
    size = symbols.resolve("PAGE_SIZE")
    return (address + size - 1) // size * size


def spin_unlock_wait(lock: Any) -> None:
    """Wait, keeping the CPU, until nobody holds a spinlock; any context."""
    while lock_cy.spin_is_locked(lock):
        time_cy.udelay(1)
