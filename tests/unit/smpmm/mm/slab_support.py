"""A small machine with pages and slabs, and the words of 2.4.5 for its tests."""

from cpus import bug, percpu_cy, spinlock_cy
from smpmm.mm import cache_cy, page_alloc_cy, slab_state_cy
from tests.support import small_machine

GFP_ATOMIC, GFP_KERNEL, GFP_DMA, GFP_HIGHMEM = 0x02, 0x07, 0x08, 0x10
SLAB_NO_REAP, SLAB_HWCACHE_ALIGN, SLAB_CACHE_DMA = 0x1000, 0x2000, 0x4000


def slab_machine(ram_bytes: int = 8 << 20, **options):
    """Boot pages and slabs in this process; returns the configuration."""
    zones = {"DMA": ram_bytes // 2, "Normal": ram_bytes // 2, "HighMem": 0}
    if ram_bytes > 32 << 20:
        zones = {"DMA": 16 << 20, "Normal": ram_bytes - (16 << 20), "HighMem": 0}
    percpu_cy.register_hooks(breach=bug.breach)
    return small_machine(
        spinlock_cy, page_alloc_cy, cache_cy, ram_bytes=ram_bytes, zones=zones, **options
    )


def cache(name: str) -> dict:
    """Return the figures of a live cache."""
    return slab_state_cy.cache_info(cache_cy.find_cache(name))


def counts(name: str) -> tuple:
    """Return active objects, objects, active slabs, slabs of a cache."""
    return slab_state_cy.slab_counts(cache_cy.find_cache(name))
