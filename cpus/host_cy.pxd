"""The host's side of a machine's processes: mapping, prctl, waking who waits for the dead."""

cdef extern from "host.h" nogil:
    int host_map_at(unsigned long long address, unsigned long long size, int fd) noexcept
    int host_map_again(unsigned long long address, unsigned long long size, int fd,
                       int copy) noexcept
    int host_die_with_parent() noexcept
    int host_set_name(const char *name) noexcept
    void host_be_prompt() noexcept
    int host_reserve(int fd, unsigned long long offset, unsigned long long length) noexcept
    void host_hold_nudges() noexcept
    void host_trim_heap() noexcept
    void host_take_nudges() noexcept
    void host_close_all(const int *fds, long number, int keep, int keep_too) noexcept

cdef extern from "Python.h":
    void PyOS_BeforeFork()
    void PyOS_AfterFork_Parent()
    void PyOS_AfterFork_Child()

cdef enum:
    NR_FORKS = 64  # at once

cdef int segment_fd

# Backs a part of the segment (bytes from its start) with host memory: 0 or -errno.
cdef int segment_reserve(unsigned long long offset, unsigned long long length) noexcept

cdef int check_mapping(int error) except -1
