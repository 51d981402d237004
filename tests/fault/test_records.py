"""Each injected fault: an event with its stack, who got it, and how its call ended."""

import errno

import pytest

import smpmm
from smpmm import Machine
from tests.fault import drivers


@pytest.fixture
def faulty(machine):
    machine.insmod("scull", scull_quantum=256, scull_qset=4)
    machine.run(drivers.prepare)
    return machine


def write_failing(nth: int) -> str:
    """Write two quanta, the nth allocation failing; returns what the user saw."""
    with smpmm.open("/dev/scull0", "wb", 0) as device:
        injected, result = drivers.with_fault(nth, device.write_whole, bytes(512))
    return f"{injected} {result}"


def test_a_failed_write_and_a_short_one(faulty) -> None:
    assert faulty.run(write_failing, 1) == "True ENOMEM"
    faulty.run(drivers.use, "/dev/scull0", 10)
    # Of an emptied device: the array and a quantum, then the second quantum fails.
    assert faulty.run(write_failing, 3) in ("True 256", "True ENOMEM")
    first, second = faulty.faults()
    assert first["call"] == "write" and first["result"] == -errno.ENOMEM
    assert first["outcome"] == "write returned -ENOMEM"
    assert "scull_write_quantum (scull.py" in first["stack"][0]
    assert "write_file (file_calls.py" in " ".join(first["stack"])
    assert second["outcome"] in ("write returned 256", "write returned -ENOMEM")
    assert first["task"] != second["task"] and first["comm"] == "workload"


def ask_and(end: str) -> int:
    from smpmm import fault_cy
    from smpmm.kernel import GFP_ATOMIC, current, kmalloc

    fault_cy.set_fail_nth(current().pid, 1)
    address = kmalloc(100, GFP_ATOMIC)
    if end == "raise":
        raise KeyError("no memory")
    if end == "look":
        (record,) = fault_cy.injected()
        assert not record["ended"]
    return address


def test_a_call_of_the_workload_s_own_returns_0_and_the_task_s_end_is_told(machine) -> None:
    assert machine.run(ask_and, "return") == 0
    with pytest.raises(KeyError):
        machine.run(ask_and, "raise")
    one, two = machine.faults()
    assert one["call"] is None and "ask_and (test_records.py" in one["stack"][0]
    assert one["outcome"] == "0 to the task, which returned"
    assert not any("sched.py" in place for place in one["stack"])
    assert two["outcome"] == "0 to the task, which ended with KeyError"
    assert machine.faults(since=2) == [] and len(machine.faults(since=1)) == 1


def test_a_task_that_goes_on_has_no_ending_yet() -> None:
    from cpus import ship

    ship.register_by_value("tests")
    with Machine(cpus=1) as machine:
        assert machine.run(ask_and, "look") == 0


def test_insmod_and_its_message_in_the_log(machine) -> None:
    machine.fault_inject("failslab", ignore_gfp_wait=0, probability=100)
    with pytest.raises((OSError, MemoryError)) as caught:
        machine.insmod("scull")
    assert getattr(caught.value, "errno", errno.ENOMEM) == errno.ENOMEM
    (record,) = machine.faults()
    assert record["outcome"] == "insmod returned -ENOMEM"
    log = machine.dmesg()
    head = log.index("FAULT_INJECTION: forcing a failure")
    assert " scull_init (" in log[head:]  # verbose 2: the stack behind it


@pytest.mark.parametrize("verbose, message, stack", [(0, 0, 0), (1, 1, 0), (2, 1, 1)])
def test_verbose(machine, verbose, message, stack) -> None:
    machine.fault_inject("failslab", verbose=verbose)
    machine.run(ask_and, "return")
    log = machine.dmesg()
    assert log.count("FAULT_INJECTION: forcing a failure\n") == message
    assert log.count("ask_and (") == stack
    assert "sched.py" not in log


def count_events() -> list[int]:
    from cpus import event_cy

    return [one["b"] for one in event_cy.read_events(0) if one["type"] == "fault"]


def test_a_fault_is_an_event_of_its_cpu() -> None:
    from cpus import ship

    ship.register_by_value("tests")
    with Machine(cpus=1) as machine:
        machine.run(ask_and, "return")
        assert machine.run(count_events) == [128]
