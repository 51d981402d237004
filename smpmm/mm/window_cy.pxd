"""The handle window: kernel addresses for what is in no RAM (kernel text, handles)."""

from cpus.atomic cimport u64

# Kernel address of `size` fresh zeroed bytes, 16-byte aligned, never freed; 0 when it is full.
# Any process, any context.
cdef u64 window_alloc_bytes(u64 size) noexcept
