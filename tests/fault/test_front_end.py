"""Setting up faults: command line, keyword, at run time, by files; and what is refused."""

import errno

import pytest

import smpmm
from cpus.errors import ConfigError
from smpmm import Machine, fault


def attributes(machine, name: str) -> dict:
    return machine.run(fault.fault_inject, name)


def test_command_line_and_keywords_set_attributes() -> None:
    given = {"probability": 7, "ignore_gfp_wait": 0, "min-order": 0}
    with Machine(cpus=1, cmdline="failslab=3,50,64,-1", fail_page_alloc=given) as machine:
        slab, page = attributes(machine, "failslab"), attributes(machine, "fail_page_alloc")
    assert slab == {
        "probability": 50, "interval": 3, "times": -1, "space": 64, "verbose": 2,
        "task-filter": 0, "ignore-gfp-wait": 1, "cache-filter": 0,
    }  # fmt: skip
    assert page == {
        "probability": 7, "interval": 1, "times": 1, "space": 0, "verbose": 2,
        "task-filter": 0, "ignore-gfp-wait": 0, "ignore-gfp-highmem": 1, "min-order": 0,
    }  # fmt: skip


def test_a_keyword_wins_over_the_command_line() -> None:
    with Machine(cpus=1, cmdline="failslab=3,50,64,-1", failslab="1,2,3,4") as machine:
        assert attributes(machine, "failslab")["probability"] == 2


@pytest.mark.parametrize(
    "given, named",
    [
        ({"cmdline": "failslab=1,2,3"}, "failslab='1,2,3'"),
        ({"cmdline": "failslab=1,x,0,-1"}, "'x'"),
        ({"failslab": "1,101,0,-1"}, "101"),
        ({"failslab": "1,50,-3,-1"}, "-3"),
        ({"failslab": "1,50,0,-2"}, "-2"),
        ({"failslab": {"min-order": 1}}, "min-order"),
        ({"failslab": {"chance": 1}}, "chance"),
        ({"fail_page_alloc": {"cache_filter": 1}}, "cache_filter"),
        ({"fail_page_alloc": {"task-filter": 2}}, "task-filter"),
    ],
)
def test_a_bad_value_is_named_before_anything_starts(given, named) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        Machine(cpus=1, **given)
    assert isinstance(caught.value, ValueError)


def test_attributes_change_at_run_time_all_or_none(machine) -> None:
    now = machine.fault_inject("failslab", probability=10, **{"ignore-gfp-wait": 0})
    assert (now["probability"], now["ignore-gfp-wait"]) == (10, 0)
    with pytest.raises(ValueError, match="101"):
        machine.fault_inject("failslab", interval=5, probability=101)
    with pytest.raises(ValueError, match="min-order"):
        machine.fault_inject("failslab", min_order=0)
    with pytest.raises(ValueError, match="failing"):
        machine.fault_inject("failing", times=0)
    assert attributes(machine, "failslab")["interval"] == 1


def test_the_kernel_s_files_read_and_write(machine) -> None:
    for name, text, read in (
        ("failslab/probability", "10", "10\n"),
        ("failslab/probability", "0x10\n", "16\n"),
        ("failslab/times", "-1", "-1\n"),
        ("failslab/cache-filter", "Y", "Y\n"),
        ("failslab/cache_filter", "0", "N\n"),
        ("fail_page_alloc/min-order", "010", "8\n"),
        ("/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem", "n", "N\n"),
    ):
        machine.proc_write(name, text)
        assert machine.proc(name) == read, name
    assert "failslab/ignore-gfp-wait" in machine.proc_files()
    assert "failslab/min-order" not in machine.proc_files()


@pytest.mark.parametrize(
    "name, text, said",
    [
        ("failslab/probability", "101", "101"),
        ("failslab/probability", "often", "often"),
        ("failslab/task-filter", "2", "Y or N"),
        ("failslab/times", "-2", "-2"),
        ("self/make-it-fail", "2", "0 or 1"),
        ("self/fail-nth", "-1", "-1"),
        ("self/fail-nth", "x", "'x'"),
    ],
)
def test_a_bad_text_is_einval(machine, name, text, said) -> None:
    with pytest.raises(OSError, match=said) as caught:
        machine.proc_write(name, text)
    assert caught.value.errno == errno.EINVAL


def test_files_of_tasks_that_do_not_exist(machine) -> None:
    for name in ("999999/fail-nth", "999999/make-it-fail"):
        with pytest.raises(ProcessLookupError):
            machine.proc(name)
        with pytest.raises(ProcessLookupError):
            machine.proc_write(name, "1")
    with pytest.raises(FileNotFoundError):
        machine.proc("failslab/chance")


def count_down() -> list:
    """Arm fail-nth at 3 and ask for memory five times."""
    from smpmm.kernel import GFP_ATOMIC, current, kfree, kmalloc

    def left() -> int:
        with smpmm.open(f"/proc/{current().pid}/fail-nth") as file:
            return int(file.read())

    with smpmm.open("/proc/self/fail-nth", "w") as file:
        file.write("3")
    seen = [left()]
    for _ in range(5):
        address = kmalloc(64, GFP_ATOMIC)
        kfree(address)
        seen.append((bool(address), left()))
    with smpmm.open("/proc/self/task/self/fail-nth", "w") as file:
        file.write("2")
    with smpmm.open("/proc/self/fail-nth", "w") as file:
        file.write("0")
    addresses = kmalloc(64, GFP_ATOMIC), kmalloc(64, GFP_ATOMIC)
    for address in addresses:
        kfree(address)
    return [*seen, all(addresses)]


def test_fail_nth_counts_eligible_calls_and_0_cancels(machine) -> None:
    assert machine.run(count_down) == [
        3, (True, 2), (True, 1), (False, 0), (True, 0), (True, 0), True,
    ]  # fmt: skip
    (record,) = machine.faults()
    assert record["outcome"] == "0 to the task, which returned"


def filtered(on: bool) -> int:
    """Return how many of ten allocations fail in a task that is, or is not, marked."""
    from smpmm.kernel import GFP_ATOMIC, kfree, kmalloc

    with smpmm.open("/proc/self/make-it-fail", "w") as file:
        file.write(str(int(on)))
    with smpmm.open("/proc/self/make-it-fail") as file:
        assert file.read() == f"{int(on)}\n"
    taken = [kmalloc(32, GFP_ATOMIC) for _ in range(10)]
    for address in taken:
        kfree(address)
    return taken.count(0)


def test_the_task_filter_takes_marked_tasks_only(machine) -> None:
    machine.fault_inject("failslab", probability=100, times=-1, task_filter=1)
    assert machine.run(filtered, True) == 10
    assert machine.run(filtered, False) == 0
