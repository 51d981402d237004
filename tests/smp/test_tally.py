"""tally, the driver whole: every write is kept, the newest is read, whoever uses it."""

import errno
import os
import re
import warnings
from collections.abc import Iterator

import pytest

import smpmm
from smpmm import Machine

HOSTS, PER_HOST = 3, 20
TASKS, PER_TASK = 3, 40
RESULT_S = 60
# A text says whose it is, its number, and how long it is.
TEXT = re.compile(rb"(\w+) (\d+) (\d+) (x*)\Z")


def text_of(who: str, number: int) -> bytes:
    length = 37 * number % 3000
    return f"{who} {number} {length} ".encode() + b"x" * length


def is_whole(text: bytes) -> bool:
    parts = TEXT.match(text)
    return parts is not None and len(parts[4]) == int(parts[3])


@pytest.fixture
def machine() -> Iterator[Machine]:
    from cpus import ship

    ship.register_by_value("tests")
    with Machine(cpus=3) as machine:
        machine.insmod("tally")
        yield machine


def nr_entries(machine: Machine) -> int:
    """Return how many entries the driver has allocated, by the truth of the objects."""
    return machine.run(count_entries)


def count_entries() -> int:
    from smpmm.mm import slab_state_cy

    return sum(one["cache"] == "tally" for one in slab_state_cy.allocated_objects())


def write(machine: Machine, data: bytes) -> None:
    with machine.open("/dev/tally", "wb", buffering=0) as device:
        assert device.write(data) == len(data)


def newest(machine: Machine) -> bytes:
    with machine.open("/dev/tally", "rb") as device:
        return device.read()


def test_the_newest_text_is_read_and_each_is_kept(machine: Machine) -> None:
    assert newest(machine) == b""
    for number in range(5):
        write(machine, text_of("host", number))
        assert newest(machine) == text_of("host", number)
    assert nr_entries(machine) == 5
    with machine.open("/dev/tally", "rb", buffering=0) as device:
        parts = iter(lambda: device.read(10), b"")
        assert b"".join(parts) == text_of("host", 4)
    assert not machine.rmmod("tally")
    machine.check()


def use_from_outside(machine: Machine, host: int) -> int:
    """Write this process's texts; returns how often what was read was no whole text."""
    wrong = 0
    for number in range(PER_HOST):
        write(machine, text_of(f"host{host}", number))
        wrong += not is_whole(newest(machine))
    return wrong


def use_from_inside(task: int, per_task: int) -> int:
    """The same as a task; it reads with one call, as what is newest may change between two."""
    wrong = 0
    for number in range(per_task):
        with smpmm.open("/dev/tally", "wb", buffering=0) as device:
            device.write(text_of(f"task{task}", number))
        with smpmm.open("/dev/tally", "rb", buffering=0) as device:
            wrong += not is_whole(device.read(4096))
    return wrong


def test_many_processes_and_tasks_use_it_at_once(machine: Machine) -> None:
    tasks = [machine.spawn(use_from_inside, n, PER_TASK, cpu=n) for n in range(TASKS)]
    pids = []
    for host in range(HOSTS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # fork of a threaded process
            pid = os.fork()
        if pid == 0:
            code = 100
            try:
                code = use_from_outside(machine, host)
            finally:
                os._exit(code)
        pids.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert codes == [0] * HOSTS
    assert [task.result(RESULT_S) for task in tasks] == [0] * TASKS
    assert nr_entries(machine) == HOSTS * PER_HOST + TASKS * PER_TASK
    assert not machine.rmmod("tally"), "exit frees every entry and every text"
    machine.check()


def test_what_finds_no_memory_is_not_kept(machine: Machine) -> None:
    write(machine, b"first")
    always = {"probability": 100, "interval": 1, "times": -1, "space": 0}
    machine.fault_inject("failslab", **always, ignore_gfp_wait=0)
    try:
        with machine.open("/dev/tally", "wb", buffering=0) as device:
            with pytest.raises(OSError) as caught:
                device.write(b"second")
            assert caught.value.errno == errno.ENOMEM
    finally:
        machine.fault_inject("failslab", probability=0, times=1, ignore_gfp_wait=1)
    assert newest(machine) == b"first"
    assert nr_entries(machine) == 1
    assert not machine.rmmod("tally")
