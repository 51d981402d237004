"""Recovery of the CPUs that a dead process was, or wanted to be."""

from cpus.atomic cimport u64
from cpus.percpu_cy cimport process_slot

# Helpers of this module alone.
cdef bint reap_runner(u64 cpu, process_slot *s, u64 me) noexcept
cdef bint is_runner_below(u64 cpu, u64 me) noexcept
cdef bint recount_handlers(u64 cpu) noexcept
cdef u64 nr_counted(u64 cpu) noexcept
cdef void forget_moving(u64 cpu) noexcept
