/* Atomic words, the futex and the clock: what a processor gives to everything above it.
 *
 * All functions are sequentially consistent unless the name says otherwise. A word that is
 * shared between processes is read and written through these functions only: gcc reorders
 * plain accesses.
 */
#ifndef SMPMM_ATOMIC_H
#define SMPMM_ATOMIC_H

#include <errno.h>
#include <linux/futex.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long long u64;
typedef long long s64;
typedef unsigned int u32;
typedef int s32;
typedef unsigned short u16;
typedef unsigned char u8;


static inline int likely(int x) { return __builtin_expect(!!x, 1); }
static inline int unlikely(int x) { return __builtin_expect(!!x, 0); }

/* The operations on a word of one width. cmpxchg returns what the word held: equal to `old`
 * when the exchange was made. */
#define ATOMIC_WORD(NAME, TYPE)                                                               \
    static inline TYPE NAME##_load(TYPE *w) {                                                 \
        return __atomic_load_n(w, __ATOMIC_SEQ_CST);                                          \
    }                                                                                         \
    static inline TYPE NAME##_load_acquire(TYPE *w) {                                         \
        return __atomic_load_n(w, __ATOMIC_ACQUIRE);                                          \
    }                                                                                         \
    static inline TYPE NAME##_load_relaxed(TYPE *w) {                                         \
        return __atomic_load_n(w, __ATOMIC_RELAXED);                                          \
    }                                                                                         \
    static inline void NAME##_store(TYPE *w, TYPE v) {                                        \
        __atomic_store_n(w, v, __ATOMIC_SEQ_CST);                                             \
    }                                                                                         \
    static inline void NAME##_store_release(TYPE *w, TYPE v) {                                \
        __atomic_store_n(w, v, __ATOMIC_RELEASE);                                             \
    }                                                                                         \
    static inline void NAME##_store_relaxed(TYPE *w, TYPE v) {                                \
        __atomic_store_n(w, v, __ATOMIC_RELAXED);                                             \
    }                                                                                         \
    static inline TYPE NAME##_xchg(TYPE *w, TYPE v) {                                         \
        return __atomic_exchange_n(w, v, __ATOMIC_SEQ_CST);                                   \
    }                                                                                         \
    static inline TYPE NAME##_fetch_add(TYPE *w, TYPE v) {                                    \
        return __atomic_fetch_add(w, v, __ATOMIC_SEQ_CST);                                    \
    }                                                                                         \
    static inline TYPE NAME##_fetch_sub(TYPE *w, TYPE v) {                                    \
        return __atomic_fetch_sub(w, v, __ATOMIC_SEQ_CST);                                    \
    }                                                                                         \
    static inline TYPE NAME##_fetch_or(TYPE *w, TYPE v) {                                     \
        return __atomic_fetch_or(w, v, __ATOMIC_SEQ_CST);                                     \
    }                                                                                         \
    static inline TYPE NAME##_fetch_and(TYPE *w, TYPE v) {                                    \
        return __atomic_fetch_and(w, v, __ATOMIC_SEQ_CST);                                    \
    }                                                                                         \
    static inline TYPE NAME##_fetch_xor(TYPE *w, TYPE v) {                                    \
        return __atomic_fetch_xor(w, v, __ATOMIC_SEQ_CST);                                    \
    }                                                                                         \
    static inline TYPE NAME##_cmpxchg(TYPE *w, TYPE old, TYPE new_) {                         \
        __atomic_compare_exchange_n(w, &old, new_, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);    \
        return old;                                                                           \
    }

ATOMIC_WORD(atomic64, u64)
ATOMIC_WORD(atomic32, u32)

/* The store of `enter`: an exchange, so that the load of `pending` behind it cannot pass it.
 * The other build exists for one stress test, which must see interrupts overlap calls. */
static inline void gate_publish(u64 *inside) {
#ifdef SMPMM_PLAIN_GATE
    __atomic_store_n(inside, 1, __ATOMIC_RELAXED);
#else
    (void)__atomic_exchange_n(inside, 1, __ATOMIC_SEQ_CST);
#endif
}

static inline void memory_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
/* Stores before it are seen before stores behind it; loads before it are made before loads
 * behind it. Nothing on x86, where only the compiler could change that. */
static inline void write_fence(void) { __atomic_thread_fence(__ATOMIC_RELEASE); }
static inline void read_fence(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
/* Keeps the compiler's order of two plain stores: enough for a commit order that only a killed
 * process's survivors observe (they read it after the kernel reaped the writer). */
static inline void compiler_barrier(void) { __asm__ __volatile__("" ::: "memory"); }

static inline void cpu_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield" ::: "memory");
#endif
}

/* Counter ticks of the host: the segment header knows how many make a nanosecond. */
static inline u64 clock_ticks(void) {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    u64 t;
    __asm__ __volatile__("mrs %0, cntvct_el0" : "=r"(t));
    return t;
#endif
}

static inline u64 clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * 1000000000ull + (u64)t.tv_nsec;
}

/* Sleep while the word still holds `value`, at most `timeout_ns`; never FUTEX_PRIVATE, the
 * word is shared between processes. Returns 0 when woken, else -errno (-EAGAIN, -ETIMEDOUT,
 * -EINTR). */
static inline int futex_wait(u32 *word, u32 value, u64 timeout_ns) {
    struct timespec t = {
        (time_t)(timeout_ns / 1000000000ull),
        (long)(timeout_ns % 1000000000ull),
    };
    return syscall(SYS_futex, word, FUTEX_WAIT, value, &t, NULL, 0) == 0 ? 0 : -errno;
}

static inline int futex_wake(u32 *word, int nr) {
    return (int)syscall(SYS_futex, word, FUTEX_WAKE, nr, NULL, NULL, 0);
}

/* The futex looks at 32 bits: the low half of a 64-bit word (both hosts are little-endian). */
static inline u32 *low_half(u64 *word) { return (u32 *)word; }

#endif
