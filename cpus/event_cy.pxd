"""The machine's two streams: one event ring per CPU, and the kernel log."""

from cpus.atomic cimport u16, u32, u64

cdef enum:
    NR_EVENTS = 8192       # records per CPU
    NR_LOG_LINES = 4096
    LOG_TEXT = 216
    LOG_PARTS = 32         # records that one text may have; the rest is a text of its own
    LOG_NUMBER = 31        # log_line.seq: the number + 1 stands from this bit on
    LOG_WRITER = 0x7fffffff    # below it: the owner word of who writes the record, 0 = whole
    LOG_NOBODY = 0x7fffffff    # a writer without a slot: never taken for dead
    LOG_GOES_ON = 1        # log_line.more: the next record continues this text
    LOG_CONTINUES = 2      # this record continues the one before

    EVENT_CONTENTION = 1   # a: lock, b: wait ns, c: holder's site << 32 | class
    # an injected failure; a: 0 failslab, 1 fail_page_alloc; b: size; c: nth asking
    EVENT_FAULT = 2
    EVENT_BUG = 3
    EVENT_IRQ_ENTRY = 4    # a: line
    EVENT_IRQ_EXIT = 5
    EVENT_SWITCH = 6       # a: task left, b: task entered (pids, 0 = idle)
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

cdef public struct log_line:       # 248 bytes
    u64 seq               # number + 1 and writer, see LOG_NUMBER; only grows
    u64 ns
    u32 length
    u16 level             # 0..7
    u16 cpu
    u32 task
    u32 more              # LOG_GOES_ON, LOG_CONTINUES
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

# Helpers of this module alone.
cdef u64 reserve_lines(u32 nr) noexcept
cdef bint claim_line(u64 number, u32 me) noexcept
cdef void write_lines(const char *text, u32 length, u32 level) noexcept
cdef u32 part_length(const char *text, u32 length) noexcept
cdef log_line *line_at(u64 number) noexcept
cdef bint copy_line(u64 number, log_line *copy) noexcept
cdef bint copy_event(u64 cpu, u64 number, event_record *copy) noexcept
