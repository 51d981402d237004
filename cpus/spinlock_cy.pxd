"""Spinlocks and rwlocks, their classes and statistics.

C functions here are called inside a kernel call (between enter and leave).
"""

from cpus.atomic cimport u8, u16, u32, u64
from cpus.percpu_cy cimport process_slot

cdef enum:
    NR_CLASSES = 512
    LOCK_MAGIC = 0x5eed
    WAITERS = 0x80000000
    NR_POINTS = 4096       # (class, waiter's site, holder's site) triples
    HIST = 32              # log2 buckets of ns
    STATS_OFF = 2          # *exact_hold_times: acquisitions are not counted

    CLASS_SPIN = 0
    CLASS_RW = 1
    CLASS_SLEEPING = 2     # semaphores, rw semaphores: same statistics

    # what happens to what a lock protects when its owner died with it
    RECOVER_NOTHING = 0
    RECOVER_ZONE = 1
    RECOVER_CACHE = 2
    RECOVER_RUNQUEUE = 3
    RECOVER_OTHER = 4
    RECOVER_IRQ = 5
    NR_RECOVERIES = 8

cdef public struct spinlock:      # 24 bytes; also spinlock_t in a driver's struct
    u32 word              # owner_word of the holder, 0 = free; bit 31: somebody is parked on it
    u16 class_            # its lock class
    u16 magic             # LOCK_MAGIC: initialised
    # guarded by the lock
    u32 site              # where the holder took it
    u32 last_cpu          # CPU + 1 that took it last
    u64 acquired          # clock_ticks() of the acquisition when this section is timed, else 0

cdef public struct rwlock:        # 40 bytes
    u32 word              # writer's owner_word, 0 = none; bit 31: somebody is parked
    u16 class_
    u16 magic
    u32 nr_readers        # atomic
    u32 last_cpu
    u64 acquired
    u32 site
    u32 last_reader_site
    u64 pad

cdef public struct lock_stat:     # one per class and CPU; written by that CPU only
    u64 acquisitions
    u64 acq_bounces
    u64 con_bounces
    u64 contentions       # waits
    u64 wait_min_ns
    u64 wait_max_ns
    u64 wait_total_ns
    u64 parked_ns         # of the wait: asleep on the futex
    u64 descheduled_ns    # of the wait: the holder was runnable but had no host CPU
    u64 nr_timed          # sections whose hold time was taken
    u64 hold_min_ns
    u64 hold_max_ns
    u64 hold_total_ns
    u64 read_acquisitions
    u64 read_contentions
    u64 read_wait_total_ns
    u32 wait_hist[32]
    u32 hold_hist[32]

cdef public struct contention_point:
    u64 key               # class << 56.. hashed with both sites; 0 = free, claimed by cmpxchg
    u32 class_
    u32 waiter_site
    u32 holder_site
    u32 pad
    # atomic additions
    u64 nr
    u64 wait_ns
    u64 parked_ns
    u64 descheduled_ns
    u64 max_ns

cdef public struct lock_class:
    char name[48]
    u32 ready             # 1 when the name is written
    u32 kind              # CLASS_*
    u32 recovery          # RECOVER_*
    u32 site              # where the lock was initialised, 0 = a lock of the kernel's own

cdef extern from "waiting.h":
    int PyErr_CheckSignals() noexcept
    void PyErr_Clear() noexcept
    int open_schedstat(u32 pid) noexcept
    u64 read_run_delay(int fd) noexcept
    int close(int fd) noexcept
    int format_takeover(char *text, int size, const char *lock, const char *process) noexcept

cdef lock_class *lock_classes
cdef lock_stat *lock_stats                # [nr_cpus][NR_CLASSES]
cdef contention_point *contention_points  # [NR_POINTS]
cdef u64 *exact_hold_times                # 0: every 16th section is timed, 1: all; STATS_OFF
cdef u64 *deadlock_claim                  # owner word of the waiter that searches, 0 = nobody
cdef int schedstat_fds[224]               # by slot; of generation schedstat_of - 1
cdef u32 schedstat_of[224]

# A class by name; the same name gives the same class. May be called by the monitor at boot.
cdef u16 lock_class_named(const char *name, u32 kind, u32 recovery) noexcept
cdef void spinlock_init(spinlock *lock, u16 class_) noexcept

# Returns 0, or -1 without the lock: this process holds it already, or the wait closes a cycle.
cdef int spin_acquire(spinlock *lock, u32 site) noexcept
cdef void rwlock_init(rwlock *lock, u16 class_) noexcept
cdef int read_acquire(rwlock *lock, u32 site) noexcept
cdef void read_release(rwlock *lock) noexcept
cdef int write_acquire(rwlock *lock, u32 site) noexcept
cdef void write_release(rwlock *lock) noexcept
cdef bint try_write(rwlock *lock) noexcept
cdef int spin_lock_slowpath(spinlock *lock, u32 site) noexcept
cdef int rw_slowpath(rwlock *lock, u32 site, u32 flags) noexcept
cdef void note_held(u64 lock, u32 site, u32 flags) noexcept
cdef void forget_held(u64 lock) noexcept
cdef void hold_time_stat(u16 class_, u64 ns) noexcept
cdef void wait_time_stat(u16 class_, u32 site, u32 holder_site, u64 ns, u64 parked,
                         u64 descheduled, u32 flags) noexcept
cdef contention_point *find_point(u16 class_, u32 site, u32 holder_site) noexcept

cdef void spin_acquired(spinlock *lock, u32 site) noexcept
cdef int log2_bucket(u64 ns) noexcept
cdef void begin_wait(u64 lock, u32 site, u32 flags) noexcept
cdef void end_wait() noexcept
cdef void park(u32 *word_at, u32 word, u64 *parked, u64 *descheduled, u64 timeout_ns) noexcept
cdef void check_signals() noexcept
cdef u64 run_delay(process_slot *slot) noexcept
cdef void take_over(spinlock *lock, u32 word) noexcept
cdef void report_takeover(const char *name, u32 word) noexcept
cdef bint find_deadlock() noexcept
cdef u64 walk_cycle() noexcept
cdef process_slot *blocked_by(process_slot *slot) noexcept
cdef process_slot *reader_of(u64 lock, process_slot *besides) noexcept
cdef void read_back_out(rwlock *lock) noexcept
cdef bint reader_of_own(rwlock *lock) noexcept
cdef void park_for_readers(rwlock *lock, u32 readers, u64 *parked) noexcept
cdef void forget_dead_readers(rwlock *lock, u32 readers) noexcept

# For the kernel's own locks: always with interrupts off or bottom halves accounted for by the
# caller, never recursive, never held when an exception is raised. `site` as call_site().
cdef void raw_spin_lock(spinlock *lock, u32 site) noexcept
cdef bint raw_spin_trylock(spinlock *lock, u32 site) noexcept
cdef void raw_spin_unlock(spinlock *lock) noexcept
cdef u64 raw_spin_lock_irqsave(spinlock *lock, u32 site) noexcept
cdef void raw_spin_unlock_irqrestore(spinlock *lock, u64 flags) noexcept   # passes a safe point

# Called with the lock just taken over from a process that died holding it; inside a call,
# interrupts as the taker has them. Registered by the layer that owns the structure.
ctypedef void (*recover_hook)(spinlock *lock) noexcept
cdef recover_hook recovery_hooks[8]
cdef void register_recovery(u32 recovery, recover_hook hook) noexcept

# The statistics of a wait for a sleeping lock, and of its acquisition.
cdef void lock_acquired_stat(u16 class_, u32 *last_cpu) noexcept
cdef void lock_waited_stat(u16 class_, u32 site, u32 holder_site, u64 ns) noexcept
cdef void lock_held_stat(u16 class_, u64 ns) noexcept
