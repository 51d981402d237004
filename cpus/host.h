/* What Python's library does not offer of the host: a mapping at a fixed address, prctl. */
#ifndef SMPMM_HOST_H
#define SMPMM_HOST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <signal.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* Maps `size` bytes of `fd` at `address`. Returns 0 or -errno; kernels before 4.17 take the
 * flag as a hint, hence the second look. */
static inline int host_map_at(unsigned long long address, unsigned long long size, int fd) {
    void *wanted = (void *)(uintptr_t)address;
    int flags = MAP_SHARED | MAP_FIXED_NOREPLACE;
    void *p = mmap(wanted, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (p == MAP_FAILED) return -errno;
    if (p != wanted) {
        munmap(p, size);
        return -EEXIST;
    }
    madvise(p, size, MADV_DONTDUMP); /* RAM does not belong in a core file */
    return 0;
}

/* Maps what is mapped at `address` once more: as a copy that nobody else sees, or shared
 * again, which drops the copy. Returns 0 or -errno. */
static inline int host_map_again(unsigned long long address, unsigned long long size, int fd,
                                 int copy) {
    void *wanted = (void *)(uintptr_t)address;
    int flags = MAP_FIXED | (copy ? MAP_PRIVATE | MAP_NORESERVE : MAP_SHARED);
    if (mmap(wanted, size, PROT_READ | PROT_WRITE, flags, fd, 0) == MAP_FAILED) return -errno;
    madvise(wanted, size, MADV_DONTDUMP);
    return 0;
}

static inline int host_die_with_parent(void) {
    return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 ? 0 : -errno;
}

static inline int host_set_name(const char *name) {
    return prctl(PR_SET_NAME, name, 0, 0, 0) == 0 ? 0 : -errno;
}

/* Asks the host to let this process run soon after it is woken: a slice of 0.1 ms, which
 * kernels from 6.12 on take into account (others ignore it), and sleeps that end in time. */
static inline void host_be_prompt(void) {
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime_ns, deadline_ns, period_ns;
    } attributes = {.size = sizeof attributes, .policy = SCHED_OTHER, .runtime_ns = 100000};
    errno = 0;
    attributes.nice = nice(0);
    syscall(SYS_sched_setattr, 0, &attributes, 0);
    prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
}

/* Gives a range of the segment host memory now, so that a host without any is an error and no
 * SIGBUS. Returns 0 or -errno. */
static inline int host_reserve(int fd, unsigned long long offset, unsigned long long length) {
    return -posix_fallocate(fd, (off_t)offset, (off_t)length);
}

/* What Python has set for SIGUSR1, the nudge, while that is held back. */
static struct sigaction host_nudge;

static inline void host_hold_nudges(void) {
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGUSR1, &ignore, &host_nudge);
}

static inline void host_take_nudges(void) { sigaction(SIGUSR1, &host_nudge, NULL); }

/* Gives free memory of the heap back to the host, where its C library can. */
static inline void host_trim_heap(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

/* Closes `number` descriptors but the two that are kept. */
static inline void host_close_all(const int *fds, long number, int keep, int keep_too) {
    for (long i = 0; i < number; i++)
        if (fds[i] != keep && fds[i] != keep_too) close(fds[i]);
}

#endif
