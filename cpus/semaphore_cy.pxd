"""Semaphores."""

from cpus.atomic cimport u16, u32, u64
from cpus.sleeplock_cy cimport semaphore
from cpus.task_cy cimport task_struct

# For the kernel's own semaphores (ours in our own segment): inside a call, in task context.
# TAKEN, CYCLE, NO_TASK or -EINTR; -1 with an exception, outside of the call.
cdef int down_common(semaphore *sem, u64 state, u32 site) except -1
# `task` is who gives it back.
cdef void up_common(semaphore *sem, task_struct *task) noexcept
cdef void semaphore_init(semaphore *sem, int count, u16 class_) noexcept

# Helpers of this module alone.
cdef int take_at(const char *call, u64 address, u64 state) except -1
cdef semaphore *semaphore_at(u64 address) noexcept
cdef void take_semaphore(semaphore *sem, task_struct *task, u32 site) noexcept
cdef int sleep_for_semaphore(
    semaphore *sem, task_struct *task, u64 state, u32 site
) except -1
