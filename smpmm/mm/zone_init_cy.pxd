"""Formatting the zones of a fresh machine."""

from cpus.atomic cimport u64
from smpmm.mm.zone_cy cimport zone

cdef void init_zone_pages(zone *z, object reserved)
cdef void init_free_range(zone *z, u64 pfn, u64 end) noexcept
