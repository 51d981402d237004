"""Lock classes and their statistics. C functions are called inside a kernel call."""

from cpus.atomic cimport u8, u16, u32, u64

cdef enum:
    NR_CLASSES = 512
    CLASS_READY = 1        # no owner word: those name a generation from 1 on
    NR_POINTS = 4096       # (class, waiter's site, holder's site) triples
    HIST = 32              # log2 buckets of ns

    # *stat_level: which sections are counted and timed
    STAT_SAMPLED = 0       # all are counted, some are timed: see is_sampled
    STAT_EXACT = 1         # all are counted and timed
    STAT_OFF = 2           # none; waits are counted all the same

    CLASS_SPIN = 0
    CLASS_RW = 1
    CLASS_SLEEPING = 2     # semaphores, rw semaphores: same statistics

    SIDE_WRITE = 0
    SIDE_READ = 1

    # what happens to what a lock protects when its owner died with it
    RECOVER_NOTHING = 0
    RECOVER_ZONE = 1
    RECOVER_CACHE = 2
    RECOVER_RUNQUEUE = 3
    RECOVER_OTHER = 4
    RECOVER_IRQ = 5
    RECOVER_WAIT_QUEUE = 6
    NR_RECOVERIES = 16

cdef public struct lock_side:     # one side of the locks of a class; a plain lock has one
    u64 acquisitions
    u64 acq_bounces
    u64 con_bounces
    u64 contentions       # acquisitions after a wait
    u64 wait_min_ns
    u64 wait_max_ns
    u64 wait_total_ns
    u64 parked_ns         # of the wait: asleep on the futex
    u64 descheduled_ns    # of the wait: the holder was runnable but had no host CPU
    u64 nr_timed          # sections whose hold time was taken
    u64 hold_min_ns
    u64 hold_max_ns
    u64 hold_total_ns

cdef public struct lock_stat:     # one per class and CPU; written by that CPU only
    lock_side sides[2]    # SIDE_*
    u32 wait_hist[32]
    u32 hold_hist[32]

cdef public struct contention_point:
    u64 key               # class, waiter's and holder's site (see point_key); 0 = free
    # atomic additions
    u64 nr
    u64 wait_ns
    u64 parked_ns
    u64 descheduled_ns
    u64 max_ns

cdef public struct lock_class:
    char name[48]
    u32 state             # 0 free, CLASS_READY, else the owner word of who fills it in
    u32 kind              # CLASS_*
    u32 recovery          # RECOVER_*

cdef lock_class *lock_classes
cdef lock_stat *lock_stats                # [nr_cpus][NR_CLASSES]
cdef contention_point *contention_points  # [NR_POINTS]
cdef u64 *stat_level                      # STAT_*

# A class by name; the same name gives the same class. May be called by the monitor at boot.
cdef u16 lock_class_named(const char *name, u32 kind, u32 recovery) noexcept

# Whether section number `nr` of a class on a CPU is timed, when not all are: of the first 4096
# every sixteenth, then every 64th. The two clock reads and the entry cost 30 ns.
cdef inline bint is_sampled(u64 nr) noexcept:
    return nr & 15 == 0 and (nr & 63 == 0 or nr <= 4096)

# What a sleeping lock counts when it is taken, and when somebody begins to wait for it.
cdef void lock_acquired_stat(u16 class_, u32 side, u32 *last_cpu) noexcept
cdef void lock_contended_stat(u16 class_, u32 side, u32 last_cpu) noexcept

# Helpers of the modules of locks; `side` SIDE_*.
cdef lock_side *side_of(u16 class_, u32 side) noexcept
cdef void hold_time_stat(u16 class_, u32 side, u64 ticks) noexcept
cdef void wait_time_stat(u16 class_, u32 site, u32 holder_site, u64 ns, u64 parked,
                         u64 descheduled, u32 side) noexcept
cdef void add_hold(u16 class_, u32 side, u64 ns) noexcept
cdef void fill_class(lock_class *class_, const char *name, u32 kind, u32 recovery) noexcept
cdef bint claim_class(lock_class *class_) noexcept
cdef u64 point_key(u16 class_, u32 site, u32 holder_site) noexcept
cdef contention_point *find_point(u64 key) noexcept
cdef int log2_bucket(u64 ns) noexcept
