"""The end of a task, by itself or with its CPU."""

from cpus.atomic cimport u32, u64
from cpus.task_cy cimport task_struct

# Helpers of this module alone.
cdef u64 settled(task_struct *task, int j) noexcept
cdef bint give_up(u64 entry, task_struct *task) noexcept
cdef void leave_queue_of(task_struct *task) noexcept
cdef bint is_task_of(task_struct *task, u64 cpu) noexcept
