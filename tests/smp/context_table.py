"""Every name of smpmm.kernel against every context: what Linux 2.4.5 says, as data.

A row has a name, how to call it, and the outcome in each of six contexts:

    task      a task, nothing held                  spinlock  a task that holds a spinlock
    bh_off    a task after local_bh_disable         irqs_off  a task after local_irq_disable
    tasklet   a tasklet's function                  hardirq   an interrupt handler

    ok         the call does its work
    sleep      SleepingInAtomic, whatever the call would have found: might_sleep is at its head
    said       SleepingInAtomic, and the report says that 2.4 itself looks: it contains `text`
    bug        another KernelBug: the class is `error`, its report contains `text`
    unchecked  Linux forbids it and does not look: ok or a KernelBug, but never a hang
    panic      the machine ends; such a row needs one of its own

The contexts are entered with locks and lines of the test's own. In 2.4 in_interrupt() is true
also where only bottom halves are off: calls that say BUG for it do so in bh_off too.

The rows of an area stand in its file, `context_memory` and so on; this one has them all, and
what is asked of them. `context_row` says what a row is.

How to run a row. In a task `prepare(env)` and `row.before(env)`; the harness has set
`env.user`, a user address of 64 bytes or more, `env.irq` and `env.spare_irq`, two lines
without a handler, and a helper task wakes `env.queue` on every tick. Then, in the context,
`row.call(env)`; if it returned, in a task `row.undo(env, result)`. In the end `tidy(env)`. A
refused call leaves what it would have freed to `tidy`. `leaves` names what the call changes in
its context ("irqs on"), to be put right by the harness.

With `names = smpmm.kernel.__all__`: `missing(names)` has no row and must be empty,
`cases(names)` are the calls to make, `unexported(names)` has rows but is not offered. A name
without its leading underscores has the rows of the one with them; constants are told by their
names. Sources: linux-facts 3.6, 5, 7 and the sources of 2.4; nothing was read off this code.
"""

import errno
from collections.abc import Iterable, Iterator

from tests.smp.context_drivers import DEFERRED, DEVICES, INTERRUPTS, SWITCHES, TASKS
from tests.smp.context_locks import SLEEPING_LOCKS, SPINLOCKS, WAITING
from tests.smp.context_memory import ACCESS, BIGPHYSAREA, BOOT, KMALLOC, PAGES, SLAB, VMALLOC
from tests.smp.context_row import CONTEXTS, NOT_YET, Row, Version
from tests.smp.context_words import ATOMICS, LISTS

TYPES = tuple(
    Row(name, (), kind="type")
    for name in (
        "KStruct file_operations vm_operations_struct u8 u16 u32 u64 s8 s16 s32 s64 ptr"
        " spinlock_t rwlock_t"
        " semaphore rw_semaphore wait_queue_head_t completion atomic_t list_head"
        " tasklet_struct timer_list tq_struct"
    ).split()
)

DECLARATIONS = tuple(
    Row(name, (), kind="declaration")
    for name in (
        "module_init module_exit MODULE_PARM MOD_INC_USE_COUNT MOD_DEC_USE_COUNT"
    ).split()
)

ROWS: tuple[Row, ...] = (
    *KMALLOC,
    *SLAB,
    *PAGES,
    *VMALLOC,
    *BIGPHYSAREA,
    *BOOT,
    *ACCESS,
    *SPINLOCKS,
    *SLEEPING_LOCKS,
    *WAITING,
    *ATOMICS,
    *LISTS,
    *SWITCHES,
    *TASKS,
    *INTERRUPTS,
    *DEFERRED,
    *DEVICES,
    *TYPES,
    *DECLARATIONS,
)

# What the predicates answer, in the order of CONTEXTS; in 2.4 a count of disabled bottom
# halves is a softirq, and a held spinlock is atomic because the model counts it. The handler
# is one without SA_INTERRUPT, which runs with interrupts on.
ANSWERS = (
    ("in_interrupt", (False, True, False, False, True, True)),
    ("in_irq", (False, False, False, False, False, True)),
    ("in_softirq", (False, True, False, False, True, False)),
    ("in_atomic", (False, True, True, False, True, True)),
    ("irqs_disabled", (False, False, False, True, False, False)),
)

# Constants need no row each: they are told by their names.
VALUE_PREFIXES = tuple(
    "GFP_ __GFP_ SLAB_ SA_ TASK_ O_ SEEK_ FMODE_ VERIFY_ KM_ CAP_ KERN_ PAGE_ VMALLOC_ MAX_"
    " VM_ NOPAGE_"
    " KMALLOC_".split()
)
VALUES = tuple(
    "HZ NR_CPUS THIS_MODULE tq_timer tq_immediate tq_disk IMMEDIATE_BH TIMER_BH"
    " LINUX_VERSION_CODE L1_CACHE_BYTES SMP_CACHE_BYTES BITS_PER_LONG"
    " _IOC_NONE _IOC_READ _IOC_WRITE".split()
)
KERNEL_ERRORS = tuple("ERESTARTSYS ERESTARTNOINTR ERESTARTNOHAND ENOIOCTLCMD ENOTSUPP".split())


def is_constant(name: str) -> bool:
    """Tell whether a name is that of a number, a module or a queue, not of a call."""
    return name in (*VALUES, *KERNEL_ERRORS, *dir(errno)) or name.startswith(VALUE_PREFIXES)


def rows_of(name: str) -> tuple[Row, ...]:
    """Return the rows of a name, none if the table knows nothing about it."""
    for spelling in (name, f"_{name}", f"__{name}"):
        found = tuple(row for row in ROWS if row.name == spelling)
        if found:
            return found
    return (Row(name, (), kind="value"),) if is_constant(name) else ()


def missing(names: Iterable[str]) -> list[str]:
    """Return those of the kernel's names that have no row."""
    return [name for name in names if not rows_of(name)]


def unexported(names: Iterable[str], version: Version = (2, 4, 5)) -> list[str]:
    """Return the names of rows of this version that are not among the kernel's."""
    offered = set(names)
    rows = [row.name for row in ROWS if row.since <= version < row.until]
    return [name for name in dict.fromkeys(rows) if name not in offered]


def cases(
    names: Iterable[str], version: Version = (2, 4, 5)
) -> Iterator[tuple[Row, str, str]]:
    """Yield row, context and outcome of all calls among the kernel's names."""
    offered = set(names) - NOT_YET
    for row in ROWS:
        if row.kind == "call" and row.name in offered and row.since <= version < row.until:
            for context, outcome in zip(CONTEXTS, row.outcomes, strict=True):
                yield row, context, outcome
