"""Choices: whether a fault is injected, which victim is taken, when an interrupt arrives.

Each is asked of `choose` with the name of its point. The answer follows from the machine's
seed, who asks (a task by its number; an interrupt handler or a device by its name) and how
often it has asked before, so a task's dice do not depend on what the others do.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.event_cy import TASK_PID_WORD
from cython.cimports.cpus.percpu_cy import in_task, this_cpu, this_process, this_slot
from cython.cimports.cpus.segment_cy import NR_SLOTS


def regions(config: object = None) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {"choice_counts": NR_SLOTS * 8}


def attach(config: object = None) -> None:
    """Find this module's regions in the attached segment."""
    global choice_counts
    choice_counts = cython.cast(cython.pointer[u64], segment_cy.region_at(b"choice_counts"))


def mix(word):
    """Return a well mixed word (the finaliser of splitmix64)."""
    word = (word ^ (word >> 30)) * cython.cast(u64, 0xBF58476D1CE4E5B9)
    word = (word ^ (word >> 27)) * cython.cast(u64, 0x94D049BB133111EB)
    return word ^ (word >> 31)


def choose(point, bound, nth):
    count: cython.pointer[u64]
    if in_task():
        count = cython.address(
            cython.cast(cython.pointer[u64], this_cpu.current)[TASK_ASKED_WORD]
        )
    else:
        count = cython.address(choice_counts[this_slot - 1])
    nth[0] = count[0]
    return choose_counted(point, bound, count)


def choose_counted(point, bound, count):
    who: u64 = 0
    i: cython.int = 0
    nth: u64 = count[0]
    count[0] = nth + 1
    if in_task():
        who = cython.cast(cython.pointer[u64], this_cpu.current)[TASK_PID_WORD]
    else:
        while this_process.name[i] != 0:
            who = (who ^ cython.cast(cython.uchar, this_process.name[i])) * cython.cast(
                u64, 0x100000001B3
            )
            i += 1
        who |= cython.cast(u64, 1) << 63
    return answer(point, bound, who, nth)


def answer(point, bound, who, nth):
    i: cython.int = 0
    while point[i] != 0:
        who = who * 31 + cython.cast(cython.uchar, point[i])
        i += 1
    word: u64 = mix(segment_cy.header.seed + cython.cast(u64, 0x9E3779B97F4A7C15))
    word = mix(word ^ mix(who))
    return mix(word + nth * cython.cast(u64, 0x9E3779B97F4A7C15)) % bound


def ask(point: str, bound: cython.ulonglong) -> int:
    """Return a choice below `bound`; any context, outside of a call that changes the task."""
    nth: u64 = 0
    encoded: bytes = point.encode()
    if bound == 0:
        raise ValueError(f"a choice at {point} among 0")
    return choose(encoded, bound, cython.address(nth))
