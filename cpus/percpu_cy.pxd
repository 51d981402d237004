"""A processor: its per-CPU area, the process that is it now, and the preemption point."""

from cpus.atomic cimport (
    atomic64_load, atomic64_store_release, gate_publish, s32, u8, u16, u32, u64, unlikely,
)
from cpus.segment_cy cimport NR_CPUS, NR_SLOTS

cdef enum:
    # cpu_area.pending: the low 16 bits count the handlers that want or have this CPU
    PENDING_HANDLERS = 0xffff
    PENDING_SOFTIRQ = 1 << 16      # a softirq is raised
    PENDING_RESCHED = 1 << 17      # the running task must give way (need_resched)
    PENDING_STOP = 1 << 18         # the machine is powered off

    RUNNER_SLOT = 0xffff           # cpu_area.runner: slot + 1; above it the change's number
    COUNT_MOVING = 0x8000          # process_slot.counted_cpu: is just being counted in or out

    # preempt_count, the layout of 2.6
    PREEMPT_OFFSET = 1
    PREEMPT_MASK = 0xff
    SOFTIRQ_OFFSET = 0x100
    SOFTIRQ_MASK = 0xff00
    HARDIRQ_OFFSET = 0x10000
    HARDIRQ_MASK = 0xfff0000

    HELD_LOCKS = 48

    SPINS = 300            # turns of a wait before it sleeps on a futex
    WAIT_NS = 1000000      # longest sleep of a wait before it looks again

    SLOT_FREE = 0
    SLOT_LIVE = 1
    SLOT_DEAD = 2

    KIND_MONITOR = 0
    KIND_CPU = 1
    KIND_HANDLER = 2
    KIND_DEVICE = 3

    CPU_OFFLINE = 0
    CPU_ONLINE = 1
    CPU_DEAD = 2

cdef public struct held_lock:
    u64 lock              # native address of the lock word's struct
    u32 site              # where it was taken
    u32 flags             # 0 a spinlock, else the side of an rwlock: 1 read, 2 write
    u64 taken             # clock_ticks() when it was taken, if this section is timed, else 0

cdef public struct process_slot:
    # the gate: written by the process itself, read by handlers (pairs with cpu_area.pending)
    u64 inside            # 1 while this process is inside a kernel call
    u64 interrupted       # slot + 1 that this process pushed aside in `runner`, 0 = none
    u64 counted_cpu       # cpu + 1 in whose `pending` it is counted (COUNT_*), 0 = none
    u64 saved_preempt     # preempt_count + 1 of the context that it interrupted, 0 = none
    # what the process waits for and holds: read by deadlock search, reports, recovery
    u64 waiting_lock      # native address of the lock that it waits for
    u64 parked            # native address of the futex word that it sleeps on
    u32 waiting_site
    u32 waiting_flags     # which side it wants, as held_lock.flags
    u32 nr_held
    u32 nr_stack
    u64 wait_seq          # waits ever begun: a deadlock search compares it
    u64 waiting_since     # clock_ns() at which the wait began
    held_lock held[48]
    u32 stack[16]         # call sites when it began to park, innermost first
    # written by the monitor
    u32 state             # SLOT_*
    u32 generation
    u32 pid               # the host's
    u32 kind              # KIND_*
    u32 cpu               # whose own process it is (KIND_CPU), else the CPU it last was
    u32 schedstat_fd      # in every process the same number: /proc/<pid>/schedstat; 0 = none
    char name[24]

cdef public struct cpu_area:
    # any process, by atomic operations
    u64 pending
    u64 runner            # & RUNNER_SLOT: slot + 1 of who is this CPU now, 0 = none
    u64 halted            # 1 while the CPU's own process waits on its semaphore
    u64 softirq_pending   # bit per softirq; only its CPU sets and clears
    u64 requested_ns      # machine_ns() of the oldest unserved request; the nudge reads it
    u64 nr_messages       # waiting in the CPU's control pipe
    u64 nr_queued         # tasks on its run queue
    u64 lock_stats        # native address of this CPU's lock_stat[NR_CLASSES]; constant
    # only the process that is this CPU (`runner`), inside a call
    u64 irqs_off
    u64 preempt_count
    u64 current           # native address of the task_struct that runs, 0 = idle
    u64 event_head        # records ever written to this CPU's event ring
    u64 nr_calls_interrupted
    u64 nr_switches
    u64 state             # CPU_*; written by the monitor and by boot
    u64 number

cdef cpu_area *cpu_areas           # [NR_CPUS]
cdef process_slot *process_slots   # [NR_SLOTS]
cdef cpu_area *this_cpu            # the CPU that this process is, or was last
cdef process_slot *this_process
cdef u32 this_owner                # the lock word of a lock that this process holds
# Index of this_process + 1: the number in `runner` and in lock words.
cdef u64 this_slot
# What `pending` may show without this process taking the slow path.
cdef u64 pending_ignored

# Inside a long call or a lock wait: stand still while a handler wants this CPU and interrupts
# are on. Serves nothing else. The caller may find per-CPU state changed.
cdef void stand_still_point() noexcept

# Enter a kernel call: publish it, then pass the preemption point. On an exception `inside`
# is 0.
cdef inline int enter() except -1:
    return enter_as(this_cpu, this_process)

# For calls that keep both in registers: neither changes while a process is inside.
cdef inline int enter_as(cpu_area *cpu, process_slot *me) except -1:
    gate_publish(&me.inside)              # pairs with the addition in gate_cy
    if unlikely(atomic64_load(&cpu.pending) != pending_ignored):
        return slow_path()
    return 0

# Enter without serving softirqs or the scheduler: never raises.
cdef inline void enter_quietly() noexcept:
    gate_publish(&this_process.inside)
    stand_still_point()

# The same at the head of a call that may sleep: raises SleepingInAtomic (on_bug='raise') when
# the context forbids it; `what` is the callee's name for the report.
cdef inline int enter_sleeping(const char *what) except -1:
    cdef cpu_area *cpu = this_cpu
    enter_as(cpu, this_process)
    if unlikely((cpu.preempt_count | cpu.irqs_off) != 0):
        return sleeping_breach(what)
    return 0

# Leave a kernel call and wake who waits for it. Never raises: what it meets, the next enter
# raises. The store may still be under way when the load is done: a handler that waits for
# `inside` looks again after a millisecond.
cdef inline void leave() noexcept:
    leave_as(this_cpu, this_process)

cdef inline void leave_as(cpu_area *cpu, process_slot *me) noexcept:
    atomic64_store_release(&me.inside, 0)
    if unlikely((atomic64_load(&cpu.pending) ^ pending_ignored) & PENDING_HANDLERS):
        wake_handlers()

# Leave for a call out to Python from inside a call, and come back.
cdef void call_out() noexcept
cdef int come_back() except -1

# Inside a call; irq_restore passes a safe point.
cdef inline u64 irq_save() noexcept:
    cdef cpu_area *cpu = this_cpu
    cdef u64 flags = cpu.irqs_off
    cpu.irqs_off = 1
    return flags

cdef inline void irq_restore(u64 flags) noexcept:
    cdef cpu_area *cpu = this_cpu
    atomic64_store_release(&cpu.irqs_off, flags)
    # From here on a handler that waited may have the CPU, and have set the word again: whoever
    # is counted, stand still.
    if flags == 0 and unlikely(
        ((atomic64_load(&cpu.pending) ^ pending_ignored) & PENDING_HANDLERS) != 0
    ):
        stand_still()

cdef bint may_sleep_here() noexcept        # inside a call: not atomic, interrupts on
cdef bint in_task() noexcept               # this process is its CPU, no interrupt, has a task
cdef void set_pending(cpu_area *cpu, u64 bits) noexcept   # and wake the CPU if it is halted
cdef void wake_cpu(cpu_area *cpu) noexcept                # post its semaphore if it is halted
cdef void raise_softirq_pending(u64 nr) noexcept          # on this CPU, inside a call

# A lock word: process slot + 1 in bits 0-7, its generation in bits 8-30, bit 31 = someone is
# parked.
cdef process_slot *owner_slot(u32 word) noexcept # NULL: nobody, or a process that is gone
cdef bint owner_dead(u32 word) noexcept

# The value of `runner` that follows `word`: `slot` (+ 1), and the next number.
cdef inline u64 runner_word(u64 word, u64 slot) noexcept:
    return ((word >> 16) + 1) << 16 | slot

# Inside a call: whether a handler has or wants the CPU and may; give it, until it is through.
cdef bint must_stand_still() noexcept
cdef void stand_still() noexcept

# What the inline functions above fall back on.
cdef int slow_path() except -1
cdef int sleeping_breach(const char *what) except -1
cdef void wake_handlers() noexcept
