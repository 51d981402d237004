"""A machine in which every task sleeps and nothing can wake one: found, told, by the monitor.

Who waits for a result asks now and then. The answer is a report when, twice in a row and
with nothing done in between, all of this is true:

- every CPU that lives is halted, with no task queued, no message, no softirq, no handler;
- no task has a time-out;
- no other layer has something under way that could wake one (`busy_hooks`: timers, task
  queues, devices);
- nobody else uses the machine, and the one who asks says that he does nothing meanwhile.

Nothing is ended by it: the tasks sleep on, and what wakes one later is welcome.
"""

from collections.abc import Callable
from typing import Any, Final

from cpus import callsite_cy, event_cy, lockstat_cy, percpu_cy, relay, sleeplock_cy, task_cy

CPU_ONLINE: Final = 1
TASK_INTERRUPTIBLE: Final = 1
TASK_UNINTERRUPTIBLE: Final = 2
PF_KTHREAD: Final = 0x1
KERN_ALERT: Final = 1
TITLE: Final = "BUG: deadlock detected: every task sleeps, and nothing can wake one"

# Called without arguments, in the monitor: whether a layer may still wake a task by itself.
busy_hooks: list[Callable[[], bool]] = []

Signature = tuple[int, ...]
_last: Signature = ()
_told: Signature = ()


def question(switchboard: "relay.Relay", args: Any) -> str | None:
    """Answer the query "asleep": a report, or None while something may still happen."""
    global _last, _told
    seen = look(switchboard)
    if seen is None or seen != _last:
        _last = seen or ()
        return None
    text = report()
    if seen != _told:
        _told = seen
        event_cy.log(text, KERN_ALERT)
    return text


def look(switchboard: "relay.Relay") -> Signature | None:
    """Return what would have changed if anything ran; None when something can still run."""
    machine = switchboard.machine
    if len(switchboard.clients) != 1 or not switchboard.requests:
        return None
    infos = [percpu_cy.cpu_info(cpu) for cpu in machine.cpus]
    if any(is_busy(info) for info in infos) or any(hook() for hook in busy_hooks):
        return None
    if any(child.outbox for child in machine.children.values()):
        return None
    tasks = task_cy.all_tasks()
    if any(not sleeps(task) for task in tasks):
        return None
    if not any(not task["flags"] & PF_KTHREAD for task in tasks):
        return None
    return (*(info["nr_switches"] for info in infos), switchboard.nr_requests)


def is_busy(info: dict[str, int]) -> bool:
    """Whether a CPU runs something, or is about to."""
    return (
        info["state"] != CPU_ONLINE
        or not info["halted"]
        or bool(
            info["pending"]
            or info["softirq_pending"]
            or info["nr_messages"]
            or info["nr_queued"]
            or info["current"]
        )
    )


def sleeps(task: dict[str, Any]) -> bool:
    """Whether a task sleeps without a time-out."""
    return (
        task["state"] in (TASK_INTERRUPTIBLE, TASK_UNINTERRUPTIBLE)
        and not task["on_rq"]
        and not task["wake_ns"]
    )


def report() -> str:
    """Name every sleeper, where it sleeps, what it waits for, and who holds that."""
    names = lockstat_cy.class_names()
    tasks = [task for task in task_cy.all_tasks() if not task["flags"] & PF_KTHREAD]
    lines = [f" {sleeper_text(task, names)}" for task in sorted(tasks, key=_pid)]
    return "\n".join([TITLE, *lines, "[Deadlock; Linux 2.4 here: they sleep for ever]"])


def _pid(task: dict[str, Any]) -> int:
    return task["pid"]


def sleeper_text(task: dict[str, Any], names: list[tuple[str, str]]) -> str:
    """Describe one sleeper."""
    text = f"task {task['name']}/{task['pid']} on CPU {task['cpu']} sleeps"
    if task["waiting_site"]:
        text += f" at {callsite_cy.site_text(task['waiting_site'])}"
    lock = task["waiting_for"]
    if not lock:
        return text + (" on a wait queue" if task["wait_queue"] else ", on no queue")
    _, class_, site = sleeplock_cy.sleeping_lock_words(lock)
    text += f" for {names[class_][0] if class_ < len(names) else '?'}"
    holder = sleeplock_cy.holder_pid(lock)
    if holder:
        return f"{text}, held by task {holder}, taken at {callsite_cy.site_text(site)}"
    if site:
        return f"{text}, last taken at {callsite_cy.site_text(site)} by a task that has ended"
    return f"{text}, which nobody holds"


relay.register_query("asleep", question)
