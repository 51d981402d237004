"""Call sites: a number for each place in Python that calls the kernel."""

from cpus.atomic cimport u32, u64

cdef enum:
    NR_SITES = 8192

cdef public struct call_site_entry:
    u64 key               # hash of file, line, function; 0 = free. Claimed by compare-and-exchange
    u32 line
    u32 ready             # 1 when the names are written
    char function[56]
    char file[120]

# The number of the Python line that makes the current kernel call; 0 when the table is full.
# Any context, inside or outside a call; 2 ns after the first meeting.
cdef u32 call_site() noexcept
