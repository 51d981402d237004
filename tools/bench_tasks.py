"""What `smpmm bench` runs inside the machine: every function here is the body of a task.

Things that are compared are measured in turn, in one process, round after round; the best
round of each counts, since whatever disturbs a round makes it slower.
"""

import multiprocessing.heap
import os
import time
from collections.abc import Callable
from itertools import repeat
from typing import Any, Final

import smpmm
from cpus import lockstat_cy
from smpmm.kernel import *
from smpmm_tools import bench_cy

BLOCK_BYTES: Final = 64 << 10
DEVICE_BLOCKS: Final = 64  # written between two openings, which empty the device
WARM_UP_PAIRS: Final = 2000


def python_pairs(alloc: Callable, free: Callable, *args: Any) -> Callable[[int], float]:
    """Return a function that times `nr` pairs called from Python, in ns of a pair."""

    def run(nr: int) -> float:
        began = time.perf_counter_ns()
        for _ in repeat(None, nr):
            free(alloc(*args))
        return (time.perf_counter_ns() - began) / nr

    return run


def in_turn(
    loops: dict[str, tuple[Callable[[int], float], int]], rounds: int
) -> dict[str, float]:
    """Run every loop once in each round; returns the best time of each."""
    best: dict[str, float] = {}
    for loop, nr in loops.values():
        loop(min(nr, WARM_UP_PAIRS))
    for _ in range(rounds):
        for name, (loop, nr) in loops.items():
            taken = loop(nr)
            best[name] = min(taken, best.get(name, taken))
    return best


def pairs(rounds: int, nr: int) -> dict[str, float]:
    """Time pairs of allocate and free: ours, from Python and compiled, and the others'."""
    heap = multiprocessing.heap.Heap()
    flags = GFP_KERNEL
    loops = {
        "noop": (python_pairs(bench_cy.noop_alloc, bench_cy.noop_free, 256, flags), nr),
        "kmalloc": (python_pairs(kmalloc, kfree, 256, flags), nr),
        "page": (python_pairs(__get_free_page, free_page, flags), nr),
        "heap": (python_pairs(heap.malloc, heap.free, 256), max(100, nr // 50)),
        "malloc_compiled": (lambda nr: bench_cy.malloc_loop(nr, 256), nr),
        "kmalloc_compiled": (lambda nr: bench_cy.kmalloc_loop(nr, 256, flags), nr),
        "page_compiled": (lambda nr: bench_cy.page_loop(nr, 0, flags), nr),
    }
    return in_turn(loops, rounds)


def areas(rounds: int, nr: int) -> dict[str, float]:
    """Time pairs of vmalloc and vfree of 64 KiB, an order-4 pair, and the host's mapping."""
    fd = os.memfd_create("bench")
    os.ftruncate(fd, BLOCK_BYTES)

    def touched(nr: int) -> float:
        began = time.perf_counter_ns()
        for _ in repeat(None, nr):
            area = vmalloc(BLOCK_BYTES)
            memset(area, 1, BLOCK_BYTES)
            vfree(area)
        return (time.perf_counter_ns() - began) / nr

    loops = {
        "order4": (python_pairs(__get_free_pages, free_block, GFP_KERNEL, 4), nr),
        "vmalloc": (python_pairs(vmalloc, vfree, BLOCK_BYTES), max(100, nr // 10)),
        "touched": (touched, max(100, nr // 20)),
        "host": (lambda nr: bench_cy.host_map_loop(nr, fd, 16), max(50, nr // 100)),
    }
    best = in_turn(loops, rounds)
    os.close(fd)
    return best


def free_block(address: int) -> None:
    free_pages(address, 4)


def beside_areas(rounds: int, nr: int, nr_areas: int) -> float:
    """Time pairs of vmalloc and vfree of 64 KiB with that many areas of a page beside them.

    Each turn also touches one of them.
    """
    beside = [vmalloc(PAGE_SIZE) for _ in range(nr_areas)]
    if not all(beside):
        raise MemoryError(f"no room for {nr_areas} areas")
    for area in beside:
        memset(area, 1, PAGE_SIZE)

    def run(nr: int) -> float:
        began = time.perf_counter_ns()
        for turn in range(nr):
            peek(beside[turn * 7919 % nr_areas], 8)
            vfree(vmalloc(BLOCK_BYTES))
        return (time.perf_counter_ns() - began) / nr

    best = in_turn({"beside": (run, nr)}, rounds)["beside"]
    for area in beside:
        vfree(area)
    return best


def lock_statistics(rounds: int, nr: int) -> dict[str, float]:
    """Time page pairs with the statistics of locks as they are, and without."""
    pair = python_pairs(__get_free_page, free_page, GFP_KERNEL)

    def switched(on: bool) -> Callable[[int], float]:
        def run(nr: int) -> float:
            lockstat_cy.set_stats(on)
            try:
                return pair(nr)
            finally:
                lockstat_cy.set_stats(True)

        return run

    return in_turn({"with": (switched(True), nr), "without": (switched(False), nr)}, rounds)


def pairs_until(start_ns: int, seconds: float, kernel: bool = True) -> tuple[int, float]:
    """Do pairs from `start_ns` (the host's monotonic clock) on.

    Returns how many, and how many in a second of host processor: what others take of the host
    does not count in that. Without `kernel` the pairs are of calls that do nothing: what the
    host has for CPUs that share nothing.
    """
    alloc: Callable[[int, int], int] = kmalloc if kernel else bench_cy.noop_alloc
    free: Callable[[int], None] = kfree if kernel else bench_cy.noop_free
    flags = GFP_KERNEL
    done = 0
    while time.monotonic_ns() < start_ns:
        pass
    end_ns = start_ns + int(seconds * 1e9)
    began_ns = time.process_time_ns()
    while time.monotonic_ns() < end_ns:
        for _ in repeat(None, 500):
            free(alloc(256, flags))
        done += 500
    return done, done * 1e9 / max(1, time.process_time_ns() - began_ns)


def scull_writes(rounds: int) -> dict[str, float]:
    """Time blocks written to /dev/scull0 and the same copied inside RAM, in ns of a block.

    Both go to as many places as a round has blocks: neither finds its target in a cache.
    """
    order = (BLOCK_BYTES // 4096 - 1).bit_length()
    source = __get_free_pages(GFP_KERNEL, order)
    targets = [__get_free_pages(GFP_KERNEL, order) for _ in range(DEVICE_BLOCKS)]
    data = bytes(range(256)) * (BLOCK_BYTES // 256)

    def write(nr: int) -> float:
        with smpmm.open("/dev/scull0", "wb") as device:
            began = time.perf_counter_ns()
            for _ in repeat(None, nr):
                if device.write(data) != BLOCK_BYTES:
                    raise OSError("scull took less than a block")
            return (time.perf_counter_ns() - began) / nr

    def copy(nr: int) -> float:
        began = time.perf_counter_ns()
        for target in targets[:nr]:
            memcpy(target, source, BLOCK_BYTES)
        return (time.perf_counter_ns() - began) / nr

    best = in_turn({"write": (write, DEVICE_BLOCKS), "memcpy": (copy, DEVICE_BLOCKS)}, rounds)
    for block in (source, *targets):
        free_pages(block, order)
    return best


def make_lock() -> int:
    """Make a lock that outlives the task; returns its address."""
    address = kmalloc(sizeof(spinlock_t), GFP_KERNEL)
    spin_lock_init(address)
    return address


def hold(address: int) -> None:
    """Take a lock and keep it, until this CPU is killed."""
    spin_lock(address)
    while True:
        udelay(100)


def take(address: int) -> int:
    """Take and release a lock; returns when it had it, by the host's monotonic clock."""
    spin_lock(address)
    taken_ns = time.monotonic_ns()
    spin_unlock(address)
    return taken_ns


def is_held(address: int) -> bool:
    """Return whether somebody has the lock."""
    return bool(spin_is_locked(address))


def sizes() -> dict[str, int]:
    """Return what the machine keeps of each page and object, in bytes."""
    return {"page": bench_cy.struct_page_bytes(), "truth": bench_cy.truth_bytes()}
