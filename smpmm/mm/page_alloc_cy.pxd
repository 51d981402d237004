"""The page allocator's policy: who gets pages from which zone, and what happens when there are none.

What other compiled modules use; all functions are called inside a kernel call.
"""

from cpus.atomic cimport u32, u64
from smpmm.mm.page_cy cimport page
from smpmm.mm.zone_cy cimport zone

# The version's flag bits; 0 where it has none.
cdef u64 gfp_wait
cdef u64 gfp_high
cdef u64 gfp_io
cdef u64 gfp_dma
cdef u64 gfp_highmem

# Fault injection (fail_page_alloc): non-zero fails the request. NULL = off. Any context.
ctypedef int (*fail_page_alloc_hook)(u64 gfp, u64 order, u32 site) noexcept
cdef fail_page_alloc_hook should_fail_alloc_page

# A block of 2**order pages that is physically contiguous and naturally aligned, or NULL without an
# exception. With the WAIT bit in `gfp` it may leave the call, sleep and come back: the caller holds
# no lock, has entered by enter_sleeping, and nothing another task may see lies on its stack. An
# exception means that the task was killed while it slept: the call has been left (inside is 0).
cdef page *alloc_pages(u64 gfp, u64 order, u32 site) except? NULL
# Free a block that alloc_pages returned. Any context. Non-zero: the truth forbids it, nothing done.
cdef int free_pages_block(page *p, u64 order, u32 site) noexcept
