"""Memory of devices on the bus (what /proc/iomem has beside RAM), in the control area.

It is reached through ioremap and readb … writel, as device memory is; a device of the machine
reaches it by its physical address.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.host_cy import segment_fd, segment_reserve
from cython.cimports.libc.string import strncpy

from smpmm.mm import iomem

SPARSE_REGIONS = ("io_pool",)


def regions(config: object) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    total: u64 = sum(region.size for region in iomem.io_regions(config))
    step: u64 = 1 << IO_STEP_SHIFT
    nr_steps: u64 = (total + step - 1) // step
    return {
        "io_regions": NR_IO_REGIONS * cython.sizeof(io_region),
        "io_backed": nr_steps + 1,
        "io_pool": nr_steps * step,
    }


def attach(config: object) -> None:
    """Find the tables; the monitor, before it forks."""
    global io_regions, io_pool, io_backed
    io_regions = cython.cast(cython.pointer[io_region], segment_cy.region_at(b"io_regions"))
    io_pool = cython.cast(cython.pointer[u8], segment_cy.region_at(b"io_pool"))
    io_backed = cython.cast(cython.pointer[u8], segment_cy.region_at(b"io_backed"))


def init(config: object) -> None:
    """Write the table of a fresh segment; the monitor."""
    offset: u64 = 0
    i: cython.int
    for i, region in enumerate(iomem.io_regions(config)):
        name: bytes = region.name.encode()
        io_regions[i].start = region.start
        io_regions[i].size = region.size
        io_regions[i].offset = offset
        strncpy(io_regions[i].name, name, 23)
        offset += io_regions[i].size


def io_native(phys, n, length):
    i: cython.int
    at: u64
    r: cython.pointer[io_region]
    step: u64 = cython.cast(u64, 1) << IO_STEP_SHIFT
    for i in range(NR_IO_REGIONS):
        r = io_regions + i
        if r.size == 0:
            break
        if phys - r.start < r.size:
            at = r.offset + (phys - r.start)
            if not back_step(at >> IO_STEP_SHIFT):
                break
            n = min(n, r.size - (phys - r.start))
            length[0] = min(n, step - at % step)
            return io_pool + at
        if phys < r.start:
            n = min(n, r.start - phys)
            break
    length[0] = n
    return cython.NULL


def back_step(step):
    """Give 2 MiB of device memory host memory; false when the host has none."""
    global io_failed
    offset: u64
    if io_backed[step] == 0 and segment_fd != 0:
        offset = cython.cast(u64, io_pool) - cython.cast(u64, segment_cy.ram)
        if segment_reserve(
            offset + (step << IO_STEP_SHIFT), cython.cast(u64, 1) << IO_STEP_SHIFT
        ):
            io_failed = True
            return False
        io_backed[step] = 1
    return True


def io_table() -> list:
    """Return the regions: (name, start, size), by address; none before they are attached."""
    if io_regions == cython.NULL:
        return []
    return [
        (io_regions[i].name.decode(), io_regions[i].start, io_regions[i].size)
        for i in range(NR_IO_REGIONS)
        if io_regions[i].size != 0
    ]
