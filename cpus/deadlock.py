"""Who waits for whom, in words: the cycle that a refused lock call would have closed.

The search is compiled (deadlock_cy) and keeps the cycle that it found. The processes in it
stand still, so what the segment says of them is still true when the report is written; one
that was interrupted outside of the kernel runs on until its next kernel call.
"""

import time
from pathlib import Path

from cpus import callsite_cy, lockstat, percpu_cy

STACK_WAIT_S = 5.0  # for a process that the host does not run
OUTSIDE_NS = 10_000_000  # of host time in which a process would have met a safe point
GATE = 1  # in place of a lock: wants to be the other's CPU

Edge = tuple[int, int, int]


def microseconds(ns: int) -> str:
    """Print a time of a report."""
    return f"{ns / 1000:.1f} us"


def held_line(number: int, info: dict, i: int) -> str:
    """Describe lock `i` of a process, as lockdep does, with the time since it was taken.

    Of uncontended sections one in sixteen is timed, or all with exact_hold_times.
    """
    lock, site, flags = info["held"][i]
    side = ("", " for reading", " for writing")[flags]
    ns = info["held_ns"][i]
    since = f"{microseconds(ns)} ago" if ns else "since when is unknown: not timed"
    where = f"{callsite_cy.site_text(site)}{side}, {since}"
    return f" #{number}: {lockstat.lock_text(lock)}, at: {where}"


def held_lines(slot: int) -> list[str]:
    """Describe the locks that the process of `slot` holds, oldest first."""
    info = percpu_cy.slot_info(slot)
    return [held_line(i, info, i) for i in range(len(info["held"]))]


def describe(edge: Edge) -> str:
    """Put one edge into words: who waits for what, where, how long, and who has it."""
    slot, lock, other = edge
    info, owner = percpu_cy.slot_info(slot), percpu_cy.slot_info(other)
    if not lock:
        return f"{info['name']} stands still until the interrupt in {owner['name']} is over"
    if lock == GATE:
        return (
            f"{info['name']} sends an interrupt to CPU {owner['cpu']}, on which "
            f"{owner['name']} has interrupts off"
        )
    taken = [site for at, site, _ in owner["held"] if at == lock]
    where = f", taken at {callsite_cy.site_text(taken[-1])}" if taken else ""
    text = f"{info['name']} waits for {lockstat.lock_text(lock)}"
    if info["waiting_ns"]:
        text += f" at {callsite_cy.site_text(info['waiting_site'])}"
        text += f" for {microseconds(info['waiting_ns'])}"
    return f"{text}, held by {owner['name']}{where}"


def stack_lines(slot: int) -> list[str]:
    """Return the Python stack of another process, if it stands still or does so soon.

    How long that takes is a matter of the host time that it gets, not of the clock.
    """
    until = time.monotonic() + STACK_WAIT_S
    info = percpu_cy.slot_info(slot)
    start_ns = host_ns(info["pid"])
    while not info["stack"]:
        if host_ns(info["pid"]) > start_ns + OUTSIDE_NS or sleeps(info["pid"]):
            if not (info := percpu_cy.slot_info(slot))["stack"]:
                return [" running outside of the kernel"]
            break
        if time.monotonic() > until:
            return [f" not known: the host has not run it for {STACK_WAIT_S:.0f} s"]
        time.sleep(0.0005)
        info = percpu_cy.slot_info(slot)
    return [f" {callsite_cy.site_text(site)}" for site in info["stack"] if site]


def host_ns(pid: int) -> int:
    """Return the host time that a process has used, in ns; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
    except (OSError, IndexError):
        return 0


def sleeps(pid: int) -> bool:
    """Whether a process waits for something of the host, or is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "R"
    except (OSError, IndexError):
        return True


def process_lines(slot: int) -> list[str]:
    """Describe another process of the cycle: who, where, holding what, since when."""
    info = percpu_cy.slot_info(slot)
    nr = len(info["held"])
    lines = [f"{info['name']} (pid {info['pid']}) on CPU {info['cpu']}:"]
    if info["waiting_lock"]:
        lines.append(
            f" waiting for {lockstat.lock_text(info['waiting_lock'])}, "
            f"at: {callsite_cy.site_text(info['waiting_site'])}, "
            f"for {microseconds(info['waiting_ns'])}"
        )
    if nr:
        lines += [f" {nr} lock{'s' * (nr > 1)} held by {info['name']}:", *held_lines(slot)]
    return [*lines, f" stack of {info['name']}:", *(f" {s}" for s in stack_lines(slot))]
