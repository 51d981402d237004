"""Semaphores, rw semaphores, completions and wait queues as drivers call them."""

from cpus.atomic cimport u16, u32, u64
from cpus.task_cy cimport rw_semaphore, semaphore, task_struct, wait_queue_head

cdef enum:
    EINTR = 4
    EITHER = 3             # TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE
    TAKEN = 0
    CYCLE = 2              # the wait would close a cycle
    NO_TASK = 3            # there is no task that could sleep

# For the kernel's own semaphores (ours in our own segment): inside a call, in task context.
# TAKEN, CYCLE, NO_TASK or -EINTR; -1 with an exception, outside of the call.
cdef int down_common(semaphore *sem, u64 state, u32 site) except -1
cdef void up_common(semaphore *sem) noexcept
cdef int down_read_common(rw_semaphore *sem, u32 site) except -1
cdef int down_write_common(rw_semaphore *sem, u32 site) except -1
cdef void up_read_common(rw_semaphore *sem) noexcept
cdef void up_write_common(rw_semaphore *sem) noexcept
cdef void semaphore_init(semaphore *sem, int count, u16 class_) noexcept

# Helpers of this module alone.
cdef semaphore *semaphore_at(u64 address) noexcept
cdef rw_semaphore *rwsem_at(u64 address) noexcept
cdef void take_semaphore(semaphore *sem, task_struct *task, u32 site) noexcept
cdef bint closes_cycle(u64 lock, task_struct *task) noexcept
cdef task_struct *holder_of(u64 lock) noexcept
cdef void note_downed(task_struct *task, u64 lock, u64 bits) noexcept
cdef void settle_downed(task_struct *task, u64 lock, u64 bits) noexcept
cdef void forget_downed(task_struct *task, u64 lock, u64 bits) noexcept
cdef void end_sleep(wait_queue_head *queue, task_struct *task) noexcept
cdef bint reader_may(rw_semaphore *sem, task_struct *task) noexcept
cdef int rwsem_wait(rw_semaphore *sem, u32 site, u64 bits) except -1
cdef void rwsem_take(rw_semaphore *sem, task_struct *task, u32 site, u64 bits) noexcept
cdef void rwsem_wake(rw_semaphore *sem) noexcept
cdef bint give_up(u64 entry, task_struct *task) noexcept
cdef void leave_queue_of(task_struct *task) noexcept
cdef bint is_task_of(task_struct *task, u64 cpu) noexcept
