"""What 2.4.0 to 2.4.9 do when memory is short. All functions are called inside a call."""

from cpus.atomic cimport u32, u64
from smpmm.mm.page_cy cimport page
from smpmm.mm.zone_cy cimport zone

cdef enum:
    LIMIT_MIN = 0
    LIMIT_LOW = 1
    LIMIT_HIGH = 2

cdef page *alloc_pages_slowpath(u64 gfp, u64 order, u64 owner, u32 site) except? NULL
cdef page *alloc_pages_plenty(zone **z, u64 order, u64 owner, u32 site) noexcept
cdef page *alloc_pages_limit(
    zone **z, u64 order, u32 limit, bint direct, u64 owner, u32 site) noexcept
cdef page *alloc_pages_last(zone **z, u64 order, u64 owner, u32 site) noexcept
