/* What a waiter asks of the host: signals, and how long another process had no processor. */
#ifndef SMPMM_WAITING_H
#define SMPMM_WAITING_H

#include <Python.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline int open_schedstat(unsigned int pid) {
    char path[48];
    snprintf(path, sizeof path, "/proc/%u/schedstat", pid);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* The second field, in ns; 0 when the process is gone. */
static inline unsigned long long read_run_delay(int fd) {
    char text[80];
    char *second;
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    if (n <= 0) return 0;
    text[n] = 0;
    strtoull(text, &second, 10);
    return strtoull(second, NULL, 10);
}

static inline int format_takeover(char *text, int size, const char *lock,
                                  const char *owner) {
    int n = snprintf(text, (size_t)size, "lock %s: its owner %s died, taken over", lock,
                     owner);
    return n < size ? n : size - 1;
}

#endif
