"""What the tasks of a stress run share, in the machine's RAM: made first, freed last."""

from typing import Any, Final

from cpus import task_cy
from smpmm import fault_cy
from smpmm.kernel import *

CACHE_SIZES: Final = (48, 200, 1500)  # bytes, of the caches of our own


class Exchange(KStruct):
    """Parcels on their way to one CPU."""

    lock: spinlock_t
    parcels: list_head  # guarded by lock
    nr_parcels: u32  # guarded by lock


class Control(KStruct):
    """What the tasks of a run share."""

    stop: u32
    nr_cpus: u32
    exchanges: ptr  # of each CPU
    caches: ptr * 3  # type: ignore[valid-type]
    progress: ptr  # a u64 for each task: bytes copied, or parcels sent


class Refused(Exception):
    """The machine had no memory for a call however often it was repeated."""


def set_up(nr_cpus: int, nr_tasks: int) -> int:
    """Make what the tasks share; returns its address."""
    control = Control.at(zeroed(sizeof(Control)))
    control.nr_cpus = nr_cpus
    control.exchanges = zeroed(nr_cpus * sizeof(Exchange))
    for cpu in range(nr_cpus):
        exchange = exchange_of(control, cpu)
        spin_lock_init(exchange.lock)
        INIT_LIST_HEAD(exchange.parcels)
    for n, size in enumerate(CACHE_SIZES):
        cache = kmem_cache_create(f"stress-{size}", size, 0, SLAB_HWCACHE_ALIGN, None, None)
        control.caches[n] = int(cache)
    control.progress = zeroed(nr_tasks * 8)
    return int(control)


def zeroed(size: int) -> int:
    address = kmalloc(size, GFP_KERNEL)
    if not address:
        raise Refused(f"no memory for {size} bytes of the stress itself")
    memset(address, 0, size)
    return address


def exchange_of(control: Any, cpu: int) -> Any:
    return Exchange.at(control.exchanges + cpu * sizeof(Exchange))


def stop(address: int) -> None:
    """Have every task end."""
    Control.at(address).stop = 1


def progress(address: int, nr_tasks: int) -> list[int]:
    """Return how far each task is."""
    words = u64.at(Control.at(address).progress)
    return [words[n] for n in range(nr_tasks)]


def free(address: int) -> list[str]:
    """Free what `set_up` made, all parcels being gone; returns what went wrong."""
    control = Control.at(address)
    errors = []
    for n, size in enumerate(CACHE_SIZES):
        if kmem_cache_destroy(control.caches[n]):
            errors.append(f"cache stress-{size} still has objects after all were freed")
    kfree(control.progress)
    kfree(control.exchanges)
    kfree(control)
    return errors


def injected() -> int:
    """Return how many injected failures this task got so far."""
    return task_cy.task_info(current())["nr_faults"]


# failslab and fail_page_alloc leave sleeping and order-0 requests alone unless told so.
FAULT_GATES: Final = (
    ("failslab", "ignore-gfp-wait"),
    ("fail_page_alloc", "ignore-gfp-wait"),
    ("fail_page_alloc", "ignore-gfp-highmem"),
    ("fail_page_alloc", "min-order"),
)


def set_faults(percent: int) -> dict[str, dict[str, int]]:
    """Let `percent` of all allocations fail, of whatever kind; returns the attributes."""
    for name, file in FAULT_GATES:
        fault_cy.set_attribute(name, file, 0)
    for name in fault_cy.NAMES:
        for file, value in (("verbose", 0), ("times", -1), ("probability", percent)):
            fault_cy.set_attribute(name, file, value)
    return {name: fault_cy.attributes(name) for name in fault_cy.NAMES}


def wait_a_tick() -> None:
    set_current_state(TASK_INTERRUPTIBLE)
    schedule_timeout(1)
