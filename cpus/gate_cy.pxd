"""The interrupt gate of a process that is not a CPU of its own.

Such a process is an interrupt handler, or the sender of an inter-processor interrupt.
"""

from cpus.atomic cimport u32, u64
from cpus.percpu_cy cimport cpu_area, process_slot

# Become `cpu`. Returns 0, or -1 when that CPU is not online.
cdef int gate_acquire(u64 cpu) noexcept
cdef int gate_try(u64 cpu, u64 timeout_ns) noexcept       # -1 also when that takes too long
cdef void gate_release() noexcept

# Helpers of this module alone.
cdef bint take_runner(cpu_area *c, u64 word) noexcept
cdef void wait_for_runner(cpu_area *c, process_slot *r, int spins) noexcept
cdef void begin_interrupt(cpu_area *c, u64 cpu, u64 interrupted) noexcept
cdef u64 nr_handlers_below(u64 runner, u64 cpu) noexcept
cdef void count_in(cpu_area *c, u64 cpu) noexcept
cdef void count_out(cpu_area *c) noexcept
