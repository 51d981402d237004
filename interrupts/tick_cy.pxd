"""What the timer device does in each tick, as no CPU."""

from cpus.atomic cimport s32, u32, u64
from cpus.percpu_cy cimport cpu_area

cdef enum:
    IDLE_TICKS = 4         # between two looks while every CPU is halted
    SLICE_TICKS = 6        # of a task with nice 0: (20 >> 2) + 1 at HZ=100

cdef public struct tick_state:     # of one CPU; the timer device's own
    u64 switches          # nr_switches when the slice began
    u64 since             # jiffies at that time

cdef tick_state states[64]

cdef bint all_halted() noexcept

cdef void account(cpu_area *c, u64 cpu, u64 now) noexcept
cdef u32 own_pid(u64 cpu) noexcept
