"""Rwlocks. C functions are called inside a kernel call."""

from cpus.atomic cimport u16, u32, u64

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

cdef void rwlock_init(rwlock *lock, u16 class_) noexcept

# Return 0, or -1 without the lock: this process holds it already, or the wait closes a cycle.
cdef int read_acquire(rwlock *lock, u32 site) noexcept
cdef void read_release(rwlock *lock) noexcept
cdef int write_acquire(rwlock *lock, u32 site) noexcept
cdef void write_release(rwlock *lock) noexcept
cdef bint try_write(rwlock *lock) noexcept

cdef int rw_slowpath(rwlock *lock, u32 site, u32 flags) noexcept
cdef void read_back_out(rwlock *lock) noexcept
cdef bint reader_of_own(rwlock *lock) noexcept
cdef void park_for_readers(rwlock *lock, u32 readers, u64 *parked) noexcept
cdef void forget_dead_readers(rwlock *lock, u32 readers) noexcept
