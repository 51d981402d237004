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


def test_a_late_device_waits_until_its_last_edge_is_taken(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host runs the device every 20 ms only; the handler takes an edge 0.2 ms later."""
    now, taken_at, merged, edges = 0.0, 0.0, 0, 0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds if seconds <= devices.LOOK_S else 0.02

    def raise_irq(line: int) -> None:
        nonlocal taken_at, merged, edges
        merged += now < taken_at
        edges += 1
        taken_at = now + 0.0002

    monkeypatch.setattr(
        devices, "time", types.SimpleNamespace(monotonic=lambda: now, sleep=sleep)
    )
    lines = types.SimpleNamespace(raise_irq=raise_irq, is_pending=lambda line: now < taken_at)
    monkeypatch.setattr(devices, "irq_cy", lines)
    devices.run_synthetic(5, 2000.0, 7, 3000)
    assert edges == 3000
    assert merged < 10, "only edges that are due within 0.05 ms of each other"
    assert now == pytest.approx(3000 / 2000, rel=0.1), "the rate is kept"


def test_a_late_device_does_not_wait_for_a_line_that_nobody_serves(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = 0.0

    def sleep(seconds: float) -> None:
        nonlocal waited
        waited += seconds

    clock = types.SimpleNamespace(monotonic=lambda: waited, sleep=sleep)
    monkeypatch.setattr(devices, "time", clock)
    lines = types.SimpleNamespace(is_pending=lambda line: True)
    monkeypatch.setattr(devices, "irq_cy", lines)
    devices.wait_taken(5)
    assert waited == pytest.approx(devices.TAKEN_S, abs=2 * devices.LOOK_S)
