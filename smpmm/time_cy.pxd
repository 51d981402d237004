"""Time as kernel code reads and spends it: nothing here is called from compiled code."""

from cpus.atomic cimport u64

cdef int delay(u64 ns) except -1
