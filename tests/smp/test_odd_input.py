"""What makes no sense is refused where it is said, by name, and the machine goes on."""

import subprocess
import sys
import time

import pytest

from smpmm import KernelBug, Machine
from smpmm.kernel import kmem_cache_destroy, kmem_cache_shrink, mdelay, raise_irq

DEADLINE_S = 30


@pytest.fixture(scope="module")
def machine():
    with Machine(cpus=2, slabinfo="2.1") as machine:
        yield machine
        machine.check()


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ((-1,), ValueError, "irq=-1: this machine has lines 0 to 63"),
        ((64,), ValueError, "irq=64"),
        (("5",), TypeError, "irq='5'"),
        ((5.5,), TypeError, "irq=5.5"),
        ((5, 2), ValueError, "cpu=2: this machine has CPUs 0 to 1"),
        ((5, -1), ValueError, "cpu=-1"),
    ],
)
def test_an_edge_on_no_line_or_for_no_cpu(machine, arguments, error, named) -> None:
    with pytest.raises(error, match=named):
        machine.raise_irq(*arguments)


@pytest.mark.parametrize("rate", [0, -5, float("inf"), float("nan")])
def test_a_device_without_a_rate(machine, rate) -> None:
    with pytest.raises(ValueError, match="rate="):
        machine.start_synthetic(7, rate)


def raise_for_no_cpu() -> str:
    try:
        raise_irq(5, 2)
    except ValueError as error:
        return str(error)
    return ""


def test_an_edge_from_a_task_for_no_cpu(machine) -> None:
    assert machine.run(raise_for_no_cpu) == "no CPU 2: 0 to 1"


def test_a_write_to_slabinfo_that_makes_no_sense(machine) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        machine.proc_write("slabinfo", "size-32 10 20")


def test_slabinfo_in_the_layout_that_tools_read(machine) -> None:
    lines = machine.proc("slabinfo").splitlines()
    assert lines[0] == "slabinfo - version: 2.1"
    assert {len(line.split()) for line in lines[2:]} == {16}
    with pytest.raises(ValueError, match="slabinfo='3.0': there are 1.1 and 2.1"):
        Machine(slabinfo="3.0")


def destroy_nothing() -> None:
    kmem_cache_destroy(None)


def shrink_nothing() -> None:
    kmem_cache_shrink(None)


@pytest.mark.parametrize("call", [destroy_nothing, shrink_nothing])
def test_no_cache_at_all_is_the_versions_bug(machine, call) -> None:
    with pytest.raises(KernelBug, match="kernel BUG at slab.c: .*: no cache"):
        machine.run(call)


def test_a_cpu_tells_the_pid_of_its_task() -> None:
    with Machine(cpus=1) as machine:
        task = machine.spawn(mdelay, 60_000)
        seen = set()  # a kernel thread may have its turn first
        deadline = time.monotonic() + DEADLINE_S
        while (pid := machine.cpus[0].current) != task.pid:
            seen.add(pid)
            assert time.monotonic() < deadline, (seen, task.pid)
        assert seen <= {None, *range(1, 1000)}


def test_a_program_without_output_boots() -> None:
    """As a daemon does, that has closed its standard output."""
    program = (
        "import os\nfrom smpmm import Machine\n"
        "with Machine(cpus=1) as machine:\n    os._exit(machine.run(len, 'abc'))\n"
    )
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, program],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
