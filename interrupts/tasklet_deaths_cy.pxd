"""The tasklets of a CPU that died."""

from cpus.atomic cimport u32, u64
from interrupts.tasklet_cy cimport tasklet_head, tasklet_struct

cdef void drop_overlap(tasklet_head *head, int which) noexcept
cdef bint is_on(u64 first, u64 t) noexcept
cdef void finish_taking(tasklet_head *head, u64 cpu) noexcept
cdef bint due_again(tasklet_struct *t, u64 cpu) noexcept
cdef int hand_over(u64 *from_, tasklet_head *to, int which) noexcept
