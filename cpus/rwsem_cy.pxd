"""Rw semaphores."""

from cpus.atomic cimport u32, u64
from cpus.sleeplock_cy cimport rw_semaphore
from cpus.task_cy cimport task_struct

# For the kernel's own rw semaphores: inside a call, in task context.
# TAKEN, CYCLE or NO_TASK; -1 with an exception, outside of the call.
cdef int rwsem_down(rw_semaphore *sem, u32 site, u64 bits) except -1
cdef void up_read_common(rw_semaphore *sem, task_struct *task) noexcept  # whose side it is
cdef void up_write_common(rw_semaphore *sem) noexcept

# Helpers of this module alone.
cdef int take_side(const char *call, u64 address, u64 bits) except -1
cdef bint give_side(u64 address, u64 bits) except -1
cdef rw_semaphore *rwsem_at(u64 address) noexcept
cdef bint reader_may(rw_semaphore *sem, task_struct *task) noexcept
cdef bint writer_may(rw_semaphore *sem, task_struct *task) noexcept
cdef int rwsem_sleep(rw_semaphore *sem, task_struct *task, u32 site, u64 bits) except -1
cdef void rwsem_take(rw_semaphore *sem, task_struct *task, u32 site, u64 bits) noexcept
cdef void give_back(rw_semaphore *sem, task_struct *task, u64 bits, u32 count) noexcept
cdef void rwsem_wake(rw_semaphore *sem) noexcept
