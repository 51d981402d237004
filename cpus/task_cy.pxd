"""The table of tasks, in the segment."""

from cpus.atomic cimport u32, u64
from cpus.percpu_cy cimport HARDIRQ_MASK, KIND_CPU, SOFTIRQ_MASK, this_cpu, this_process
from cpus.spinlock_cy cimport spinlock

cdef enum:
    NR_TASKS = 1024

    TASK_RUNNING = 0
    TASK_INTERRUPTIBLE = 1
    TASK_UNINTERRUPTIBLE = 2
    TASK_ZOMBIE = 4
    TASK_NEW = 8             # taken from the table, not yet queued; above it whose: cpu + 1
    TASK_NEW_SHIFT = 8
    TASK_FREE = 0xff

    PF_KTHREAD = 0x1
    PF_SIGNALED = 0x2        # a signal is pending (Ctrl-C, Task.interrupt)
    PF_RESCHED = 0x4         # was asked to give way inside kernel code: does so when it leaves
    PF_KILLED = 0x8          # ends where it may: outside of kernel code, or at its next sleep
    PF_PARKED = 0x10         # a service thread in its sleep: all of it is in RAM, it may move
    PF_MEMALLOC = 0x800      # may use the reserve, does not recurse into reclaim

    RQ_NOT = 0               # task_struct.on_rq: asleep
    RQ_QUEUED = 1
    RQ_CURRENT = 2           # runs; a wake-up changes its state only

    NR_DOWNED = 12           # sleeping locks of a task that are followed
    DOWNED_READ = 1          # low bits of task_struct.downed: the read side
    DOWNED_MOVING = 2        # taken or given back just now: held if the lock has this count

cdef public struct task_struct:
    # guarded by the run queue lock of `cpu`
    u64 state             # TASK_*; also written by the task itself before it sleeps
    u64 on_rq             # RQ_*: the truth, of which the queue's list is the index
    u64 rq_next           # native address, 0 = end
    # guarded by the lock of the wait queue it is on
    u64 wait_next
    u64 wait_prev
    u64 wait_queue        # native address of the wait_queue_head, 0 = none: the truth
    u64 wait_flags        # WAIT_*
    # written by the task's own CPU
    u64 cpu
    u64 pid
    u64 flags             # PF_*; atomic operations
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
    u64 wait_seq          # orders a rebuilt wait queue
    u64 downed[12]        # native addresses of sleeping locks it took | DOWNED_*, 0 = none
    u64 downed_ns[12]     # machine_ns() at which it took each; DOWNED_MOVING: `count_word`
    u64 number            # of the request it answers, for the monitor
    u64 generation        # 21 bits: how often this struct was used
    u64 uid               # whose program it is; 0 has every capability
    char name[16]

cdef public struct task_globals:
    u64 last_kthread_pid
    u64 handles               # kernel address of task 0's handle, 0 = the native one
    spinlock cycle_lock       # one search for a cycle of sleepers at a time

cdef task_struct *tasks                # [NR_TASKS]
cdef task_globals *globals_

# The running task; NULL in an interrupt or when idle. Inside a call.
cdef inline task_struct *current_task() noexcept:
    if (
        this_process.kind != KIND_CPU
        or this_cpu.preempt_count & (HARDIRQ_MASK | SOFTIRQ_MASK) != 0
    ):
        return NULL
    return <task_struct *>this_cpu.current

cdef bint signal_pending_inside() noexcept

# Index + 1 and the generation above it; 0 for no task.
cdef inline u32 task_number(task_struct *task) noexcept:
    if task == NULL:
        return 0
    return (<u32>(task - tasks) + 1) | <u32>task.generation << 11

cdef task_struct *task_of_number(u32 number) noexcept   # NULL: none, or it has ended
cdef task_struct *task_at_address(u64 address) noexcept

# Helper of this module alone.
cdef void fill_task(task_struct *t, u64 pid, u64 flags, u64 number) noexcept
