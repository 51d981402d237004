"""What sleeping locks share: which task holds which, who waits for whom, how one sleeps."""

from cpus.atomic cimport (
    atomic64_load_relaxed, atomic64_store_release, compiler_barrier, s32, u16, u32, u64,
)
from cpus.percpu_cy cimport process_slot
from cpus.task_cy cimport DOWNED_MOVING, NR_DOWNED, task_struct
from cpus.waitqueue_cy cimport wait_queue_head

cdef enum:
    EINTR = 4
    EITHER = 3             # TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE
    TAKEN = 0
    CYCLE = 2              # the wait would close a cycle
    NO_TASK = 3            # there is no task that could sleep
    NO_LOCK = 4            # no such lock lies at the address

    SEM_MAGIC = 0x5e3a       # counts what may be given up for a dead task
    SEM_SIGNAL_MAGIC = 0x5e3b  # initialised with 0: its tokens belong to nobody
    RWSEM_MAGIC = 0x5e3c

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

# The notes of a task: `lock` is the native address of the struct, whose queue lock is held;
# `count_word` is the word of its count and downer with which `task` holds it. Who reads them
# without that lock does so when the process is dead: the order of the stores is enough.

# `task` is about to take the lock; beyond NR_DOWNED it is not followed.
cdef inline void note_downed(
    task_struct *task, u64 lock, u64 bits, u64 count_word
) noexcept:
    cdef int i
    for i in range(NR_DOWNED):
        if task.downed[i] == 0:
            task.downed_ns[i] = count_word
            compiler_barrier()
            atomic64_store_release(&task.downed[i], lock | bits | DOWNED_MOVING)
            return

# The lock is taken; `ns` is machine_ns() of it.
cdef inline void settle_downed(task_struct *task, u64 lock, u64 bits, u64 ns) noexcept:
    cdef int i
    for i in range(NR_DOWNED):
        if task.downed[i] == lock | bits | DOWNED_MOVING:
            atomic64_store_release(&task.downed[i], lock | bits)
            compiler_barrier()
            task.downed_ns[i] = ns
            return

# The lock is about to be given back, by whoever; returns the note for `forget_downed`, NULL
# when it is not followed, and in `since` machine_ns() at which `task` took it.
cdef inline u64 *begin_up(
    task_struct *task, u64 lock, u64 bits, u64 count_word, u64 *since
) noexcept:
    cdef int i
    since[0] = 0
    if task == NULL:
        return NULL
    for i in range(NR_DOWNED):
        if atomic64_load_relaxed(&task.downed[i]) == lock | bits:
            since[0] = task.downed_ns[i]
            task.downed_ns[i] = count_word
            compiler_barrier()
            atomic64_store_release(&task.downed[i], lock | bits | DOWNED_MOVING)
            return &task.downed[i]
    return NULL

# The lock is given back; NULL when it was not followed.
cdef inline void forget_downed(u64 *note) noexcept:
    if note != NULL:
        compiler_barrier()
        atomic64_store_release(note, 0)

cdef int begin_sleep(u64 lock, task_struct *task, u32 site) noexcept
cdef int sleep_once(
    wait_queue_head *queue, task_struct *task, u64 state, u64 *flags
) except -1
cdef void finish_sleep(wait_queue_head *queue, task_struct *task) noexcept

cdef struct sleep_stat:    # one wait for a sleeping lock, on the waiter's own stack
    u64 start              # machine_ns()
    u64 delay              # of the holder's process at the start
    process_slot *holder   # NULL: nobody known
    u32 site
    u32 holder_site
    u32 side               # SIDE_*
    u16 class_

cdef void sleep_begins(sleep_stat *w, u64 lock, u16 class_, u32 side, u32 site,
                       u32 holder_site, u32 last_cpu) noexcept
# The lock can be taken: a wait that ended otherwise is not counted.
cdef void sleep_counted(sleep_stat *w) noexcept

# Helpers of this module alone.
cdef void end_sleep(wait_queue_head *queue, task_struct *task) noexcept
cdef bint closes_cycle(u64 lock, task_struct *task) noexcept
cdef task_struct *holder_of(u64 lock) noexcept
cdef process_slot *process_of_cpu(u64 cpu) noexcept
