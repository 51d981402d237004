"""Sleeping and waking of the reclaim (mm/vmscan.c of 2.4: wakeup_kswapd and its two queues).

The policy, which pages are freed in which order, is in reclaim.py.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import (
    atomic64_fetch_add,
    atomic64_fetch_and,
    atomic64_fetch_or,
    atomic64_load,
    atomic64_store,
    atomic64_xchg,
)
from cython.cimports.cpus.event_cy import EVENT_RECLAIM, trace_event
from cython.cimports.cpus.percpu_cy import enter, enter_sleeping, leave
from cython.cimports.cpus.runqueue_cy import schedule_inside
from cython.cimports.cpus.task_cy import (
    NR_TASKS,
    PF_KTHREAD,
    PF_PARKED,
    TASK_FREE,
    TASK_INTERRUPTIBLE,
    TASK_UNINTERRUPTIBLE,
    current_task,
    task_struct,
    tasks,
)
from cython.cimports.cpus.waitqueue_cy import (
    finish_wait,
    finish_wait_outside,
    init_wait_queue,
    prepare_to_wait,
    wait_queue_class,
    wake_up_queue,
)
from cython.cimports.smpmm.mm import buffer_cy, page_alloc_cy
from cython.cimports.smpmm.mm.page_alloc_cy import vm, wakeup_kswapd
from cython.cimports.smpmm.mm.zone_cy import zone_at

# A waiter looks again after this long: kswapd may have died with its CPU.
WAIT_NS = 200000000


def regions(config: object) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {"reclaim": cython.sizeof(reclaim_state)}


def attach(config: object) -> None:
    """Find the queues in the attached segment, and be what the page allocator wakes."""
    global state
    state = cython.cast(cython.pointer[reclaim_state], segment_cy.region_at(b"reclaim"))
    page_alloc_cy.wake_kswapd_thread = wake_kswapd
    buffer_cy.wake_bdflush = wake_bdflush


def init(config: object) -> None:
    """Format the queues of a fresh segment; the monitor."""
    init_wait_queue(cython.address(state.kswapd_wait), wait_queue_class(b"kswapd_wait.lock"))
    init_wait_queue(cython.address(state.kswapd_done), wait_queue_class(b"kswapd_done.lock"))
    init_wait_queue(cython.address(state.bdflush_wait), wait_queue_class(b"bdflush_wait.lock"))


def wake_kswapd():
    wake_up_queue(cython.address(state.kswapd_wait), 0)


def wake_bdflush():
    wake_up_queue(cython.address(state.bdflush_wait), 0)


def zone_shortage(index):
    """How many pages a zone is below its high mark."""
    free: u64 = zone_at(index).free_pages
    if zone_at(index).present_pages == 0 or free >= zone_at(index).pages_high:
        return 0
    return zone_at(index).pages_high - free


def shortage(index: cython.int) -> int:
    """Return how many pages a zone is below its high mark."""
    return zone_shortage(index)


def set_parked(on):
    """Say that the running service thread sleeps, or does no more, where any CPU may go on."""
    task: cython.pointer[task_struct] = current_task()
    if on:
        atomic64_fetch_or(cython.address(task.flags), PF_PARKED)
    else:
        atomic64_fetch_and(cython.address(task.flags), ~cython.cast(u64, PF_PARKED))


def kswapd_sleep() -> None:
    """Wait until somebody finds a zone short of pages; kswapd only. May sleep."""
    enter_sleeping(b"kswapd")
    atomic64_store(cython.address(state.kswapd_pid), current_task().pid)
    prepare_to_wait(cython.address(state.kswapd_wait), TASK_INTERRUPTIBLE, False)
    while atomic64_load(cython.address(vm.kswapd_wanted)) == 0:
        set_parked(True)
        try:
            schedule_inside(0)
        except BaseException:
            finish_wait_outside(cython.address(state.kswapd_wait))
            raise
        set_parked(False)
        prepare_to_wait(cython.address(state.kswapd_wait), TASK_INTERRUPTIBLE, False)
    finish_wait(cython.address(state.kswapd_wait))
    # Cleared before the round: who is short from here on asks for another one.
    atomic64_xchg(cython.address(vm.kswapd_wanted), 0)
    leave()


def kswapd_done(freed: cython.ulonglong) -> None:
    """Say that kswapd has gone round, and wake who waits for it."""
    enter()
    atomic64_fetch_add(cython.address(state.rounds), 1)
    trace_event(EVENT_RECLAIM, freed, 0, 0, 0)
    wake_up_queue(cython.address(state.kswapd_done), 0)
    leave()


def kswapd_runs() -> bool:
    """Return whether there is a kswapd to wait for."""
    return state.kswapd_pid != 0


def wait_for_kswapd() -> None:
    """Wake kswapd and sleep until it has gone round once. May sleep."""
    rounds: u64
    enter_sleeping(b"__alloc_pages")
    rounds = atomic64_load(cython.address(state.rounds))
    atomic64_fetch_add(cython.address(vm.nr_waits), 1)
    prepare_to_wait(cython.address(state.kswapd_done), TASK_UNINTERRUPTIBLE, False)
    while atomic64_load(cython.address(state.rounds)) == rounds:
        wakeup_kswapd()
        try:
            schedule_inside(WAIT_NS)
        except BaseException:
            finish_wait_outside(cython.address(state.kswapd_done))
            raise
        prepare_to_wait(cython.address(state.kswapd_done), TASK_UNINTERRUPTIBLE, False)
    finish_wait(cython.address(state.kswapd_done))
    leave()


def bdflush_sleep(timeout_ns: cython.ulonglong) -> None:
    """Wait until bdflush is woken, or the time is over (0: no time-out). May sleep."""
    enter_sleeping(b"bdflush")
    prepare_to_wait(cython.address(state.bdflush_wait), TASK_INTERRUPTIBLE, False)
    set_parked(True)
    try:
        schedule_inside(timeout_ns)
    except BaseException:
        finish_wait_outside(cython.address(state.bdflush_wait))
        raise
    set_parked(False)
    finish_wait(cython.address(state.bdflush_wait))
    leave()


def wakeup_bdflush() -> None:
    """Wake bdflush. Any context."""
    enter()
    wake_bdflush()
    leave()


def user_tasks() -> list:
    """Return the tasks that are no kernel threads: their words, and native address `at`."""
    i: cython.int
    t: cython.pointer[task_struct]
    found = []
    for i in range(NR_TASKS):
        t = cython.address(tasks[i])
        if t.state < TASK_FREE and t.flags & PF_KTHREAD == 0:
            found.append(
                {
                    "pid": t.pid,
                    "name": t.name.decode("ascii", "replace"),
                    "uid": t.uid,
                    "cpu": t.cpu,
                    "state": t.state,
                    "flags": t.flags,
                    "at": cython.cast(cython.ulonglong, t),
                }
            )
    return found


def count_reclaim(kswapd: bool, scanned: cython.ulonglong, freed: cython.ulonglong) -> None:
    """Add to the figures of kswapd or of direct reclaim."""
    if kswapd:
        atomic64_fetch_add(cython.address(vm.kswapd_scanned), scanned)
        atomic64_fetch_add(cython.address(vm.kswapd_freed), freed)
    else:
        atomic64_fetch_add(cython.address(vm.nr_direct_reclaims), 1)
        atomic64_fetch_add(cython.address(vm.direct_scanned), scanned)
        atomic64_fetch_add(cython.address(vm.direct_freed), freed)


def count_slab_pages(pages: cython.ulonglong) -> None:
    """Add to the pages that slab caches gave back."""
    atomic64_fetch_add(cython.address(vm.slab_freed), pages)


def count_oom_kill() -> None:
    """Count a task that the OOM killer chose."""
    atomic64_fetch_add(cython.address(vm.nr_oom_kills), 1)
