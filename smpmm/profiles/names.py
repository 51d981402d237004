"""Which kernel versions have which function: ranges by name.

A name that is not here is in every version that can be chosen. `SIGNATURES` are calls whose
arguments were others once.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from smpmm.profiles.version import Range, Version, range_of, text_of

RANGES: Final = MappingProxyType(
    {
        # slab
        "kmem_cache_create": ("2.1.23-",),
        "kmem_cache_alloc": ("2.1.23-",),
        "kmem_cache_free": ("2.1.23-",),
        "kmem_cache_shrink": ("2.1.23-",),
        "kmem_cache_size": ("2.4.0-",),
        "kmem_cache_destroy": ("2.1.23-2.1.24", "2.2.18-2.2", "2.3.18-"),
        "kmem_cache_reap": ("2.1.23-2.4",),
        "ksize": ("2.5.70-",),
        "kcalloc": ("2.6.9-",),
        "kzalloc": ("2.6.14-",),
        "krealloc": ("2.6.22-",),
        # pages
        "get_free_page": ("2.0.0-2.4",),
        "get_zeroed_page": ("2.4.0-",),
        "alloc_page": ("2.4.0-",),
        "alloc_pages": ("2.4.0-",),
        "__free_pages": ("2.4.0-",),
        "virt_to_page": ("2.4.0-",),
        "kmap": ("2.3.23-",),
        "kunmap": ("2.3.23-",),
        "kmap_atomic": ("2.3.23-",),
        "kunmap_atomic": ("2.3.23-",),
        # mappings and boot
        "vremap": ("2.0",),
        "ioremap": ("2.1.0-",),
        "iounmap": ("2.1.0-",),
        "alloc_bootmem": ("2.3.23-",),
        "alloc_bootmem_low": ("2.3.23-",),
        "alloc_bootmem_pages": ("2.3.23-",),
        "alloc_bootmem_low_pages": ("2.3.23-",),
        "__alloc_bootmem": ("2.3.23-",),
        "reserve_bootmem": ("2.3.23-",),
        "free_bootmem": ("2.3.23-",),
        # contexts and deferred work
        "cli": ("2.0.0-2.4",),
        "sti": ("2.0.0-2.4",),
        "save_flags": ("2.0.0-2.4",),
        "restore_flags": ("2.0.0-2.4",),
        "queue_task": ("2.0.0-2.4",),
        "mark_bh": ("2.0.0-2.4",),
        "tq_timer": ("2.0.0-2.4",),
        "tq_immediate": ("2.0.0-2.4",),
        "IMMEDIATE_BH": ("2.0.0-2.4",),
        "schedule_task": ("2.4.0-2.4",),
        "flush_scheduled_tasks": ("2.4.0-2.4",),
        "tasklet_init": ("2.4.0-",),
        "tasklet_schedule": ("2.4.0-",),
        "tasklet_hi_schedule": ("2.4.0-",),
        "tasklet_kill": ("2.4.0-",),
        "tasklet_disable": ("2.4.0-",),
        "tasklet_disable_nosync": ("2.4.0-",),
        "tasklet_enable": ("2.4.0-",),
        "complete_all": ("2.6.0-",),
    }
)


def ranges_of(name: str) -> tuple[Range, ...]:
    """Return the versions that have `name`; empty: all of them."""
    return tuple(range_of(text) for text in RANGES.get(name, ()))


def has(ranges: tuple[Range, ...], version: Version) -> bool:
    """Whether a version is in one of the ranges; without ranges it is."""
    return not ranges or any(version in range_ for range_ in ranges)


def when(ranges: tuple[Range, ...], version: Version) -> str:
    """Say which Linux has what `version` lacks: what came next, else what was last."""
    later = [range_ for range_ in ranges if range_.first > version]
    if later:
        return f"exists since Linux {text_of(later[0].first)}"
    last = max(ranges, key=lambda range_: range_.last)
    return f"existed until Linux {text_of(last.last)}"
