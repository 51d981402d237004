"""The machine's two streams: one event ring per CPU, and the kernel log."""

from cpus.atomic cimport u16, u32, u64

cdef enum:
    NR_EVENTS = 8192       # records per CPU
    NR_LOG_LINES = 4096
    LOG_TEXT = 216

    EVENT_CONTENTION = 1   # a: lock, b: wait ns, c: holder's site << 32 | class
    # an injected failure; a: 0 failslab, 1 fail_page_alloc; b: size; c: nth asking
    EVENT_FAULT = 2
    EVENT_BUG = 3
    EVENT_IRQ_ENTRY = 4    # a: line
    EVENT_IRQ_EXIT = 5
    EVENT_SWITCH = 6       # a: task left, b: task entered (pids)
    EVENT_SOFTIRQ = 7      # a: vector
    EVENT_KMALLOC = 8      # a: address, b: bytes asked, c: gfp; only when asked for
    EVENT_KFREE = 9
    EVENT_PAGE_ALLOC = 10  # a: pfn, b: order, c: gfp
    EVENT_PAGE_FREE = 11
    EVENT_RECLAIM = 12     # a: pages freed, b: 0 kswapd 1 direct
    EVENT_WRITEBACK = 13
    EVENT_DIED = 14        # a: slot

cdef public struct event_record:   # 48 bytes
    u64 ns                # since boot
    u64 a
    u64 b
    u64 c
    u32 site
    u32 task              # pid of the task, 0 = none
    u16 type
    u16 cpu
    u32 seq               # low bits of the record's number + 1: 0 = being written

cdef public struct log_line:       # 256 bytes
    u64 seq               # number of the line + 1 when it is whole, 0 while it is written
    u64 ns
    u32 length
    u16 level             # 0..7
    u16 cpu
    u32 task
    u32 more              # 1: the text goes on in the next record of this writer
    char text[216]

cdef enum:
    # index of `pid` in task_struct, in words: task_cy checks it at import
    TASK_PID_WORD = 8

cdef event_record *events      # [nr_cpus][NR_EVENTS]
cdef u64 *log_head             # records ever reserved
cdef log_line *log_lines       # [NR_LOG_LINES]

# Inside a call, as a CPU, with no safe point between a call and its return.
cdef void trace_event(u32 type, u64 a, u64 b, u64 c, u32 site) noexcept
cdef bint trace_allocations    # the allocators' fast path is recorded too
# Any process, any context.
cdef void log_text(const char *text, u32 length, u32 level) noexcept
