"""Fault injection: failslab and fail_page_alloc."""

from cpus.atomic cimport s64, u32, u64
from smpmm.mm.slab_list_cy cimport kmem_cache

cdef enum:
    KERN_NOTICE_LEVEL = 5
    FAILSLAB = 0
    FAIL_PAGE_ALLOC = 1
    NR_FAULTS = 2
    NR_FAULT_RECORDS = 2048
    FAULT_STACK = 12
    NR_ARMED = 1024              # places of fail_nth, by pid

cdef public struct fault_attr:
    # as in the kernel's fault_attr; written at run time by plain stores
    u64 probability              # percent
    u64 interval
    u64 verbose
    u64 task_filter
    u64 ignore_gfp_wait
    u64 ignore_gfp_highmem       # fail_page_alloc
    u64 min_order                # fail_page_alloc
    u64 cache_filter             # failslab
    # atomic
    s64 times                    # -1 = without limit
    s64 space
    u64 count                    # askings that came to the interval
    u64 injected

cdef public struct fault_record:         # 104 bytes
    u64 seq                      # number + 1 when whole
    u64 ns
    u64 task                     # pid, 0 = none
    u64 size                     # bytes, or pages
    u64 nth                      # how often the task had asked its dice
    u32 which                    # FAILSLAB, FAIL_PAGE_ALLOC
    u32 cpu
    u32 nr_sites
    u32 sites[12]                # call sites, innermost first
    u32 pad

cdef public struct fail_nth:
    u64 pid                      # whose, 0 = free
    u64 left                     # eligible calls until the fault; 0 = fired or never armed

cdef public struct fault_state:
    u64 on                       # 1: some fault may happen; every allocation looks at it
    u64 nr_armed                 # atomic
    u64 head                     # atomic: records ever written
    fault_attr attrs[2]
    fail_nth armed[1024]
    fault_record records[2048]

cdef fault_state *faults

# `task` is the native address of a task_struct, 0 outside of tasks.
cdef int should_failslab(kmem_cache *c, u64 gfp, u32 site) noexcept
cdef int should_fail_alloc_page(u64 gfp, u64 order, u32 site) noexcept
cdef bint should_fail(u32 which, s64 size, u32 site) noexcept
cdef bint attributes_say(fault_attr *a, s64 size, u64 task, u64 *nth) noexcept
cdef void inject(u32 which, s64 size, u64 task, u64 nth, u32 site) noexcept
cdef void record_fault(u32 which, s64 size, u64 pid, u64 nth, u32 site) noexcept
cdef void say(u32 which, fault_attr *a) noexcept
cdef fail_nth *armed_for(u64 pid) noexcept
