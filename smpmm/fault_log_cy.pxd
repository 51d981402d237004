"""The record of each injected fault, and what the call that got it came to."""

from cpus.atomic cimport s64, u32, u64

cdef enum:
    NR_FAULT_RECORDS = 2048
    FAULT_STACK = 12
    NR_FAULTS = 2
    CALL_BYTES = 16

    # fault_record.ended
    ENDED_NOT = 0
    ENDED_CALL = 1               # the system call returned `result` or raised `error`
    ENDED_TASK = 2               # a call of the task's own; it raised `error` or returned

cdef public struct fault_record:
    u64 seq                      # number + 1 when whole
    u64 ns
    u64 task                     # pid, 0 = an interrupt or idle
    u64 size                     # bytes, or pages
    u64 nth                      # how often the task had asked its dice of this kind
    u64 before                   # number + 1 of the fault before it in the same call, 0 = none
    s64 result                   # of the system call: a count, 0 or a negative errno
    u32 which                    # FAILSLAB, FAIL_PAGE_ALLOC
    u32 cpu
    u32 ended                    # ENDED_*: the committing store of `result` and `error`
    u32 nr_sites
    u32 sites[12]                # call sites, innermost first
    char comm[24]                # of the task, or of the interrupt's process
    char call[16]                # the system call it was in, "" = a call of its own
    char error[24]               # name of the exception, "" = none

cdef public struct task_faults:  # of a place in the table of tasks
    u64 pid                      # whose; what follows is its own to write
    u64 asked[2]                 # askings of its dice, by kind of fault
    u64 own_last                 # number + 1 of the last fault outside of system calls
    u64 call_last                # the same, of the system call that it is in
    u64 depth                    # system calls begun and not ended
    char call[16]                # name of the outermost
    # any process: fail-nth
    u64 armed                    # pid for which `left` counts, 0 = none
    u64 left                     # eligible calls until the fault; 0 = fired or never armed

cdef public struct fault_log:
    u64 head                     # atomic: records ever written
    task_faults tasks[1024]
    fault_record records[2048]

cdef fault_log *log_

# `task` is the native address of a task_struct, not 0.
cdef task_faults *faults_of(u64 task) noexcept
cdef task_faults *place_of(u64 task) noexcept
cdef void record_fault(u32 which, s64 size, u64 task, u64 nth, u32 site) noexcept
cdef void end_faults(u64 last, u32 how, s64 result, bytes error)
