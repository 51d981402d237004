"""Memory behind kernel addresses, as drivers and the kernel's own Python code touch it."""

from cpus.atomic cimport u8, u32, u64

cdef enum:
    ACCESS_PAGE = 4096       # unit in which memory is mapped
    ACCESS_CHUNK = 65536     # bytes moved between two safe points

    PIECE_READ = 0           # what each_piece does
    PIECE_WRITE = 1
    PIECE_FILL = 2

# All of these are called inside a kernel call. They stop at the first byte that is not mapped
# and return how many bytes they did: less than `n` is a fault at address + done. Between
# chunks they pass a safe point.
cdef u64 read_bytes(void *to, u64 address, u64 n) noexcept
cdef u64 write_bytes(u64 address, const void *data, u64 n) noexcept
cdef u64 fill_bytes(u64 address, int value, u64 n) noexcept
# The native address of the longest piece of [address, address + n) that is found at once, and
# its length; NULL and 0 when nothing is mapped there.
cdef u8 *span(u64 address, u64 n, u64 *length) noexcept
cdef u64 chunk(u64 left) noexcept      # how much of it is moved at a time

# The same between two ranges of kernel addresses; `fault` is set to the address that failed.
cdef u64 copy_forward(u64 to, u64 from_, u64 n, u64 *fault) noexcept
cdef u64 copy_backward(u64 to, u64 from_, u64 n, u64 *fault) noexcept
cdef u64 compare(u64 a, u64 b, u64 n, int *result, u64 *fault) noexcept

# Helper of this module alone.
cdef u64 each_piece(int what, u8 *host, u64 address, int value, u64 n) noexcept
