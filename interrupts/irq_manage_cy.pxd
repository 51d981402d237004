"""What drivers do to an interrupt line."""

from cpus.atomic cimport u32, u64
from interrupts.irq_cy cimport irq_desc, irqaction

cdef u32 new_action(u64 line) noexcept
# The lock of the line is held.
cdef long long chain_end(irq_desc *d, u32 flags) noexcept
cdef bint wait_while_running(u64 line, u64 turns) except -1
