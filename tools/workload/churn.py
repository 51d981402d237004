"""Churn: objects, pages and cache objects of mixed sizes that another CPU frees.

A parcel is an allocation whose first bytes say what it is and whose last bytes repeat its
number, so that whoever frees it can tell damage. It travels in a list in RAM.
"""

import random
import struct
from collections import Counter
from typing import Any, Final

from smpmm.kernel import *
from smpmm_tools.workload.control import CACHE_SIZES, Control, exchange_of, injected

BATCH: Final = 32  # parcels between two looks at `stop`

# What a parcel is: how it was allocated says how it is freed.
KMALLOC: Final = 0
CACHE: Final = 1
PAGES: Final = 2
HIGH_PAGE: Final = 3
MARK: Final = struct.Struct("<IIQI")  # kind, argument, payload (a page), number


class Parcel(KStruct):
    """The head of an allocation that is handed over; MARK follows."""

    link: list_head


def churn(address: int, number: int, limit: int, seed: int) -> dict[str, Any]:
    """Send parcels to the next CPU and free those that arrive, until told to stop.

    `limit` is how many may be waiting at a CPU; above it this task frees first.
    """
    control = Control.at(address)
    done = u64.at(control.progress)
    chance = random.Random(seed)
    cpu = smp_processor_id()
    own = exchange_of(control, cpu)
    target = exchange_of(control, (cpu + 1) % control.nr_cpus)
    counts: Counter[str] = Counter()
    errors: list[str] = []
    while not control.stop:
        full = True
        for _ in range(BATCH):
            if target.nr_parcels < limit:
                full = False
                parcel = make_parcel(control, chance, counts)
                if parcel:
                    send_parcel(target, parcel)
            if full or chance.random() < own.nr_parcels / limit:
                arrived = take_parcel(own)
                if arrived is not None:
                    counts["freed"] += 1
                    errors += check_and_free(control, arrived)
        done[number] = counts["sent"]
        if full:
            schedule()  # nobody takes them: the CPU is better used by another task
    return {
        "kind": "churn", "cpu": cpu, "pid": current().pid, "counts": dict(counts),
        "faults": injected(), "errors": errors[:20],
    }  # fmt: skip


def make_parcel(control: Any, chance: random.Random, counts: Counter[str]) -> int:
    """Allocate something of a mixed size; returns its address, 0 without memory."""
    flags = GFP_KERNEL if chance.random() < 0.8 else GFP_ATOMIC
    kind = chance.choices((KMALLOC, CACHE, PAGES, HIGH_PAGE), (12, 5, 2, 1))[0]
    payload = 0
    if kind == KMALLOC:
        argument = min(int(chance.paretovariate(0.7) * 48), 32768)
        address = kmalloc(argument, flags)
    elif kind == CACHE:
        argument = chance.randrange(len(CACHE_SIZES))
        address = kmem_cache_alloc(control.caches[argument], flags)
    elif kind == PAGES:
        argument = chance.choice((0, 0, 0, 1, 2, 3))
        address = __get_free_pages(flags, argument)
    else:
        argument = 64
        address, payload = make_high_page(argument, flags)
    counts["tried"] += 1
    if not address:
        counts["refused"] += 1
        return 0
    counts["sent"] += 1
    number = counts["sent"]
    parcel = Parcel.at(address)
    poke(int(parcel.link) + sizeof(Parcel), MARK.pack(kind, argument, payload, number))
    poke(address + size_of(kind, argument) - 4, number.to_bytes(4, "little"))
    return address


def make_high_page(size: int, flags: int) -> tuple[int, int]:
    """Return a parcel that carries a high page, and the page; (0, 0) without memory."""
    page = alloc_page(flags | __GFP_HIGHMEM)
    if not page:
        return 0, 0
    address = kmalloc(size, flags)
    if not address:
        __free_page(page)
        return 0, 0
    return address, int(page)


def size_of(kind: int, argument: int) -> int:
    """Return how many bytes a parcel has."""
    if kind == CACHE:
        return CACHE_SIZES[argument]
    return PAGE_SIZE << argument if kind == PAGES else argument


def send_parcel(exchange: Any, address: int) -> None:
    parcel = Parcel.at(address)
    spin_lock(exchange.lock)
    list_add_tail(parcel.link, exchange.parcels)
    exchange.nr_parcels += 1
    spin_unlock(exchange.lock)


def take_parcel(exchange: Any) -> Any:
    """Return the oldest parcel of an exchange, or None."""
    spin_lock(exchange.lock)
    link = 0 if list_empty(exchange.parcels) else exchange.parcels.next
    if link:
        list_del(link)
        exchange.nr_parcels -= 1
    spin_unlock(exchange.lock)
    return list_entry(link, Parcel, "link") if link else None


def check_and_free(control: Any, parcel: Any) -> list[str]:
    """Free what a parcel is; returns what was wrong with it."""
    address = int(parcel)
    head = peek(int(parcel.link) + sizeof(Parcel), MARK.size)
    kind, argument, payload, number = MARK.unpack(head)
    if kind > HIGH_PAGE:
        return [f"parcel at {address:#x}: kind {kind:#x}, its head was overwritten"]
    last = int.from_bytes(peek(address + size_of(kind, argument) - 4, 4), "little")
    errors = []
    if last != number:
        errors.append(f"parcel {number} at {address:#x} ends with {last:#x}: overwritten")
    if kind == CACHE:
        kmem_cache_free(control.caches[argument], address)
    elif kind == PAGES:
        free_pages(address, argument)
    else:
        if kind == HIGH_PAGE:
            __free_page(payload)
        kfree(address)
    return errors


def drain(address: int) -> list[str]:
    """Free the parcels that are still on their way; returns what was wrong with them."""
    control = Control.at(address)
    errors = []
    for cpu in range(control.nr_cpus):
        while (parcel := take_parcel(exchange_of(control, cpu))) is not None:
            errors += check_and_free(control, parcel)
    return errors
