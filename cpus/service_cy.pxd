"""The kernel's own service threads, which any CPU may run."""

from cpus.atomic cimport u32, u64
from cpus.task_cy cimport task_struct

cdef enum:
    NR_SERVICES = 8

cdef u64 *services               # [NR_SERVICES] task_number of each, 0 = none yet

cdef bint pull(task_struct *task, u64 cpu) noexcept
