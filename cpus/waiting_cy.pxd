"""A process that waits for a lock. Called inside a kernel call."""

from cpus.atomic cimport u32, u64
from cpus.percpu_cy cimport process_slot

cdef extern from "waiting.h":
    int PyErr_CheckSignals() noexcept
    void PyErr_Clear() noexcept
    int open_schedstat(u32 pid) noexcept
    u64 read_run_delay(int fd) noexcept
    int close(int fd) noexcept
    int format_takeover(char *text, int size, const char *lock, const char *process) noexcept

cdef enum:
    WAITERS = 0x80000000   # in a lock word: somebody is parked on it

cdef int schedstat_fds[224]               # by slot; of generation schedstat_of - 1
cdef u32 schedstat_of[224]

cdef void begin_wait(u64 lock, u32 site, u32 flags) noexcept
cdef void end_wait() noexcept
cdef void park(u32 *word_at, u32 word, u64 *parked, u64 *descheduled, u64 timeout_ns) noexcept
cdef void check_signals() noexcept
cdef u64 run_delay(process_slot *slot) noexcept
cdef void report_takeover(const char *name, u32 word) noexcept
