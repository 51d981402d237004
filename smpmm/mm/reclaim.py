"""Reclaim: how pages become free again (mm/vmscan.c and mm/oom_kill.c of 2.4.5).

- kswapd is a kernel thread. It is woken when a zone falls below its low mark, works until
  every zone is back at its high mark or nothing more is to be had, and wakes who waits for it.
- A task that may sleep and may start IO waits for kswapd; one without IO frees clean pages and
  free slabs itself.
- What can be had: pages of the buffer cache that nobody uses (dirty ones are written first,
  if IO is allowed) and free slabs of the caches that allow it.
- When kswapd frees nothing and every zone is below its min mark, the OOM killer ends the
  biggest task as SIGKILL does, and gives it the whole reserve to end with. What it allocated
  in the kernel stays, as in Linux: there a process gives back its own memory, and here it has
  none.

All state lies in RAM or in the segment: kswapd may die with its CPU and is started elsewhere.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from cpus import (
    event_cy,
    monitor,
    percpu_cy,
    runqueue_cy,
    sched,
    task_calls_cy,
    task_cy,
)
from smpmm.mm import (
    buffer_cy,
    buffer_io_cy,
    memmap,
    page_alloc_cy,
    page_cy,
    reclaim_cy,
    shrink_cy,
    slab_state_cy,
    zone_cy,
)

PAGE_SIZE: Final = 4096
NR_ZONES: Final = 3
PRIORITIES: Final = range(6, -1, -1)  # of a scan: 2**-priority of a list
PF_KTHREAD: Final = 0x1
PF_SIGNALED: Final = 0x2
PF_MEMALLOC: Final = 0x800
TASK_UNINTERRUPTIBLE: Final = 2
KERN_ERR: Final = 3

# What the page allocator asks for: RECLAIM_* of page_alloc_cy.
YIELD, LAUNDER, WAIT, DIRECT = range(4)

# Service threads, by their numbers in service_cy.
KSWAPD, BDFLUSH = range(2)

# bdflush: dirty buffers of all, in per cent, from which it writes; what it writes at a
# time; and the age at which a buffer is written anyway (2.4: nfract, ndirty, age_buffer).
BDFLUSH_PERCENT: Final = 30
BDFLUSH_BATCH: Final = 64
AGE_BUFFER_NS: Final = 30_000_000_000

_gfp_io = 0
_gfp_kswapd = 0


def regions(config: object) -> dict[str, int]:
    """Return the regions of the segment that this module needs: those of its compiled part."""
    return reclaim_cy.regions(config)


def attach(config: object) -> None:
    """Find the queues, and be what the page allocator asks when memory is short."""
    global _gfp_io, _gfp_kswapd
    core = memmap.memory_profile(config).core
    _gfp_io, _gfp_kswapd = core["IO"], core["KSWAPD"]
    reclaim_cy.attach(config)
    sched.services[KSWAPD] = "smpmm.mm.reclaim:kswapd"
    sched.services[BDFLUSH] = "smpmm.mm.reclaim:bdflush"
    page_alloc_cy.register_reclaim(on_shortage)


def init(config: object) -> None:
    """Format the queues of a fresh segment; the monitor."""
    reclaim_cy.init(config)


def on_start(machine: Any, config: object) -> None:
    """Have kswapd and bdflush started again when they have died; the monitor."""
    monitor.register_recovery("smpmm.mm.orphans:recover")
    monitor.register_recovery("smpmm.mm.reclaim:recover")


def recover(slot: int, kind: int, cpu: int) -> None:
    """Start the service threads that died with a CPU: a kernel task, after its burial."""
    for number, name in sched.services.items():
        sched.start_service(number, name)


def on_shortage(stage: int, gfp: int, order: int) -> int:
    """Do what the page allocator asks for; 0: nothing is to be had. May sleep."""
    if stage == YIELD:
        task_calls_cy.yield_()
        return 1
    if stage == LAUNDER:
        return try_to_free_pages(gfp, 1 << order)
    if reclaim_cy.kswapd_runs():
        if stage == DIRECT and try_to_free_pages(gfp, 1 << order):
            return 1
        reclaim_cy.wait_for_kswapd()
        return 1
    return try_to_free_pages(gfp, 1 << order)


def try_to_free_pages(gfp: int, wanted: int, kswapd: bool = False) -> int:
    """Free pages until no zone is short or `wanted` are free, at least; returns how many.

    With the IO bit dirty buffers are written. May sleep.
    """
    freed = scanned = 0
    io = bool(gfp & _gfp_io)
    for priority in PRIORITIES:
        task_calls_cy.cond_resched()
        counts = page_alloc_cy.vm_counters()
        nr = (counts["nr_active"] >> priority) + 1
        scanned += min(nr, counts["nr_active"])
        buffer_io_cy.refill_inactive(nr)
        nr = (page_alloc_cy.vm_counters()["nr_inactive_dirty"] >> priority) + 1
        scanned += min(nr, page_alloc_cy.vm_counters()["nr_inactive_dirty"])
        # The first rounds look for pages that are clean already.
        buffer_io_cy.launder(2 * nr, io and priority < PRIORITIES[0])
        freed += give_up_clean(max(wanted - freed, 0))
        if not short() and freed >= wanted:
            break
        freed += reap_slabs(gfp)
        if not short() and freed >= wanted:
            break
    reclaim_cy.count_reclaim(kswapd, scanned, freed)
    return freed


def give_up_clean(wanted: int) -> int:
    """Move clean pages of short zones to their buddy lists, and `wanted` of any zone."""
    freed = 0
    for index in reversed(range(NR_ZONES)):
        nr = max(reclaim_cy.shortage(index), wanted - freed)
        if nr > 0 and zone_cy.zone_info(index)["inactive_clean_pages"]:
            freed += buffer_cy.reclaim(index, nr)
    return freed


def reap_slabs(gfp: int) -> int:
    """Have the slab caches give back free slabs; returns the pages."""
    pages = shrink_cy.reap(gfp)
    reclaim_cy.count_slab_pages(pages)
    return pages


def short() -> bool:
    """Whether a zone is below its high mark."""
    return any(reclaim_cy.shortage(index) for index in range(NR_ZONES))


def below_min() -> bool:
    """Whether every zone that a kernel request may use is below its min mark."""
    zones = [zone_cy.zone_info(index) for index in range(2)]
    return all(z["free_pages"] <= z["pages_min"] for z in zones if z["present_pages"])


def kswapd() -> None:
    """Be the kernel thread that keeps the zones at their marks; never returns."""
    if not sched.become_service(KSWAPD):
        return
    task_cy.change_flags(task_cy.current_at(), PF_MEMALLOC, 0)
    while True:
        reclaim_cy.kswapd_sleep()
        freed = try_to_free_pages(_gfp_kswapd, 1, kswapd=True) if short() else 0
        if not freed and below_min():
            out_of_memory()
        reclaim_cy.kswapd_done(freed)


def bdflush() -> None:
    """Be the kernel thread that writes buffers when many are dirty, or old; never returns.

    It begins with the work: on this CPU it may begin because it was woken.
    """
    if not sched.become_service(BDFLUSH):
        return
    while True:
        total = page_alloc_cy.vm_counters()["nr_buffer_pages"]
        while buffer_cy.nr_dirty() * 100 > total * BDFLUSH_PERCENT:
            if not buffer_io_cy.write_dirty(BDFLUSH_BATCH, buffer_io_cy.uptime_ns()):
                break
        now = buffer_io_cy.uptime_ns()
        if now > AGE_BUFFER_NS:
            buffer_io_cy.write_dirty(BDFLUSH_BATCH, now - AGE_BUFFER_NS)
        dirty = buffer_cy.nr_dirty()
        reclaim_cy.bdflush_sleep(AGE_BUFFER_NS if dirty else 0)


def out_of_memory() -> None:
    """Choose the task that has most pages: it may use the whole reserve, and ends. May sleep.

    As in 2.4.5 a superuser's pages count a quarter. While a chosen one is on its way to its
    end, nobody else is chosen; one that sleeps uninterruptibly is not on its way.
    """
    tasks = reclaim_cy.user_tasks()
    chosen = [task for task in tasks if task["flags"] & PF_MEMALLOC]
    others = [task for task in tasks if not task["flags"] & PF_MEMALLOC]
    if others and all(task["state"] == TASK_UNINTERRUPTIBLE for task in chosen):
        owned = pages_by_pid()
        kill_for_memory(max(others, key=lambda task: badness(task, owned)))
    task_calls_cy.yield_()


def badness(task: dict[str, Any], owned: Counter[int]) -> float:
    """Return how much is won by ending a task (oom_kill.c): its pages."""
    pages = owned.get(task["pid"], 0)
    return pages if task["uid"] else pages / 4


def kill_for_memory(task: dict[str, Any]) -> None:
    """End a task, with the whole reserve at its disposal until then."""
    event_cy.log(f"Out of Memory: Killed process {task['pid']} ({task['name']}).", KERN_ERR)
    reclaim_cy.count_oom_kill()
    task_cy.change_flags(task["at"], PF_MEMALLOC, 0)
    runqueue_cy.signal_at(task["at"], True)
    percpu_cy.request_resched(task["cpu"])


def pages_by_pid() -> Counter[int]:
    """Count what each task has allocated, in pages: blocks of pages, and slab objects."""
    counts: Counter[int] = Counter()
    for _pfn, order, _site, pid in page_cy.allocated_pages():
        counts[pid] += 1 << order
    for item in slab_state_cy.allocated_objects():
        counts[item["pid"]] += item["objsize"] / PAGE_SIZE
    return counts
