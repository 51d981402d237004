"""Tasks, run queues, wait queues and the structs of the sleeping locks, in the segment."""

from cpus.atomic cimport s32, u16, u32, u64
from cpus.percpu_cy cimport cpu_area
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
    PF_MEMALLOC = 0x800      # may use the reserve, does not recurse into reclaim

    RQ_NOT = 0               # task_struct.on_rq: asleep
    RQ_QUEUED = 1
    RQ_CURRENT = 2           # runs; a wake-up changes its state only

    WAIT_EXCLUSIVE = 1       # task_struct.wait_flags: one is woken at a time
    WAIT_RECHECKS = 2        # looks at its condition again: waking it for nothing does no harm
    WAIT_WRITER = 4          # of an rw_semaphore

    NR_DOWNED = 12           # sleeping locks of a task that are followed
    DOWNED_READ = 1          # low bits of task_struct.downed: the read side
    DOWNED_TAKING = 2        # the count may not have been changed yet

    SEM_MAGIC = 0x5e3a       # counts what may be given up for a dead task
    SEM_SIGNAL_MAGIC = 0x5e3b  # initialised with 0: its tokens belong to nobody
    RWSEM_MAGIC = 0x5e3c
    QUEUE_MAGIC = 0x5e3d
    COMPLETION_MAGIC = 0x5e3e

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
    u64 number            # of the request it answers, for the monitor
    u64 generation        # 21 bits: how often this struct was used
    u64 uid               # whose program it is; 0 has every capability
    char name[16]

cdef public struct runqueue:           # one per CPU
    spinlock lock
    u64 first             # native address of a task_struct; linked by rq_next
    u64 last
    u64 next_wake_ns      # machine_ns() of the earliest time-out of its tasks, 0 = none

cdef public struct wait_queue_head:    # 40 bytes; also wait_queue_head_t in a driver's struct
    spinlock lock
    u64 first             # native address of a task_struct; linked by wait_next
    u64 last

cdef public struct semaphore:          # 72 bytes
    wait_queue_head wait  # its lock guards what follows
    s32 count
    u32 downer            # task_number of who took it last, 0 = none; one store with `count`
    u32 site              # where the last downer took it
    u32 last_cpu
    u32 initial           # count given to sema_init
    u16 class_
    u16 magic             # SEM_MAGIC or SEM_SIGNAL_MAGIC
    u64 acquired_ns       # when the last downer took it

cdef public struct rw_semaphore:       # 72 bytes
    wait_queue_head wait
    s32 count             # -1 a writer, else the readers
    u32 downer            # the writer
    u32 site
    u32 last_cpu
    u32 pad
    u16 class_
    u16 magic
    u64 acquired_ns

cdef public struct completion:         # 56 bytes
    wait_queue_head wait
    u32 done
    u32 pad
    u16 class_
    u16 magic

cdef task_struct *tasks                # [NR_TASKS]
cdef runqueue *runqueues               # [NR_CPUS]

cdef task_struct *current_task() noexcept             # NULL in an interrupt or when idle
cdef void init_wait_queue(wait_queue_head *queue, u16 class_) noexcept
# The class of a kernel's own wait queue; its links are rebuilt when a holder dies.
cdef u16 wait_queue_class(const char *name) noexcept
# The kernel's own sleepers. Inside a call, in task context:
#     prepare_to_wait(queue, TASK_UNINTERRUPTIBLE, False)
#     while not condition: schedule_inside(0); prepare_to_wait(…)   # again after each wake-up
#     finish_wait(queue)
cdef void prepare_to_wait(wait_queue_head *queue, u64 state, bint exclusive) noexcept
cdef void finish_wait(wait_queue_head *queue) noexcept
# Leaves the call, switches to another task, comes back inside. Returns 0, or -1 with an
# exception set, outside of the call, when the task was killed: call finish_wait_outside and
# return. `timeout_ns` 0 = none.
cdef int schedule_inside(u64 timeout_ns) except -1
cdef void finish_wait_outside(wait_queue_head *queue) noexcept
cdef int wake_up_queue(wait_queue_head *queue, int nr_exclusive) noexcept   # inside
cdef int wake_up_states(wait_queue_head *queue, int nr_exclusive, u64 states) noexcept
cdef bint wake_up_process(task_struct *task) noexcept                     # any context, inside
cdef bint try_to_wake_up(task_struct *task, u64 states) noexcept
cdef bint signal_pending_inside() noexcept
# Enter (1) or leave (-1) kernel code called by the kernel; the new depth. Outside of calls.
cpdef u64 change_depth(long long change) noexcept

# Wakes by the rules of wake_up, with the queue's lock held.
cdef int wake_up_locked(wait_queue_head *queue, int nr_exclusive, u64 states) noexcept
# Enters a call without serving softirqs or the scheduler: never raises.
cdef void enter_quietly() noexcept

cdef public struct task_globals:
    u64 last_kthread_pid
    u64 wait_seq
    u64 handles               # kernel address of task 0's handle, 0 = the native one
    spinlock cycle_lock       # one search for a cycle of sleepers at a time
    u16 queue_class

cdef task_globals *globals_

# Helpers of the sleeping locks.
cdef void enqueue_waiter(wait_queue_head *queue, task_struct *task, u64 flags) noexcept
cdef void dequeue_waiter(wait_queue_head *queue, task_struct *task) noexcept
cdef void rq_append(runqueue *rq, task_struct *task) noexcept
cdef void rq_link(runqueue *rq, task_struct *task) noexcept
cdef void recover_runqueue(spinlock *lock) noexcept
cdef void recover_wait_queue(spinlock *lock) noexcept
cdef u32 task_number(task_struct *task) noexcept   # index + 1 and the generation above it
cdef task_struct *task_of_number(u32 number) noexcept   # NULL: none, or it has ended
cdef void kick(cpu_area *cpu) noexcept
cdef void fill_task(task_struct *t, u64 pid, u64 flags, u64 number) noexcept
cdef task_struct *task_at_address(u64 address) noexcept
