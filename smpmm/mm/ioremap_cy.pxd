"""ioremap, and access to what it maps."""

from cpus.atomic cimport u8, u32, u64

cdef enum:
    IO_READ = 0                  # what each_io_piece does
    IO_WRITE = 1
    IO_FILL = 2

    IO_FAULT = 0                 # what io_span found
    IO_MEMORY = 1
    IO_NOBODY = 2                # no device answers: reads are all ones, writes are lost

cdef u64 address_mask            # of a physical address, as an unsigned long holds it
cdef bint loses_page
cdef bint aligns

# An area that maps [phys, phys + size) of whole pages, its number; 0: no place, no memory.
cdef u32 map_io(u64 phys, u64 size, u64 align, u32 site) except? 0
cdef bint all_reserved(u64 phys, u64 last) noexcept
cdef int io_span(u64 address, u64 n, u8 **at, u64 *length) noexcept
# Inside a call; the bytes done: less than `n` is a fault behind them.
cdef u64 each_io_piece(int what, u8 *host, u64 address, int value, u64 n) noexcept
cdef u64 io_read(u64 address, u64 n, const char *name) except? 0
cdef int io_write(u64 address, u64 value, u64 n, const char *name) except -1
cdef u64 copy_io(int what, u64 io, u64 memory, u64 n, u64 *fault) noexcept
