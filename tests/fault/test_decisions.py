"""What a fault's decision depends on, by hand: attributes in the kernel's order, the dice."""

import pytest

from smpmm import Machine

# Each row: attributes of failslab; sizes asked one after the other in one task with
# GFP_ATOMIC (object bytes: 32, 64, 128 …); which of them fail, and what `times`, `space` end
# as. By hand from lib/fault-inject.c: probability, filter, times, space, interval, dice.
TABLE = [
    ("probability 0 is never", {}, [64] * 3, [], 1, 0),
    ("100 is always, once by default", {"probability": 100}, [64] * 3, [0], 0, 0),
    ("times 0 is never", {"probability": 100, "times": 0}, [64] * 3, [], 0, 0),
    ("times 2", {"probability": 100, "times": 2}, [64] * 4, [0, 1], 0, 0),
    ("without limit", {"probability": 100, "times": -1}, [64] * 4, [0, 1, 2, 3], -1, 0),
    (
        "interval: at its multiples",
        {"probability": 100, "times": -1, "interval": 3},
        [64] * 7, [2, 5], -1, 0,
    ),
    (
        "interval 0 and 1 are every call",
        {"probability": 100, "times": -1, "interval": 0},
        [64] * 2, [0, 1], -1, 0,
    ),
    (
        "space is spent first: 160-64=96, 96-64=32, then 32 is not above 64",
        {"probability": 100, "times": -1, "space": 160},
        [64] * 4, [2, 3], -1, 32,
    ),
    (
        "a remainder suppresses smaller requests again: 40 left of 104 is above 32, once",
        {"probability": 100, "times": -1, "space": 104},
        [64, 64, 32, 32, 64], [1, 3, 4], -1, 8,
    ),
    (
        "space equal to the size passes, and stays",
        {"probability": 100, "times": -1, "space": 64},
        [64, 64, 128], [0, 1, 2], -1, 64,
    ),
    (
        "what space suppresses is not counted for the interval: 100-64=36, then 2nd and 4th",
        {"probability": 100, "times": -1, "space": 100, "interval": 2},
        [64] * 5, [2, 4], -1, 36,
    ),
    (
        "times counts faults only",
        {"probability": 100, "times": 1, "interval": 2},
        [64] * 6, [1], 0, 0,
    ),
    (
        "a task that is not marked spends neither space nor times",
        {"probability": 100, "times": 5, "space": 100, "task_filter": 1},
        [64] * 3, [], 5, 100,
    ),
]  # fmt: skip


def ask(sizes: list[int], flags: str = "GFP_ATOMIC") -> list[int]:
    """Return which of the allocations failed; all the others are freed."""
    from smpmm import kernel
    from smpmm.kernel import kfree, kmalloc

    taken = [kmalloc(size, getattr(kernel, flags)) for size in sizes]
    for address in taken:
        kfree(address)
    return [n for n, address in enumerate(taken) if not address]


def ask_pages(orders: list[int], flags: list[str]) -> list[int]:
    from smpmm import kernel
    from smpmm.kernel import __free_pages, alloc_pages

    failed = []
    for n, order in enumerate(orders):
        gfp = 0
        for name in flags:
            gfp |= getattr(kernel, name)
        page = alloc_pages(gfp, order)
        if page is None:
            failed.append(n)
        else:
            __free_pages(page, order)
    return failed


@pytest.fixture(scope="module")
def one_cpu():
    from cpus import ship

    ship.register_by_value("tests")
    with Machine(cpus=1) as machine:
        yield machine


def reset(machine, name: str, **values: int) -> None:
    base = {"probability": 0, "interval": 1, "times": 1, "space": 0, "verbose": 0,
            "task_filter": 0, "ignore_gfp_wait": 1}  # fmt: skip
    machine.fault_inject(name, **{**base, "probability": 0})
    machine.fault_inject(name, **{**base, **values})


@pytest.mark.parametrize(
    "attributes, sizes, failed, times, space",
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_attributes_in_order(attributes, sizes, failed, times, space) -> None:
    with Machine(cpus=1) as machine:
        machine.fault_inject("failslab", verbose=0, **attributes)
        assert machine.run(ask, sizes) == failed
        now = machine.fault_inject("failslab")
        assert (now["times"], now["space"]) == (times, space)
        assert len(machine.faults()) == len(failed)
        machine.check()


def test_sleeping_requests_are_ignored_unless_told(one_cpu) -> None:
    reset(one_cpu, "failslab", probability=100, times=-1)
    assert one_cpu.run(ask, [64] * 3, "GFP_KERNEL") == []
    assert one_cpu.run(ask, [64] * 3, "GFP_ATOMIC") == [0, 1, 2]
    reset(one_cpu, "failslab", probability=100, times=-1, ignore_gfp_wait=0)
    assert one_cpu.run(ask, [64] * 3, "GFP_KERNEL") == [0, 1, 2]
    reset(one_cpu, "failslab")


@pytest.mark.parametrize(
    "set_, orders, flags, failed",
    [
        ({}, [0, 1, 2, 0], ["GFP_ATOMIC"], [1, 2]),
        ({"min_order": 0}, [0, 1], ["GFP_ATOMIC"], [0, 1]),
        ({"min_order": 2}, [0, 1, 2, 3], ["GFP_ATOMIC"], [2, 3]),
        ({}, [1, 1], ["GFP_KERNEL"], []),
        ({"ignore_gfp_wait": 0}, [1, 1], ["GFP_KERNEL"], [0, 1]),
        ({}, [1], ["__GFP_HIGHMEM"], []),
        ({"ignore_gfp_highmem": 0}, [1], ["__GFP_HIGHMEM"], [0]),
        ({"ignore_gfp_highmem": 0}, [1], ["GFP_HIGHUSER"], []),
        # pages are the unit of space: 5 - 2 = 3, 3 - 2 = 1, which is not above 2
        ({"space": 5}, [1, 1, 1, 1], ["GFP_ATOMIC"], [2, 3]),
    ],
)
def test_gates_of_fail_page_alloc(one_cpu, set_, orders, flags, failed) -> None:
    values = {"min_order": 1, "ignore_gfp_highmem": 1, **set_}
    reset(one_cpu, "fail_page_alloc", probability=100, times=-1, **values)
    try:
        assert one_cpu.run(ask_pages, orders, flags) == failed
    finally:
        reset(one_cpu, "fail_page_alloc", min_order=1, ignore_gfp_highmem=1)


def ask_counted(rounds: int, flags: str) -> tuple[int, list[int]]:
    """Return this task's pid and which of its requests failed; gives way in between."""
    from smpmm import kernel
    from smpmm.kernel import current, kfree, kmalloc, schedule

    failed = []
    for n in range(rounds):
        address = kmalloc(32 << n % 5, getattr(kernel, flags))
        if not address:
            failed.append(n)
        kfree(address)
        if n % 7 == 0:
            schedule()
    return current().pid, failed


def faults_by_task(cpus: int, seed: int, **attributes: int) -> list[tuple[int, list[int]]]:
    with Machine(cpus=cpus, seed=seed) as machine:
        machine.fault_inject(
            "failslab", probability=20, times=-1, verbose=0, ignore_gfp_wait=0, **attributes
        )
        tasks = [machine.spawn(ask_counted, 120, "GFP_KERNEL") for _ in range(8)]
        return [task.result(timeout=60) for task in tasks]


def test_the_same_seed_gives_the_same_faults_whatever_the_interleaving() -> None:
    first = faults_by_task(1, 7)
    assert all(len(failed) for _, failed in first)
    assert len({tuple(failed) for _, failed in first}) == len(first)
    for cpus in (1, 2, 2, 4, 4):
        assert faults_by_task(cpus, 7) == first, f"{cpus} CPUs"
    assert faults_by_task(2, 8) != first


def test_interval_and_times_are_the_machine_s() -> None:
    with Machine(cpus=4) as machine:
        machine.fault_inject("failslab", probability=100, times=-1, interval=4, verbose=0)
        tasks = [machine.spawn(ask_counted, 100, "GFP_ATOMIC", cpu=n % 4) for n in range(8)]
        assert sum(len(task.result(timeout=60)[1]) for task in tasks) == 8 * 100 // 4
        machine.fault_inject("failslab", interval=1, times=50)
        tasks = [machine.spawn(ask_counted, 100, "GFP_ATOMIC", cpu=n % 4) for n in range(8)]
        assert sum(len(task.result(timeout=60)[1]) for task in tasks) == 50
        assert machine.fault_inject("failslab")["times"] == 0
        assert len(machine.faults()) == 250


def test_space_is_the_machine_s() -> None:
    with Machine(cpus=4) as machine:
        machine.fault_inject("failslab", probability=100, times=-1, space=6400, verbose=0)
        tasks = [machine.spawn(ask, [64] * 50, cpu=n) for n in range(4)]
        # 6400 - 99 * 64 = 64, which is not above 64: 99 are suppressed
        assert sum(len(task.result(timeout=60)) for task in tasks) == 200 - 99
        assert machine.fault_inject("failslab")["space"] == 64
