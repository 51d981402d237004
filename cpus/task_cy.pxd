"""Tasks, run queues, wait queues and the sleeping locks, in the segment."""

from cpus.atomic cimport s32, u16, u32, u64
from cpus.spinlock_cy cimport spinlock

cdef enum:
    NR_TASKS = 1024

    TASK_RUNNING = 0
    TASK_INTERRUPTIBLE = 1
    TASK_UNINTERRUPTIBLE = 2
    TASK_ZOMBIE = 4
    TASK_FREE = 0xff

    PF_MEMALLOC = 0x800      # may use the reserve, does not recurse into reclaim
    PF_KTHREAD = 0x1
    PF_SIGNALED = 0x2        # a signal is pending (Ctrl-C, Task.interrupt)

cdef public struct task_struct:
    # guarded by the run queue lock of `cpu`
    u64 state             # TASK_*; also written by the task itself before it sleeps
    u64 on_rq
    u64 rq_next           # native address, 0 = end
    # guarded by the lock of the wait queue it is on
    u64 wait_next
    u64 wait_prev
    u64 wait_queue        # native address of the wait_queue_head, 0 = none
    u64 wait_flags        # 1 = exclusive
    # written by the task's own CPU
    u64 cpu
    u64 pid
    u64 flags             # PF_*
    u64 depth             # > 0: inside kernel code called by the kernel (a file operation)
    u64 address           # kernel address of the handle
    u64 waiting_for       # native address of the sleeping lock it waits for, 0 = none
    u64 waiting_site
    u64 wake_ns           # machine_ns() at which a time-out ends, 0 = none
    u64 nr_asked          # choices asked of the dice: the n of DESIGN's choice function
    u64 make_it_fail
    u64 nr_faults         # injected failures it got
    u64 started_ns
    u64 stack_base        # kernel address of its 8 KiB of RAM, 0 = none
    char name[16]

cdef public struct wait_queue_head:    # 40 bytes; also wait_queue_head_t in a driver's struct
    spinlock lock
    u64 first             # native address of a task_struct; linked by wait_next
    u64 last

cdef public struct semaphore:          # 64 bytes
    wait_queue_head wait  # its lock guards what follows
    s32 count
    u32 site              # where the last downer took it
    u64 last_downer       # native address of a task_struct, 0 = none
    u32 last_cpu
    u16 class_
    u16 magic

cdef public struct completion:         # 48 bytes
    wait_queue_head wait
    u64 done

cdef task_struct *tasks                # [NR_TASKS]

cdef task_struct *current_task() noexcept             # NULL in an interrupt or when idle
cdef void init_wait_queue(wait_queue_head *queue, u16 class_) noexcept
# The kernel's own sleepers. Inside a call, in task context:
cdef void prepare_to_wait(wait_queue_head *queue, u64 state, bint exclusive) noexcept
cdef void finish_wait(wait_queue_head *queue) noexcept
# Leaves the call, switches to another task, comes back inside. Returns 0, or -1 with an exception
# set when the task was killed. `timeout_ns` 0 = none.
cdef int schedule_inside(u64 timeout_ns) except -1
cdef int wake_up_queue(wait_queue_head *queue, int nr_exclusive) noexcept   # any context, inside
cdef void wake_up_process(task_struct *task) noexcept                     # any context, inside
