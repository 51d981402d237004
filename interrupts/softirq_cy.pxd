"""Softirqs: rounds of them on one CPU."""

from cpus.atomic cimport u32, u64

cdef enum:
    HI_SOFTIRQ = 0
    NET_TX_SOFTIRQ = 1
    NET_RX_SOFTIRQ = 2
    TASKLET_SOFTIRQ = 3
    NR_SOFTIRQS = 4
    NR_SOFTIRQ_CPUS = 64

cdef public struct softirq_area:
    u64 vec[4]            # address of the function in the kernel's text, 0 = none or our own
    # by CPU; written by that CPU only
    u64 taken[64]         # what its rounds have taken off softirq_pending and not yet finished
    u64 counts[64][4]

cdef softirq_area *softirqs

cdef u64 take_pending(u64 cpu) noexcept
