"""What check() of the kernel's tables found: a code and three numbers."""

from cpus.atomic cimport u32, u64
from cpus.task_cy cimport task_struct
from cpus.waitqueue_cy cimport wait_queue_head

cdef enum:
    SOUND = 0
    BAD_RUNNER = 1
    BAD_QUEUED = 2
    BAD_NR_QUEUED = 3
    BAD_RQ_LAST = 4
    BAD_QUEUE = 5
    BAD_WAITER = 6
    BAD_WAIT_LINK = 7
    BAD_WAITING = 8
    BAD_ACTION = 9
    BAD_CHAINED = 10
    BAD_LINE = 11
    BAD_USES = 12
    BAD_SNAPSHOT = 13
    BAD_TEXT = 14
    BAD_UNITS = 15
    BAD_NR_UNITS = 16

cdef u64 found_where, found_has, found_should

cdef int fault(int code, u64 where, u64 has, u64 should) noexcept
cdef int check_runqueue(u64 cpu) noexcept
cdef int check_waiter(task_struct *t) noexcept
cdef int walk_queue(wait_queue_head *queue, task_struct *wanted) noexcept
cdef int check_line(u64 line) noexcept
cdef int check_modules() noexcept
cdef int check_text() noexcept
cdef u64 task_index(u64 at) noexcept
