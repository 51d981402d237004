"""fail-nth 1, 2, 3 … through every driver: never a leak, never a lost lock, always ENOMEM."""

import errno

import pytest

from smpmm import Machine
from tests.fault import drivers

# Parameters that make a small device need many allocations, and bytes that a task writes.
USES = {
    "scull": ({"scull_quantum": 256, "scull_qset": 4}, 2200),
    "scullc": ({"scullc_quantum": 256, "scullc_qset": 4}, 2200),
    "scullp": ({"scullp_qset": 2}, 20_000),
    "scullv": ({"scullv_qset": 2, "scullv_order": 1}, 20_000),
    "tally": ({}, 3000),
}
NODES = {"tally": "/dev/tally", "short": "/dev/short0"}
MOST = 200  # allocations of one sweep


@pytest.fixture(scope="module")
def swept():
    from cpus import ship

    ship.register_by_value("tests")
    with Machine(cpus=2) as machine:
        yield machine
        machine.check()


def node(driver: str) -> str:
    return NODES.get(driver, f"/dev/{driver}0")


def names(machine, what: str) -> list[str]:
    return [line.split()[0] for line in machine.proc(what).splitlines() if line.strip()]


def assert_gone(machine, driver: str, before: dict) -> None:
    """Assert that nothing of a driver is left: memory, device, files, lines."""
    assert driver not in names(machine, "modules")
    assert driver not in machine.proc("devices").split()
    assert f"{driver}mem" not in machine.proc_files()
    assert driver not in machine.proc("interrupts")
    assert f"\n{driver} " not in machine.proc("slabinfo")
    assert machine.run(drivers.in_use) == before


@pytest.mark.parametrize("driver", [*USES, "short"])
def test_insmod(swept, driver) -> None:
    swept.insmod(driver)
    assert not swept.rmmod(driver)
    before = swept.run(drivers.in_use)
    failed = 0
    for nth in range(1, MOST):
        injected, result = swept.run(drivers.insmod_with_fault, driver, nth)
        if result is None:
            assert not swept.rmmod(driver), nth
        else:
            assert injected and result == "ENOMEM", (nth, result)
            failed += 1
        assert_gone(swept, driver, before)
        if not injected:
            break
    assert failed and nth < MOST - 1
    calls = [one for one in swept.faults() if one["call"] == "insmod"]
    assert all(one["outcome"] == "insmod returned -ENOMEM" for one in calls)


@pytest.mark.parametrize("driver", USES)
def test_open_trim_write_read_close(swept, driver) -> None:
    parameters, size = USES[driver]
    swept.insmod(driver, **parameters)
    path = node(driver)
    assert swept.run(drivers.use, path, size) == "same"
    results: dict[object, int] = {}
    for nth in range(1, MOST):
        injected, result = swept.run(drivers.use_with_fault, path, size, nth)
        results[result] = results.get(result, 0) + 1
        assert result in ("ENOMEM", "short", "same"), (nth, result)
        assert result != "ENOMEM" or injected
        # No lock was lost, nothing is open, and what was left half-way can be used.
        assert swept.proc("modules").split()[2] == "0"
        assert swept.run(drivers.use, path, size) == "same", nth
        if not injected:
            break
    assert result == "same" and nth < MOST - 1
    assert results.get("ENOMEM", 0) + results.get("short", 0) > 0, results
    for one in swept.faults():
        if one["call"] == "write":
            assert one["result"] == -errno.ENOMEM or one["result"] >= 0
    before = swept.run(drivers.in_use)
    assert before
    assert not swept.rmmod(driver)


@pytest.mark.parametrize("driver", USES)
def test_nothing_is_left_after_a_sweep(swept, driver) -> None:
    before = swept.run(drivers.in_use)
    parameters, size = USES[driver]
    swept.insmod(driver, **parameters)
    for nth in (1, 2, 3, 5, 8, 13, 21):
        swept.run(drivers.use_with_fault, node(driver), size, nth)
    injected, leaked = swept.run(drivers.rmmod_with_fault, driver, 1)
    assert leaked == ""
    assert_gone(swept, driver, before)


@pytest.mark.parametrize("driver", ["scull", "scullc", "scullp", "scullv"])
def test_reading_beyond_the_end(swept, driver) -> None:
    parameters, size = USES[driver]
    swept.insmod(driver, **parameters)
    swept.run(drivers.use, node(driver), size)
    for nth in range(1, MOST):
        injected, result = swept.run(drivers.read_with_fault, node(driver), 50 * size, nth)
        assert result == ("ENOMEM" if injected and result else 0), nth
        assert swept.run(drivers.use, node(driver), size) == "same"
        if not injected:
            break
    assert not swept.rmmod(driver)


def test_an_interrupt_without_memory_drops_its_record(swept) -> None:
    before = swept.run(drivers.in_use)
    swept.insmod("short", short_irq=5)
    first = len(swept.faults())
    attributes = swept.fault_inject("failslab", probability=50, times=-1, verbose=0)
    assert attributes["probability"] == 50
    try:
        for _ in range(60):
            swept.raise_irq(5)
            swept.run(drivers.settle)
    finally:
        swept.fault_inject("failslab", probability=0)
    figures = dict(line.split() for line in swept.proc("shortmem").splitlines()[1:])
    faults = [one for one in swept.faults() if one["number"] >= first and not one["task"]]
    assert int(figures["dropped"]) == len(faults) > 0
    assert all(one["outcome"] == "0 to the interrupt" for one in faults)
    assert any("short_interrupt" in line for line in faults[0]["stack"])
    assert not swept.rmmod("short")
    assert_gone(swept, "short", before)
