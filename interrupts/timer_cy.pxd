"""Kernel timers, and what the timer device looks at in each tick."""

from cpus.atomic cimport u32, u64
from cpus.spinlock_cy cimport spinlock

cdef enum:
    NR_TIMERS = 4096
    NR_TIMER_CPUS = 64

# In the driver's memory; the same layout in every profile. 40 bytes.
cdef public struct timer_list:
    u64 entry             # number + 1 of its entry while it is pending
    u64 pad
    u64 expires           # jiffies
    u64 function          # address in the kernel's text
    u64 data

cdef public struct timer_entry:    # guarded by the lock
    u64 timer             # native address, 0 = this entry is free: its store commits
    u64 expires           # its store commits a new time
    u64 seq               # order of adding

cdef public struct timer_base:
    spinlock lock
    u64 high              # entries above have never been used
    u64 seq
    u64 next_expires      # nothing is due before; may be too low, never too high
    u64 running           # native address of the timer whose function runs, 0 = none
    u64 running_cpu       # + 1
    u64 begun             # its function was called
    u32 asleep            # 1 while the timer device leaves out ticks: every CPU is halted
    u32 pad
    timer_entry entries[4096]

cdef timer_base *timers

cdef timer_list *timer_at(u64 address) noexcept
cdef bint is_pending(timer_list *t) noexcept
cdef bint insert(timer_list *t) noexcept
cdef void move(timer_list *t) noexcept
cdef void expires_at(timer_entry *entry, u64 expires) noexcept
cdef void wake_device() noexcept
cdef bint detach(timer_list *t) noexcept
cdef u64 jiffies_now() noexcept nogil
