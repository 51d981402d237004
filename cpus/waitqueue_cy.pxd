"""Wait queues as the kernel's own sleepers use them."""

from cpus.atomic cimport u16, u32, u64
from cpus.spinlock_cy cimport spinlock
from cpus.task_cy cimport task_struct

cdef enum:
    WAIT_EXCLUSIVE = 1       # task_struct.wait_flags: one is woken at a time
    WAIT_RECHECKS = 2        # looks at its condition again: waking it for nothing does no harm
    WAIT_WRITER = 4          # of an rw_semaphore

cdef public struct wait_queue_head:    # 40 bytes; also wait_queue_head_t in a driver's struct
    spinlock lock
    u64 first             # native address of a task_struct; linked by wait_next
    u64 last

cdef public struct wait_queue_globals:
    u64 wait_seq          # counts arrivals on all queues
    u16 queue_class       # of a queue that has no class of its own

cdef wait_queue_globals *wait_queues

cdef void init_wait_queue(wait_queue_head *queue, u16 class_) noexcept
# The class of a kernel's own wait queue; its links are rebuilt when a holder dies.
cdef u16 wait_queue_class(const char *name) noexcept
# The kernel's own sleepers. Inside a call, in task context:
#     prepare_to_wait(queue, TASK_UNINTERRUPTIBLE, False)
#     while not condition: schedule_inside(0); prepare_to_wait(…)   # again after each wake-up
#     finish_wait(queue)
cdef void prepare_to_wait(wait_queue_head *queue, u64 state, bint exclusive) noexcept
cdef void finish_wait(wait_queue_head *queue) noexcept
cdef void finish_wait_outside(wait_queue_head *queue) noexcept
cdef int wake_up_queue(wait_queue_head *queue, int nr_exclusive) noexcept   # inside
cdef int wake_up_states(wait_queue_head *queue, int nr_exclusive, u64 states) noexcept

# For the sleeping locks, which hold the queue's lock.
cdef int wake_up_locked(wait_queue_head *queue, int nr_exclusive, u64 states) noexcept
cdef void enqueue_waiter(wait_queue_head *queue, task_struct *task, u64 flags) noexcept
cdef void dequeue_waiter(wait_queue_head *queue, task_struct *task) noexcept

# Helpers of this module alone.
cdef void recover_wait_queue(spinlock *lock) noexcept
cdef void settle_notes(u64 lock) noexcept
