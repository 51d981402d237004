"""Interrupt lines: descriptors, actions, edges."""

from cpus.atomic cimport u32, u64
from cpus.spinlock_cy cimport spinlock

cdef enum:
    NR_IRQS = 64
    NR_ACTIONS = 192
    NR_LINE_CPUS = 64

    SA_SHIRQ = 0x04000000
    SA_SAMPLE_RANDOM = 0x10000000
    SA_INTERRUPT = 0x20000000

    # irq_desc.status, an atomic word on which the handler process and those who wait for it
    # sleep
    IRQ_INPROGRESS = 1
    IRQ_DISABLED = 2
    IRQ_PENDING = 4
    IRQ_SHUT = 8           # its handler process has died

cdef public struct irqaction:      # 64 bytes
    u64 handler           # address of its function in the kernel's text
    u64 dev_id
    u32 line              # + 1; 0 = this entry is free, claimed by compare-and-exchange
    u32 next              # entry + 1, 0 = end; guarded by the line's lock, followed without
    u32 flags             # SA_*
    u32 pad
    char name[32]

cdef public struct irq_desc:
    spinlock lock         # guards depth, action and the chain
    u32 depth             # disable_irq calls that are not undone
    u32 action            # entry + 1 of the first action, 0 = none
    # atomic, no lock
    u32 status
    u32 target            # CPU + 1 that takes the next edge, 0 = any in `affinity`
    u64 handler           # slot + 1 of its process once that is ready, 0 = none
    u64 affinity          # mask of CPUs
    u64 nr_raised         # edges
    u64 nr_merged         # edges that met one still pending
    u64 nr_lost           # edges on a line without an action, or that is shut
    u64 nr_refused        # handler processes that the host did not give
    # written by the handler process only
    u64 cpu               # CPU + 1 that runs the handlers
    u64 last_cpu
    u64 nr_unhandled      # interrupts whose every handler raised
    u64 counts[64]

cdef public struct global_irq:
    u64 owner             # CPU + 1 whose cli() keeps interrupts off everywhere, 0 = none
    u64 nr_errors         # the ERR line of /proc/interrupts
    u64 local_timer[64]   # written by the timer device

cdef irq_desc *irq_descs           # [NR_IRQS]
cdef irqaction *irq_actions        # [NR_ACTIONS]
cdef global_irq *global_irqs

cdef void recover(spinlock *lock) noexcept
cdef bint is_chained(u64 line, u32 entry) noexcept
cdef bint gate_is_open(u64 cpu) noexcept
cdef bint other_cpu_in_irq(u64 cpu) noexcept
cpdef void release_irqlock(u64 cpu) noexcept   # any process
