"""Reports of broken rules: the kernel's text, then what that version would have done.

A breach is reported outside of any kernel call, in the context that broke the rule. With
on_bug='raise' its exception is raised there and the call is refused. With 'continue' the
machine does what Linux does, which the `ending` of the report says:

    WARN   the report is all; the call goes on
    OOPS   the context is lost: a task ends with the exception, an interrupt means panic
    HANG   Linux would stand still for ever: the machine ends

The text follows Linux's own layout: title, locks held, context, call trace.
"""

import traceback
from collections.abc import Callable
from types import MappingProxyType
from typing import NoReturn

from cpus import callsite_cy, context_cy, event_cy, percpu_cy, segment_cy
from cpus.errors import BadLock, Deadlock, KernelBug, KernelPanic, Oops, SleepingInAtomic

WARN = "warn"
OOPS = "oops"
HANG = "hang"

KERN_EMERG, KERN_ALERT, KERN_ERR, KERN_WARNING = 0, 1, 3, 4
EVENT_BUG = 3
KIND_HANDLER = 2

# Frames of smpmm itself end the trace of a workload: (file endings).
_OWN_FRAMES = (
    "cpus/bug.py",
    "cpus/monitor.py",
    "cpus/sched.py",
    "cpus/worker.py",
    "interrupts/callbacks.py",
    "interrupts/guard.py",
    "interrupts/handler.py",
    "interrupts/setup.py",
    "interrupts/softirq.py",
    "smpmm/boot.py",
    "smpmm/boot_phase.py",
    "smpmm/mm/bootmem_calls.py",
    "smpmm/mm/page_bug.py",
    "smpmm/mm/slab_corruption.py",
    "smpmm/mm/slab_report.py",
    "smpmm/mm/vm_report.py",
    "smpmm/printk.py",
    "<string>",
)

# What 2.4 itself says of these in an interrupt, or where bottom halves are off.
_IN_INTERRUPT = MappingProxyType(
    {
        "kmem_cache_create": "kernel BUG at slab.c, in interrupt",
        "kmem_cache_destroy": "kernel BUG at slab.c, in interrupt",
        "kmem_cache_shrink": "kernel BUG at slab.c, in interrupt",
        "kmap": "kernel BUG at highmem.h, in interrupt",
        "schedule": "Scheduling in interrupt, kernel BUG at sched.c",
        "schedule_timeout": "Scheduling in interrupt, kernel BUG at sched.c",
        "tasklet_kill": "Attempt to kill tasklet from interrupt",
    }
)


_SCHEDULERS = frozenset(("schedule", "schedule_timeout", "yield"))


def _describe_idle() -> tuple[str, int]:
    return "swapper", 0


def _describe_nothing(address: int) -> list[str]:
    return []


_describe_task: Callable[[], tuple[str, int]] = _describe_idle
_panic: Callable[[str], None] | None = None
_describe_address: Callable[[int], list[str]] = _describe_nothing


def register(
    describe_task: Callable[[], tuple[str, int]] | None = None,
    panic: Callable[[str], None] | None = None,
    describe_address: Callable[[int], list[str]] | None = None,
) -> None:
    """Register how to name the running task (comm, pid), how to end the machine, and what is
    known of an address at which nothing is mapped."""
    global _describe_task, _panic, _describe_address
    _describe_task = describe_task or _describe_task
    _panic = panic or _panic
    _describe_address = describe_address or _describe_address


def context_line() -> str:
    """Return who this context is: CPU, task, kind of context, process, interrupt flag."""
    comm, pid = _describe_task()
    info = percpu_cy.cpu_info(percpu_cy.own_cpu())
    count = info["preempt_count"]
    kind = "hardirq" if count & 0xFFF0000 else "softirq" if count & 0xFF00 else "task"
    where = percpu_cy.slot_info(percpu_cy.own_slot())["name"]
    return (
        f"CPU: {info['cpu']} PID: {pid} Comm: {comm}  context: {kind}, process {where}, "
        f"preempt_count {count:#x}, irqs {'off' if info['irqs_off'] else 'on'}"
    )


def held_lock_lines(slot: int) -> list[str]:
    """Return a line for each lock that the process of `slot` holds, oldest first."""
    from cpus import deadlock as words

    return words.held_lines(slot)


def call_trace(skip: int = 0) -> list[str]:
    """Return the Python stack of the caller, innermost first, without smpmm's own frames."""
    frames = [f for f in traceback.extract_stack() if not f.filename.endswith(_OWN_FRAMES)]
    frames = [f for f in frames if "/dill/" not in f.filename]
    if skip:
        frames = frames[:-skip]
    return [
        f" {f.name} ({f.filename.rpartition('/')[2]}:{f.lineno})" for f in reversed(frames)
    ]


def address_lines(address: int) -> list[str]:
    """Return what is known of an address that is not direct-mapped, for a report."""
    return _describe_address(address)


def report_text(title: list[str], extra: list[str]) -> str:
    """Put a report together: title, held locks, context, own lines, trace."""
    slot = percpu_cy.own_slot()
    comm, pid = _describe_task()
    held = held_lock_lines(slot)
    lines = list(title)
    if held:
        lines += [f"{len(held)} lock{'s' * (len(held) > 1)} held by {comm}/{pid}:", *held]
    lines += [context_line(), *extra, "Call Trace:", *call_trace(), *interrupted_lines(slot)]
    return "\n".join(lines)


def interrupted_lines(slot: int) -> list[str]:
    """Describe what the interrupt that `slot` serves interrupted, down to the task.

    The stack of a process that runs outside of the kernel is not known.
    """
    lines = []
    seen = {slot + 1}  # two CPUs may have interrupted each other
    below = percpu_cy.slot_info(slot)["interrupted"]
    while below and below not in seen:
        seen.add(below)
        info = percpu_cy.slot_info(below - 1)
        held = held_lock_lines(below - 1)
        lines.append(f"interrupted: {info['name']} (pid {info['pid']}) on CPU {info['cpu']}")
        if held:
            lines += [f" {len(held)} lock{'s' * (len(held) > 1)} held there:", *held]
        lines += [f" {callsite_cy.site_text(site)}" for site in info["stack"] if site]
        below = info["interrupted"]
    return lines


def report(
    error: type[KernelBug],
    title: str,
    *,
    linux: str,
    ending: str = OOPS,
    extra: list[str] | None = None,
) -> None:
    """Report a breach; raises `error` unless on_bug='continue' and Linux would go on.

    `title` may have several lines: the kernel's own text. `linux` says what this kernel
    version itself would have done. Any context, outside of any kernel call.
    """
    text = report_text(title.split("\n"), extra or [])
    text += f"\n[{error.__name__}; Linux 2.4 here: {linux}]"
    event_cy.log(text, KERN_ALERT)
    event_cy.event(EVENT_BUG, 0, 0, 0, callsite_cy.here())
    summary = title.split("\n")[0]
    if segment_cy.on_bug_continue():
        if ending == WARN:
            return
        if ending == HANG or context_cy.in_interrupt():
            panic("Aiee, killing interrupt handler!" if ending == OOPS else summary)
    raise error(summary, text)


def panic(text: str) -> NoReturn:
    """End the machine: `Kernel panic: TEXT` in the log, every CPU stops. Any context.

    Does not return; raises KernelPanic where there is no machine, in a test of one process.
    """
    event_cy.log(f"Kernel panic: {text}", KERN_EMERG)
    if _panic is not None:
        _panic(text)
    raise KernelPanic(f"Kernel panic: {text}", f"Kernel panic: {text}")


def breach(kind: str, what: str) -> None:
    """Report what the compiled preemption point met: the hook of percpu_cy."""
    if kind == "sleeping":
        sleeping(what)


def sleeping(what: str) -> None:
    """Report a call that may sleep in a context that must not."""
    comm, pid = _describe_task()
    info = percpu_cy.cpu_info(percpu_cy.own_cpu())
    linux = _IN_INTERRUPT.get(what) if info["preempt_count"] & 0xFFFFF00 else None
    trace = call_trace()
    where = trace[0].strip() if trace else "?"
    count = info["preempt_count"]
    text = (
        f"BUG: sleeping function called from invalid context at {where}: {what}\n"
        f"in_atomic(): {int(count != 0)}, "
        f"irqs_disabled(): {int(info['irqs_off'] != 0)}, pid: {pid}, name: {comm}\n"
        f"preempt_count: {count:x}, expected: 0"
    )
    if count and what in _SCHEDULERS:  # the scheduler itself asks no might_sleep()
        text = f"BUG: scheduling while atomic: {comm}/{pid}/0x{count:08x}"
    report(
        SleepingInAtomic,
        text,
        linux=linux
        or "no check until it really sleeps: schedule() in an interrupt is a BUG, "
        "under a spinlock the machine may hang",
        ending=WARN,
    )


def lock_line(address: int, word: int) -> str:
    """Describe a lock as SPINLOCK_DEBUG does: address, class, magic, owner and its CPU."""
    from cpus import lockstat

    slot = (word & 0xFF) - 1
    owner, cpu = "<none>/-1", -1
    if slot >= 0:
        info = percpu_cy.slot_info(slot)
        owner, cpu = f"{info['name']}/{info['pid']}", info["cpu"]
    return (
        f" lock: {address:08x} ({lockstat.lock_name_at(address)}), .magic: 5eed, "
        f".owner: {owner}, .owner_cpu: {cpu}"
    )


def owner_lines(word: int) -> list[str]:
    """Return who holds a lock whose word is `word`, what else it holds, where it waits."""
    from cpus import deadlock as words

    slot = (word & 0xFF) - 1
    if slot < 0:
        return ["owner: nobody"]
    first, *rest = words.process_lines(slot)
    return [f"owner: {first}", *rest]


def deadlock(call: str, address: int) -> None:
    """Report a wait that closes a cycle: each process in it, what it holds, where it waits."""
    from cpus import deadlock as words
    from cpus import deadlock_cy, lock_cy

    comm, pid = _describe_task()
    cpu = percpu_cy.own_cpu()
    edges = deadlock_cy.cycle()
    lock = lock_line(address, lock_cy.lock_words(address)[0])
    if len(edges) == 1:
        title = f"BUG: spinlock recursion on CPU#{cpu}, {comm}/{pid}\n{lock}"
        linux = "the CPU spins for ever"
    else:
        title = f"BUG: deadlock detected on CPU#{cpu}, {comm}/{pid}\n{lock}"
        linux = "the CPUs in the cycle spin for ever"
    extra = [f"{comm}/{pid} is trying to acquire lock in {call}; the cycle:"]
    extra += [f" {words.describe(edge)}" for edge in edges]
    for slot, _, _ in edges[1:]:
        extra += words.process_lines(slot)
    report(Deadlock, title, linux=linux, ending=HANG, extra=extra)


def too_many_locks(call: str, address: int) -> None:
    """Report a read side that cannot be noted: this process holds too many locks."""
    report(
        BadLock,
        f"BUG: MAX_LOCK_DEPTH too low!\n{call}: {address:08x}, depth: 48  max: 48!",
        linux="only a build with LOCKDEP notices",
        ending=OOPS,
    )


def not_a_lock(call: str, address: int, magic: int) -> None:
    """Report a lock call on memory that holds no initialised lock."""
    if not address:
        bad_address(call, address)
        return
    comm, pid = _describe_task()
    report(
        BadLock,
        f"BUG: spinlock bad magic on CPU#{percpu_cy.own_cpu()}, {comm}/{pid}\n"
        f" lock: {address:08x}, .magic: {magic:04x} in {call}: never initialised, "
        "or overwritten",
        linux="only a build with SPINLOCK_DEBUG notices",
        ending=OOPS,
    )


def bad_unlock(call: str, address: int, word: int) -> None:
    """Report an unlock of a free lock or of somebody else's."""
    comm, pid = _describe_task()
    what = "already unlocked" if word == 0 else "wrong owner"
    report(
        BadLock,
        f"BUG: spinlock {what} on CPU#{percpu_cy.own_cpu()}, {comm}/{pid}\n"
        f"{lock_line(address, word)}, in {call}",
        linux="the lock becomes free whoever holds it",
        ending=WARN,
        extra=owner_lines(word) if word else [],
    )


def bad_address(call: str, address: int) -> None:
    """Report an access to an address at which there is no memory: an oops."""
    from cpus.errors import NullDereference

    if address < 4096:
        report(
            NullDereference,
            "Unable to handle kernel NULL pointer dereference at virtual address "
            f"{address:08x}\n{call}",
            linux="oops: the task is killed",
        )
    else:
        report(
            Oops,
            f"Unable to handle kernel paging request at virtual address {address:08x}\n{call}",
            linux="oops: the task is killed",
            extra=address_lines(address),
        )


def left_locked(what: str) -> None:
    """Report a context that ends with spinlocks held; the caller gives them back."""
    report(
        BadLock,
        f"BUG: lock held when returning to user space!\n{what}",
        linux="the lock stays taken: the next who wants it spins for ever",
        ending=WARN,
    )
