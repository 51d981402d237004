"""failslab and fail_page_alloc: gates, the order of decisions, dice, records."""

import pytest

from cpus import choice_cy, event_cy, segment_cy, spinlock_cy
from smpmm import fault_cy
from smpmm.mm import cache_cy, page_alloc_cy, page_calls_cy, slab_check, slab_cy
from tests.support import small_machine

GFP_ATOMIC, GFP_KERNEL = 0x02, 0x07
RAM = 8 << 20


def boot(seed: int = 1, **options):
    small_machine(
        spinlock_cy,
        page_alloc_cy,
        choice_cy,
        cache_cy,
        fault_cy,
        ram_bytes=RAM,
        zones={"DMA": RAM // 2, "Normal": RAM // 2, "HighMem": 0},
        option=lambda name, default=None: options.get(name, default),
    )
    segment_cy.set_header(0, seed)


@pytest.fixture(autouse=True)
def machine():
    boot()
    yield
    slab_check.check_slabs()


def outcomes(n: int, size: int = 64, gfp: int = GFP_ATOMIC) -> list[bool]:
    """Whether each of n allocations failed; what was allocated is freed."""
    failed = []
    for _ in range(n):
        address = slab_cy.kmalloc(size, gfp)
        failed.append(address == 0)
        slab_cy.kfree(address)
    return failed


def set_slab(**values) -> None:
    for file, value in values.items():
        fault_cy.set_attribute("failslab", file.replace("_", "-"), value)


def test_defaults_are_the_kernels() -> None:
    assert fault_cy.attributes("failslab") == {
        "probability": 0, "interval": 1, "times": 1, "space": 0, "verbose": 2,
        "task-filter": 0, "ignore-gfp-wait": 1, "cache-filter": 0,
    }  # fmt: skip
    assert fault_cy.attributes("fail_page_alloc") == {
        "probability": 0, "interval": 1, "times": 1, "space": 0, "verbose": 2,
        "task-filter": 0, "ignore-gfp-wait": 1, "ignore-gfp-highmem": 1, "min-order": 1,
    }  # fmt: skip


def test_the_command_line_sets_interval_probability_space_and_times() -> None:
    boot(failslab=(3, 100, 0, -1))
    values = fault_cy.attributes("failslab")
    assert [values[k] for k in ("interval", "probability", "space", "times")] == [
        3,
        100,
        0,
        -1,
    ]


def test_nothing_fails_until_a_probability_is_set() -> None:
    assert not any(outcomes(200))


def test_times_counts_down_to_none() -> None:
    set_slab(times=3, probability=100)
    assert outcomes(6) == [True] * 3 + [False] * 3
    assert fault_cy.attributes("failslab")["times"] == 0
    assert fault_cy.nr_injected("failslab") == 3


def test_times_minus_one_is_without_limit() -> None:
    set_slab(times=-1, probability=100)
    assert all(outcomes(50))


def test_interval_lets_each_nth_fail() -> None:
    set_slab(times=-1, interval=3, probability=100)
    assert outcomes(9) == [False, False, True] * 3


def test_space_is_spent_in_object_bytes_and_its_rest_is_not() -> None:
    set_slab(times=-1, space=200, probability=100)
    assert outcomes(5) == [False, False, False, True, True]
    assert fault_cy.attributes("failslab")["space"] == 8
    assert outcomes(1, size=4) == [True]


def test_sleeping_allocations_fail_only_when_they_are_not_ignored() -> None:
    set_slab(times=-1, probability=100)
    assert not any(outcomes(5, gfp=GFP_KERNEL))
    set_slab(ignore_gfp_wait=0)
    assert all(outcomes(5, gfp=GFP_KERNEL))


def test_the_cache_filter_takes_marked_caches_only() -> None:
    made = cache_cy.kmem_cache_create("marked", 64, 0, 0, None, None)
    fault_cy.set_failslab(made, True)
    set_slab(times=-1, probability=100, cache_filter=1)
    assert slab_cy.kmem_cache_alloc(made, GFP_ATOMIC) == 0
    assert not any(outcomes(5))


def test_the_task_filter_spares_what_is_no_task() -> None:
    set_slab(times=-1, probability=100, task_filter=1)
    assert not any(outcomes(5))


def test_the_caches_descriptors_never_fail() -> None:
    set_slab(times=-1, probability=100, ignore_gfp_wait=0)
    assert cache_cy.kmem_cache_create("born", 64, 0, 0, None, None) is not None


def test_pages_of_low_orders_are_spared_by_default() -> None:
    fault_cy.setup("fail_page_alloc", 1, 100, 0, -1)
    assert page_calls_cy.__get_free_pages(GFP_ATOMIC, 0) != 0
    assert page_calls_cy.__get_free_pages(GFP_ATOMIC, 1) == 0
    fault_cy.set_attribute("fail_page_alloc", "min-order", 0)
    assert page_calls_cy.__get_free_pages(GFP_ATOMIC, 0) == 0


def test_a_failing_page_makes_a_growing_cache_fail() -> None:
    fault_cy.setup("fail_page_alloc", 1, 100, 0, -1)
    assert slab_cy.kmalloc(16384, GFP_ATOMIC) == 0
    fault_cy.set_attribute("fail_page_alloc", "probability", 0)
    assert slab_cy.kmalloc(16384, GFP_ATOMIC) != 0


def test_the_dice_follow_from_the_seed() -> None:
    runs = []
    for seed in (7, 7, 8):
        boot(seed)
        set_slab(times=-1, probability=30)
        runs.append(outcomes(300))
    assert runs[0] == runs[1] != runs[2]
    assert 50 < sum(runs[0]) < 130


def test_a_fault_is_an_event_a_record_and_a_message() -> None:
    set_slab(times=1, probability=100)
    outcomes(1, size=100)
    (record,) = fault_cy.injected()
    assert (record["name"], record["size"], record["nth"]) == ("failslab", 128, 0)
    assert "outcomes (test_fault_cy.py" in record["stack"][0]
    assert "test_a_fault_is" in record["stack"][1]
    assert [e["b"] for e in event_cy.read_events(0) if e["type"] == "fault"] == [128]
    assert "FAULT_INJECTION: forcing a failure" in event_cy.dmesg()
    assert "test_fault_cy.py" in event_cy.dmesg()


def test_verbose_0_says_nothing() -> None:
    set_slab(times=1, verbose=0, probability=100)
    outcomes(1)
    assert "FAULT_INJECTION" not in event_cy.dmesg()


@pytest.mark.parametrize(
    "name, file",
    [("failslab", "min-order"), ("fail_page_alloc", "cache-filter"), ("x", "times")],
)
def test_an_unknown_attribute_is_refused(name, file) -> None:
    with pytest.raises(ValueError, match=f"{name}|{file}"):
        fault_cy.set_attribute(name, file, 1)


def test_a_value_below_the_range_is_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        set_slab(interval=-1)
