"""Task queues: functions that the kernel calls later."""

from cpus.atomic cimport u32, u64
from cpus.spinlock_cy cimport spinlock

cdef enum:
    NR_QUEUED = 1024
    TQ_TIMER = 1           # run in the tick after
    TQ_IMMEDIATE = 2       # run by IMMEDIATE_BH
    TQ_CONTEXT = 3         # run by keventd, in a task
    NR_QUEUES = 4

# In the driver's memory; the same layout in every profile. 40 bytes.
cdef public struct tq_struct:
    u64 entry             # number + 1 of its entry while it is queued
    u64 pad
    u64 sync              # 1 while it is queued
    u64 routine           # address in the kernel's text
    u64 data

cdef public struct tq_entry:       # guarded by the lock
    u64 task              # native address of the tq_struct, 0 = this entry is free: commits
    u64 queue             # TQ_*
    u64 seq               # order of queueing

cdef public struct tq_area:
    spinlock lock
    u64 seq
    u64 high              # entries above have never been used
    u64 nr[4]             # queued, by queue; never too low
    u64 running[4]        # number of the task that runs, by queue, 0 = none
    u64 running_cpu[4]    # + 1
    tq_entry entries[1024]

cdef tq_area *queues

cdef tq_struct *task_at(u64 address) noexcept
cdef bint is_queued(tq_struct *t) noexcept
cdef bint insert(tq_struct *t, u64 queue) noexcept
