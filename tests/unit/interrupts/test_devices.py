"""The synthetic device: its gaps follow from seed and line."""

import itertools
import types

import pytest

from interrupts import devices, irq_cy
from tests.unit.interrupts.rig import Rig, rig

__all__ = ["rig"]


def gaps(monkeypatch: pytest.MonkeyPatch, seed: int, line: int) -> list[float]:
    """Return what a device waits between its edges, on a host without any delay."""
    waits: list[float] = []
    clock = types.SimpleNamespace(monotonic=lambda: sum(waits), sleep=waits.append)
    monkeypatch.setattr(devices, "time", clock)
    devices.run_synthetic(line, 100.0, seed, 2000)
    return waits


def test_gaps_are_random_with_the_mean_asked_for_and_the_seed_repeats_them(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = gaps(monkeypatch, 7, 5)
    assert irq_cy.line_info(5)["raised"] == 2000
    assert sum(first) / len(first) == pytest.approx(0.01, rel=0.15)
    assert max(first) > 0.03 and min(first) < 0.001
    again = gaps(monkeypatch, 7, 5)
    assert all(a == pytest.approx(b) for a, b in itertools.zip_longest(first, again))
    assert gaps(monkeypatch, 8, 5)[:5] != again[:5]
