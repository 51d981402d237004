"""Memory of devices on the bus: the bytes behind physical addresses that are no RAM."""

from cpus.atomic cimport u8, u64

cdef enum:
    NR_IO_REGIONS = 16
    IO_STEP_SHIFT = 21           # the unit in which it gets host memory

cdef public struct io_region:
    u64 start                    # physical; constant after boot
    u64 size                     # 0: no region
    u64 offset                   # of its bytes in the pool
    char name[24]

cdef io_region *io_regions
cdef u8 *io_pool
cdef u8 *io_backed               # 1: the step has host memory
cdef bint io_failed              # the host had no memory for a step

# The native address of device memory at a physical address and how much of [phys, phys + n)
# follows it; NULL: nobody answers there, for `length` bytes.
cdef u8 *io_native(u64 phys, u64 n, u64 *length) noexcept
cdef bint back_step(u64 step) noexcept
