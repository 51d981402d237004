"""Run queues: which task runs, which may run, which sleeps."""

from cpus.atomic cimport u16, u32, u64
from cpus.percpu_cy cimport cpu_area
from cpus.spinlock_cy cimport spinlock
from cpus.task_cy cimport task_struct

cdef public struct runqueue:           # one per CPU
    spinlock lock
    u64 first             # native address of a task_struct; linked by rq_next
    u64 last
    u64 next_wake_ns      # machine_ns() of the earliest time-out of its tasks, 0 = none

cdef runqueue *runqueues               # [NR_CPUS]
cdef u64 last_pid                      # of the task that ran last on this CPU, 0 = idle

# Leaves the call, switches to another task, comes back inside. Returns 0, or -1 with an
# exception set, outside of the call, when the task was killed: call finish_wait_outside and
# return. `timeout_ns` 0 = none.
cdef int schedule_inside(u64 timeout_ns) except -1
cdef bint wake_up_process(task_struct *task) noexcept                     # any context, inside
cdef bint try_to_wake_up(task_struct *task, u64 states) noexcept
# Enter (1) or leave (-1) kernel code called by the kernel; the new depth. Outside of calls.
cpdef u64 change_depth(long long change) noexcept

# Rebuild the list from what the tasks say; the queue's lock is ours.
cdef void recover_runqueue(spinlock *lock) noexcept
cdef void kick(cpu_area *cpu) noexcept

# Helpers of this module alone.
cdef void rq_append(runqueue *rq, task_struct *task) noexcept
cdef void rq_insert_first(runqueue *rq, task_struct *task) noexcept
cdef void rq_link(runqueue *rq, task_struct *task) noexcept
cdef void note_switch(u64 pid) noexcept
cdef u64 better_cpu(u64 cpu) noexcept
cdef bint moves(task_struct *task, bint again) noexcept
