"""Rwlocks. C functions are called inside a kernel call."""

from cpus.atomic cimport u16, u32, u64
from cpus.percpu_cy cimport process_slot
from cpus.waiting_cy cimport lock_wait

cdef public struct rwlock:        # 40 bytes; also rwlock_t in a driver's struct
    u32 word              # writer's owner_word, 0 = none; WAITERS
    u16 class_
    u16 magic
    u32 nr_readers        # atomic; never less than the readers inside, more after a death
    u32 last_cpu
    u64 acquired          # of a writer whose section is timed
    u32 site              # of the writer
    u32 last_reader_site
    u32 awaited           # 1: a writer sleeps here until a reader leaves
    u32 pad

cdef void rwlock_init(rwlock *lock, u16 class_) noexcept

# Return 0, or without the lock: -1 this process holds it already, or the wait closes a cycle;
# -3 this process holds so many locks that one more read side could not be noted.
cdef int read_acquire(rwlock *lock, u32 site) noexcept
cdef void read_release(rwlock *lock) noexcept
cdef int write_acquire(rwlock *lock, u32 site) noexcept
cdef bint write_trylock(rwlock *lock, u32 site) noexcept
cdef void write_release(rwlock *lock) noexcept

cdef bint enter_readers(rwlock *lock, u32 site) noexcept
cdef void leave_readers(rwlock *lock) noexcept
cdef bint take_word(rwlock *lock) noexcept
cdef void give_word_back(rwlock *lock) noexcept
cdef void write_acquired(rwlock *lock, u32 site) noexcept
cdef void count_side(rwlock *lock, u32 side, u64 *acquired) noexcept
cdef int read_slowpath(rwlock *lock, u32 site) noexcept
cdef int write_slowpath(rwlock *lock, u32 site) noexcept
cdef int wait_for_word(rwlock *lock, lock_wait *w) noexcept
cdef int wait_for_readers(rwlock *lock, lock_wait *w) noexcept
cdef process_slot *reader_inside(rwlock *lock) noexcept
