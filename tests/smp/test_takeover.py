"""A dead owner's lock is free again at once: the monitor wakes who waits for it."""

import statistics

from cpus import ship
from smpmm import Machine
from tools import takeover

ship.register_by_value("tools")


def test_a_dead_owners_lock_is_taken_over() -> None:
    with Machine(cpus=10) as machine:
        times = [takeover.takeover_ns(machine, victim, 0) for victim in range(1, 10)]
        print(f"median {statistics.median(times) / 1e6:.2f} ms of {sorted(times)} ns")
        assert all(time > 0 for time in times)
        machine.check()
