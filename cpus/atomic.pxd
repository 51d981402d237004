cdef extern from "atomic.h" nogil:
    ctypedef unsigned long long u64
    ctypedef long long s64
    ctypedef unsigned int u32
    ctypedef int s32
    ctypedef unsigned short u16
    ctypedef unsigned char u8

    bint likely(bint) noexcept
    bint unlikely(bint) noexcept

    u64 atomic64_load(u64 *word) noexcept
    u64 atomic64_load_acquire(u64 *word) noexcept
    u64 atomic64_load_relaxed(u64 *word) noexcept
    void atomic64_store(u64 *word, u64 value) noexcept
    void atomic64_store_release(u64 *word, u64 value) noexcept
    void atomic64_store_relaxed(u64 *word, u64 value) noexcept
    u64 atomic64_xchg(u64 *word, u64 value) noexcept
    u64 atomic64_fetch_add(u64 *word, u64 value) noexcept
    u64 atomic64_fetch_sub(u64 *word, u64 value) noexcept
    u64 atomic64_fetch_or(u64 *word, u64 value) noexcept
    u64 atomic64_fetch_and(u64 *word, u64 value) noexcept
    u64 atomic64_cmpxchg(u64 *word, u64 old, u64 new_) noexcept

    u32 atomic32_load(u32 *word) noexcept
    u32 atomic32_load_relaxed(u32 *word) noexcept
    u32 atomic32_load_acquire(u32 *word) noexcept
    void atomic32_store(u32 *word, u32 value) noexcept
    void atomic32_store_release(u32 *word, u32 value) noexcept
    void atomic32_store_relaxed(u32 *word, u32 value) noexcept
    u32 atomic32_xchg(u32 *word, u32 value) noexcept
    u32 atomic32_fetch_add(u32 *word, u32 value) noexcept
    u32 atomic32_fetch_sub(u32 *word, u32 value) noexcept
    u32 atomic32_fetch_or(u32 *word, u32 value) noexcept
    u32 atomic32_fetch_and(u32 *word, u32 value) noexcept
    u32 atomic32_fetch_xor(u32 *word, u32 value) noexcept
    u32 atomic32_cmpxchg(u32 *word, u32 old, u32 new_) noexcept

    void gate_publish(u64 *inside) noexcept
    void memory_fence() noexcept
    void write_fence() noexcept
    void read_fence() noexcept
    void compiler_barrier() noexcept
    void cpu_relax() noexcept
    u64 clock_ticks() noexcept
    u64 clock_ns() noexcept
    int futex_wait(u32 *word, u32 value, u64 timeout_ns) noexcept
    int futex_wake(u32 *word, int nr) noexcept
    u32 *low_half(u64 *word) noexcept
