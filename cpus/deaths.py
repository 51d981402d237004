"""What the monitor knows of each process that died: where it was, when that was put right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cpus import segment_cy

deaths: list[Death] = []  # in the monitor: all of them, in order


@dataclass
class Death:
    """A process that died, as its slot was when it was reaped. Times are ns since boot."""

    name: str
    slot: int
    kind: int
    cpu: int
    how: str
    inside: bool  # in a kernel call
    is_cpu: bool  # a handler or device that was a CPU: its gate was taken
    held: tuple[int, ...]  # native addresses of the spinlocks that it held
    waiting_lock: int  # native address of the lock that it waited for, 0 = none
    seen_ns: int  # the monitor learned of it
    woken_ns: int  # it was marked dead, and who waited for its locks woken
    recovered_ns: int = 0  # every layer has put right what it left

    @property
    def counts(self) -> bool:
        """Whether it was in the middle of something: in a call, with a lock, or as a CPU."""
        return bool(self.inside or self.held or self.waiting_lock or self.is_cpu)

    def doing(self) -> str:
        """Return what it was doing, for the log; empty when it was outside of the kernel."""
        parts = ["in a kernel call"] if self.inside else []
        if self.is_cpu:
            parts.append(f"in an interrupt of CPU {self.cpu}")
        if self.held:
            parts.append(f"holding {len(self.held)} spinlock{'s' * (len(self.held) > 1)}")
        if self.waiting_lock:
            parts.append("waiting for a lock")
        return ", ".join(parts)


def note(info: dict[str, Any], how: str, seen_ns: int) -> Death:
    """Keep what the slot of a process that was just reaped says; the monitor only."""
    death = Death(
        name=info["name"],
        slot=info["slot"],
        kind=info["kind"],
        cpu=info["cpu"],
        how=how,
        inside=bool(info["inside"]),
        is_cpu=bool(info["interrupted"]),
        held=tuple(lock for lock, _, _ in info["held"]),
        waiting_lock=info["waiting_lock"],
        seen_ns=seen_ns,
        woken_ns=segment_cy.uptime_ns(),
    )
    deaths.append(death)
    return death


def settled(number: int) -> bool:
    """Whether `number` processes have died or more, and what they left is put right."""
    return len(deaths) >= number and all(death.recovered_ns for death in deaths)
