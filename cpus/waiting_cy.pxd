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
    SPIN_TURNS = 200       # looks at the word before a waiter parks

    WAIT_SPIN = 0          # lock_wait.flags, process_slot.waiting_flags
    WAIT_READ = 1
    WAIT_WRITE = 2

cdef struct lock_wait:     # one wait, on the waiter's stack: it never switches tasks
    u64 lock
    u64 start              # clock_ns()
    u64 parked             # ns on the futex
    u64 descheduled        # ns in which the holder had no host processor
    u64 seq                # wait_seq of this wait
    u32 site
    u32 holder_site
    u32 flags              # WAIT_*
    u32 parks
    bint search_again      # the last search for a cycle was kept off by another

cdef int schedstat_fds[224]               # by slot; of generation schedstat_of - 1
cdef u32 schedstat_of[224]

cdef void begin_wait(lock_wait *w, u64 lock, u32 site, u32 holder_site, u32 flags) noexcept
cdef void end_wait() noexcept
# A safe point of a waiter whose lock word is at `word_at`; per-CPU state may be another after.
cdef void wait_point(lock_wait *w, u32 *word_at) noexcept
# Sleep while `*word_at` holds `value`, for the process `holder` (or NULL). A safe point.
cdef void park(lock_wait *w, u32 *word_at, u32 value, process_slot *holder,
               u64 timeout_ns) noexcept
# Park on a lock word that names its owner: sets WAITERS first.
cdef void park_on_word(lock_wait *w, u32 *word_at, u32 word) noexcept
cdef void hand_on(u32 *word_at) noexcept
cdef bint time_to_search(lock_wait *w) noexcept
cdef void report_takeover(u32 class_, u32 word) noexcept

cdef void show_wait(lock_wait *w) noexcept
cdef void run_signal_handlers(lock_wait *w) noexcept
cdef u64 run_delay(process_slot *slot) noexcept
