"""The order in which the kernel's own locks are taken, written once.

A lock is taken only while every lock that is held stands above it in this table. The pages of
the architecture show the table; a test compares what a machine did with it (`breaches`), from
the pairs that every nested acquisition leaves in the segment.

Locks of drivers are not in it: they are what the rules of drivers are about.
"""

from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from cpus import lockstat_cy, spinlock_cy


class Rank(NamedTuple):
    """Lock classes of which no two are held together: patterns of names, and a remark."""

    classes: tuple[str, ...]
    remark: str = ""


ORDER: Final = (
    Rank(("cache_chain_sem",), "semaphore"),
    Rank(("text_lock", "registry_lock")),
    Rank(("irq_desc->lock",)),
    Rank(("tqueue_lock", "timerlist_lock")),
    Rank(("lru_list_lock", "kmap_lock", "vmlist_lock", "page_table_lock")),
    Rank(("*->spinlock",), "of a slab cache"),
    Rank(("zone->lock",)),
    Rank(("wait_queue_lock", "*_wait.lock", "*_done.lock"), "of a wait queue"),
    Rank(("runqueue_lock", "sleepers_lock")),
)


def rank(name: str) -> int | None:
    """Return the rank of a lock class, from 1 on; None for a driver's lock."""
    for number, (classes, _) in enumerate(ORDER, 1):
        if any(fnmatchcase(name, pattern) for pattern in classes):
            return number
    return None


def listing() -> list[str]:
    """Return the table as text, a line for each rank."""
    lines = []
    for number, (classes, remark) in enumerate(ORDER, 1):
        lines.append(f"{number:5}  {', '.join(classes)}" + f" ({remark})" * bool(remark))
    return lines


def recorded() -> list[tuple[str, str]]:
    """Return (class held, class taken) of every nested acquisition of this machine so far."""
    names = [name for name, _kind in lockstat_cy.class_names()]
    return [(names[held], names[taken]) for held, taken in spinlock_cy.pairs()]


def breaches(pairs: list[tuple[str, str]]) -> list[str]:
    """Describe the pairs that the table forbids."""
    found = []
    for held, taken in pairs:
        above, below = rank(held), rank(taken)
        if above is not None and below is not None and above >= below:
            found.append(f"{taken} (rank {below}) taken with {held} (rank {above}) held")
    return found
