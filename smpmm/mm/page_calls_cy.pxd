"""The page calls as Python code makes them: each is one compiled call."""

from cpus.atomic cimport u32, u64
from smpmm.mm.page_cy cimport page

cdef page *page_of(object handle) except? NULL          # NULL: no struct page is there
cdef u64 page_struct_address(page *p) noexcept          # kernel address of a struct page
cdef int give_back(page *p, u64 address, u64 order, u32 site) except -1
cdef u64 get_block(u64 gfp, u64 order, u32 site, const char *name) except? 0
cdef object handle_of(page *p)
