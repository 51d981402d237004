"""What drivers do to an interrupt line."""

from cpus.atomic cimport u32, u64
from interrupts.irq_cy cimport irq_desc, irqaction

cdef u32 new_action(u64 line) noexcept
cdef bint wait_while_running(u64 line, u64 turns) except -1
