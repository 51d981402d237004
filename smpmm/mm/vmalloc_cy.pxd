"""vmalloc and vfree: areas of contiguous addresses over single pages."""

from cpus.atomic cimport u8, u32, u64
from smpmm.mm.page_cy cimport page

cdef enum:
    NOBODY = 0
    NO_SPACE_BYTES = 128
    KERN_WARNING_LEVEL = 4
    ENTRY_HIDE = 0               # what each_entry does
    ENTRY_RELEASE = 1

cdef u64 gfp_kernel
cdef u64 gfp_pages               # of an area's pages
cdef u64 vm_struct_bytes
cdef char no_space_text[128]
cdef u64 no_space_length
cdef u32 vm_site                 # of pages and structs on their way into an area

# Inside a call. The address of an area of whole pages, 0: no memory or no place. May sleep; an
# exception has left the call.
cdef u64 vmalloc_inside(u64 size, u32 site) except? 0
# An area of `flags` without pages: its number, 0 as above.
cdef u32 get_vm_area(u64 size, u64 align, u32 flags, u64 phys, u32 site) except? 0
cdef int map_pages(u32 number, u64 size) except -1
cdef void hide_pages(u32 number) noexcept
cdef void each_entry(u32 number, int what, u64 dead_slot) noexcept
cdef void release_pages(u32 number, u64 dead_slot) noexcept
cdef void release_page(page *p, u32 number, u64 dead_slot) noexcept
# Take apart an area that is the caller's, AREA_BUILDING or AREA_DYING. Inside a call, which it
# may leave and enter again.
cdef void take_apart(u32 number, u64 dead_slot, u32 site) noexcept
cdef void flush() noexcept
