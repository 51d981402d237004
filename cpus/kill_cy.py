"""Kill points: a process dies by SIGKILL at a named place of a slow path.

A test arms one point; the first process to pass it disarms it, counts the hit and kills
itself. Everything that survives must then repair what it had under way (DESIGN: when something
dies).
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import atomic64_cmpxchg, atomic64_fetch_add
from cython.cimports.libc.signal import SIGKILL
from cython.cimports.posix.signal import kill
from cython.cimports.posix.unistd import getpid

NAMES = {
    "lock_taken": KILL_LOCK_TAKEN, "lock_releasing": KILL_LOCK_RELEASING,
    "lock_parked": KILL_LOCK_PARKED, "standing_still": KILL_STANDING_STILL,
    "gate_counted": KILL_GATE_COUNTED, "gate_taken": KILL_GATE_TAKEN,
    "gate_releasing": KILL_GATE_RELEASING, "page_split": KILL_PAGE_SPLIT,
    "page_allocated": KILL_PAGE_ALLOCATED, "page_freed": KILL_PAGE_FREED,
    "page_merged": KILL_PAGE_MERGED, "slab_refill": KILL_SLAB_REFILL,
    "slab_flush": KILL_SLAB_FLUSH, "slab_grow": KILL_SLAB_GROW,
    "slab_grown": KILL_SLAB_GROWN, "slab_destroy": KILL_SLAB_DESTROY,
    "cache_create": KILL_CACHE_CREATE, "cache_destroy": KILL_CACHE_DESTROY,
    "task_sleep": KILL_TASK_SLEEP, "task_wake": KILL_TASK_WAKE, "sem_down": KILL_SEM_DOWN,
    "sem_up": KILL_SEM_UP, "irq_handler": KILL_IRQ_HANDLER, "softirq": KILL_SOFTIRQ,
    "tasklet": KILL_TASKLET, "timer": KILL_TIMER,
    "timer_moved": KILL_TIMER_MOVED, "kmap": KILL_KMAP, "buffer": KILL_BUFFER,
    "writeback": KILL_WRITEBACK, "text": KILL_TEXT, "module": KILL_MODULE,
    "open_file": KILL_OPEN_FILE, "file_claimed": KILL_FILE_CLAIMED,
    "file_passed": KILL_FILE_PASSED,
    "class_claimed": KILL_CLASS_CLAIMED, "read_noted": KILL_READ_NOTED,
    "read_leaving": KILL_READ_LEAVING, "write_taken": KILL_WRITE_TAKEN,
    "lock_handed": KILL_LOCK_HANDED, "log_reserved": KILL_LOG_RESERVED,
    "site_claimed": KILL_SITE_CLAIMED, "slab_claimed": KILL_SLAB_CLAIMED,
    "slab_tune": KILL_SLAB_TUNE, "cache_destroyed": KILL_CACHE_DESTROYED,
    "pgtable": KILL_PGTABLE, "area_placed": KILL_AREA_PLACED,
    "area_mapped": KILL_AREA_MAPPED, "area_built": KILL_AREA_BUILT,
    "area_dying": KILL_AREA_DYING, "area_flushed": KILL_AREA_FLUSHED,
    "area_empty": KILL_AREA_EMPTY,
}  # fmt: skip


def regions(config: object = None) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {"kill_points": 8 + NR_KILL_POINTS * 8}


def attach(config: object = None) -> None:
    """Find this module's regions in the attached segment."""
    global kill_armed, kill_hits
    kill_armed = cython.cast(cython.pointer[u64], segment_cy.region_at(b"kill_points"))
    kill_hits = kill_armed + 1


def spare() -> None:
    """Let this process pass every point: the monitor, whose death is the machine's end.

    A child that it forks calls `attach` again.
    """
    global kill_armed
    kill_armed = cython.NULL


def kill_point_hit(point):
    if atomic64_cmpxchg(kill_armed, point, 0) == point:
        atomic64_fetch_add(cython.address(kill_hits[point]), 1)
        kill(getpid(), SIGKILL)


def arm(name: str) -> None:
    """Let the next process that passes the point die there; KeyError for an unknown name."""
    kill_armed[0] = NAMES[name]


def disarm() -> bool:
    """Disarm; false when the point was hit already."""
    was: bool = kill_armed[0] != 0
    kill_armed[0] = 0
    return was


def hits() -> dict:
    """Return how many processes died at each point."""
    return {name: kill_hits[number] for name, number in NAMES.items()}


def pass_point(name: str) -> None:
    """Pass a point from Python code."""
    kill_point(NAMES[name])
