"""Reports about sleeping locks: who sleeps for what, and why a sleep was refused."""

from cpus import bug, callsite_cy, lockstat_cy, percpu_cy
from cpus.errors import BadLock, Deadlock, SleepingInAtomic

CYCLE = 2
NO_TASK = 3


def bad_lock(call: str, address: int) -> None:
    """Report a call on memory that holds no initialised sleeping lock or queue."""
    from cpus import sleeplock_cy

    magic = sleeplock_cy.lock_magic(address)
    if magic < 0 or address < 4096:
        bug.bad_address(call, address)
        return
    bug.report(
        BadLock,
        f"BUG: {call}: {address:#010x} is not initialised, or overwritten",
        linux="waits or wakes by whatever lies there",
        ending=bug.OOPS,
    )


def refuse(call: str, address: int, result: int) -> None:
    """Report a sleeping lock not taken: no lock there, a cycle, or nobody to sleep."""
    if result == CYCLE:
        deadlock(call, address)
    elif result == NO_TASK:
        no_task(call)
    else:
        bad_lock(call, address)


def no_task(call: str) -> None:
    """Report a sleep where no task runs: an interrupt, or the idle CPU."""
    bug.report(
        SleepingInAtomic,
        f"Scheduling in interrupt: {call} on CPU#{percpu_cy.own_cpu()}",
        linux="BUG in schedule(): the machine panics",
        ending=bug.HANG,
    )


def lock_text(lock: int) -> str:
    """Name a sleeping lock (native address) by its class, and where it was taken."""
    from cpus import sleeplock_cy

    _, class_, site = sleeplock_cy.sleeping_lock_words(lock)
    names = lockstat_cy.class_names()
    name = names[class_][0] if class_ < len(names) else "?"
    return f"{name}, taken at {callsite_cy.site_text(site)}"


def cycle_lines(lock: int, pid: int) -> list[str]:
    """Describe the cycle that task `pid` would close by a wait for `lock` (native)."""
    from cpus import sleeplock_cy, task_cy

    by_pid = {task["pid"]: task for task in task_cy.all_tasks()}
    lines = []
    at = pid
    while lock:
        holder = sleeplock_cy.holder_pid(lock)
        lines.append(f" task {at} waits for {lock_text(lock)}, held by task {holder}")
        if holder in (0, pid) or len(lines) > len(by_pid):
            break
        at = holder
        lock = by_pid[holder]["waiting_for"] if holder in by_pid else 0
    return lines


def deadlock(call: str, address: int) -> None:
    """Report a sleep that closes a cycle of tasks."""
    from cpus import segment_cy, task_cy

    name, pid = task_cy.describe_current()
    lock = segment_cy.native_address(address)
    bug.report(
        Deadlock,
        f"BUG: deadlock detected: task {name}/{pid} in {call}({address:#010x})",
        linux="the tasks in the cycle sleep for ever",
        ending=bug.HANG,
        extra=["the cycle:", *cycle_lines(lock, pid)],
    )
