"""Wait queues and completions as drivers call them."""

from cpus.atomic cimport u16, u32, u64
from cpus.task_cy cimport task_struct
from cpus.waitqueue_cy cimport wait_queue_head

cdef enum:
    EINTR = 4
    ERESTARTSYS = 512      # no errno of the user's: the system call is to be restarted

    COMPLETION_MAGIC = 0x5e3e

cdef public struct completion:         # 56 bytes
    wait_queue_head wait
    u32 done
    u32 pad
    u16 class_
    u16 magic

cdef wait_queue_head *queue_at(u64 address) noexcept
cdef completion *completion_at(u64 address) noexcept
# Wakes; -1 when there is no queue at the address. Inside no call.
cdef int wake_address(u64 address, int nr_exclusive, u64 states) except? -2
cdef int sleep_until(u64 state, u64 end) except -1
cdef u64 tick_ns() noexcept
cdef long long ticks_left(u64 end_ns) noexcept
