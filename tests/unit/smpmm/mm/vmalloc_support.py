"""A small machine with pages, slabs and a vmalloc space."""

from cpus import bug, percpu_cy, spinlock_cy
from smpmm.mm import cache_cy, page_alloc_cy, vm_area_cy, vmalloc_cy
from smpmm.mm.vmalloc_profile import vmalloc_profile_of
from tests.support import small_machine

PAGE = 4096
MIB = 1 << 20


def vmalloc_machine(
    ram_bytes: int = 8 * MIB, high_bytes: int = 2 * MIB, kernel: str = "2.4.5", **options
):
    """Boot pages, slabs and vmalloc in this process; returns the configuration.

    `kernel`: whose rule of gaps it has; the rest is 2.4.5.
    """
    low = ram_bytes - high_bytes
    zones = {"DMA": low // 2, "Normal": low // 2, "HighMem": high_bytes}
    percpu_cy.register_hooks(breach=bug.breach)
    config = small_machine(
        spinlock_cy,
        page_alloc_cy,
        cache_cy,
        vmalloc_cy,
        ram_bytes=ram_bytes,
        zones=zones,
        **options,
    )
    vm_area_cy.set_rules(vmalloc_profile_of(kernel, "i386"))
    return config
