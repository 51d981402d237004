"""Sleeping for memory: kswapd's wait queue, and that of the tasks that wait for kswapd."""

from cpus.atomic cimport u64
from cpus.waitqueue_cy cimport wait_queue_head

cdef public struct reclaim_state:
    wait_queue_head kswapd_wait      # kswapd, while no zone is short
    wait_queue_head kswapd_done      # tasks, until kswapd has gone round once more
    wait_queue_head bdflush_wait     # bdflush, while few buffers are dirty
    u64 rounds                       # that kswapd has finished; only kswapd writes
    u64 kswapd_pid                   # 0: there is none yet

cdef reclaim_state *state

cdef void set_parked(bint on) noexcept      # inside
cdef void wake_kswapd() noexcept
cdef void wake_bdflush() noexcept
cdef u64 zone_shortage(u64 index) noexcept
