"""Waiting until no other processor is inside the kernel call in which it is now."""

from cpus.atomic cimport u64
from cpus.percpu_cy cimport cpu_area

# Whether every other CPU is outside of a call, or at a safe point, now or since this began:
# what this process stored before is seen by whatever they do next. Any context.
cdef bint others_outside() noexcept
# Wait until each has been. Outside of any call and without a lock; `task`: in a task, with
# interrupts on, so that a CPU that does not come out by itself can be interrupted.
cdef void flush_others(bint task) noexcept

cdef bint is_outside(cpu_area *c) noexcept
cdef void wait_outside(cpu_area *c, u64 cpu, bint task) noexcept
