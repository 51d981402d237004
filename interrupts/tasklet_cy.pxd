"""Tasklets and bottom halves."""

from cpus.atomic cimport s32, u32, u64

cdef enum:
    TASKLET_STATE_SCHED = 1     # bits of tasklet_struct.state
    TASKLET_STATE_RUN = 2
    TASKLET_BEGUN = 4           # RUN, and SCHED was cleared: if it is set, it is due again
    TASKLET_PUSHER = 0xff00     # CPU + 1 that is putting it on its list
    TASKLET_RUNNER = 0xff0000   # CPU + 1 that has set RUN
    TASKLET_RUNNER_SHIFT = 16
    NR_BHS = 32                 # a func below this number is a bottom half
    NR_TASKLET_CPUS = 64

    TIMER_BH = 0
    TQUEUE_BH = 1
    IMMEDIATE_BH = 9

# In the driver's memory; the same layout in every profile. 32 bytes.
cdef public struct tasklet_struct:
    u64 next              # native address; guarded by being on one CPU's list
    u32 state             # TASKLET_STATE_*, atomic
    s32 count             # disabled when not 0, atomic
    u64 func              # address in the kernel's text
    u64 data

cdef public struct tasklet_head:   # of one CPU; only that CPU, inside a call, interrupts off
    u64 list[2]           # scheduled: hi, normal (native addresses)
    u64 running[2]        # taken for this round, not yet run
    u64 taking            # is just being taken off `running`; bit 0: hi
    u64 current           # its function runs
    u64 pushing           # is just being put on a list; bit 0: hi
    # any process, by atomic operations
    u64 adopted[2]        # of dead CPUs: the monitor puts them here, this CPU takes all

cdef public struct tasklet_area:
    tasklet_head heads[64]
    tasklet_struct bh_task_vec[32]
    u32 global_bh_lock    # CPU + 1 that runs a bottom half, 0 = none

cdef tasklet_area *tasklets

cdef tasklet_struct *tasklet_at(u64 address) noexcept
cdef void schedule(tasklet_struct *t, int hi) noexcept
cdef void push(tasklet_head *head, tasklet_struct *t, int hi) noexcept
cdef void link(tasklet_head *head, tasklet_struct *t, int hi) noexcept
cdef bint begin(tasklet_struct *t) noexcept
cdef void end_run(tasklet_struct *t, u64 cpu) noexcept
cdef void finish_push(tasklet_head *head, u64 cpu) noexcept
cdef tasklet_head *own_head() noexcept
cdef void schedule_bh(u32 nr) noexcept
