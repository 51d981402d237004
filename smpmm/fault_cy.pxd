"""Fault injection: failslab and fail_page_alloc."""

from cpus.atomic cimport s64, u32, u64
from smpmm.mm.slab_list_cy cimport kmem_cache

cdef enum:
    KERN_NOTICE_LEVEL = 5
    FAILSLAB = 0
    FAIL_PAGE_ALLOC = 1
    FAULT_STACK_SAID = 12

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

cdef public struct fault_state:
    u64 on                       # 1: some fault may happen; every allocation looks at it
    fault_attr attrs[2]

cdef fault_state *faults

# `task` is the native address of a task_struct, 0 outside of tasks.
cdef int should_failslab(kmem_cache *c, u64 gfp, u32 site) noexcept
cdef int should_fail_alloc_page(u64 gfp, u64 order, u32 site) noexcept
cdef bint should_fail(u32 which, s64 size, u32 site) noexcept
cdef bint attributes_say(u32 which, s64 size, u64 task, u64 *nth) noexcept
cdef bint space_says(fault_attr *a, s64 size) noexcept
cdef bint dice_say(u32 which, u64 task, u64 *nth) noexcept
cdef bint claim(fault_attr *a, bint must) noexcept
cdef void inject(u32 which, s64 size, u64 task, u64 nth, u32 site) noexcept
cdef void say(fault_attr *a) noexcept
cdef void switch() noexcept
cdef bint some_fault_may_happen() noexcept
cdef u64 task_of_pid(u64 pid) noexcept
