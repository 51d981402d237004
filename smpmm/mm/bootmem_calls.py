"""The calls of bootmem, as kernel code makes them while the machine boots.

There is one CPU then, the monitor, and no lock. When the page allocator has what is left,
bootmem is gone: in every process that is forked later, and in the monitor itself, its calls
are the use of a NULL pointer.
"""

from __future__ import annotations

import operator
import os
import sys
from typing import Final

from cpus import bug, event_cy
from cpus.errors import MachineError, NullDereference
from smpmm.mm import access_cy, page_calls_cy, setup_arch
from smpmm.mm.bootmem import BootmemFull
from smpmm.mm.setup_arch import Setup

KERN_ALERT: Final = 1


def _phase(call: str) -> Setup | None:
    """Return the boot that goes on; else report the use of what is gone."""
    if setup_arch.booting is None:
        bug.report(
            NullDereference,
            "Unable to handle kernel NULL pointer dereference at virtual address 00000000\n"
            f"{call}: bootmem is gone, free_all_bootmem gave its memory to the page allocator",
            linux="oops: the map of bootmem is gone, the task is killed",
        )
    return setup_arch.booting


def _alloc(call: str, size: int, in_pages: bool, low: bool) -> int:
    setup = _phase(f"{call}({size})")
    if setup is None:
        return 0
    profile = setup.profile
    align = setup.page if in_pages else profile.smp_cache_bytes
    return _take(setup, call, size, align, 0 if low else profile.max_dma_bytes)


def _take(setup: Setup, call: str, size: int, align: int, goal: int) -> int:
    what = f"{call} by {_caller()}"
    try:
        start = setup.alloc(operator.index(size), align, goal, what)
    except BootmemFull as error:
        event_cy.log(f"bootmem alloc of {size} bytes failed!", KERN_ALERT)
        raise MachineError(f"Kernel panic: Out of memory: {what}: {error}") from None
    address = page_calls_cy.phys_to_virt(start)
    access_cy.memset(address, 0, size)
    return address


def _caller() -> str:
    """Say which function called into this module, and where."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals is globals():
        frame = frame.f_back
    code = frame.f_code
    return f"{code.co_name} ({os.path.basename(code.co_filename)}:{frame.f_lineno})"


def __alloc_bootmem(size: int, align: int, goal: int) -> int:
    """Return the address of `size` zeroed bytes at a multiple of `align`, a power of two.

    At physical `goal` or above if that can be, else anywhere in low memory.
    While booting, not in a task; a panic when there is none.
    """
    setup = _phase(f"__alloc_bootmem({size}, {align}, {goal})")
    return 0 if setup is None else _take(setup, "__alloc_bootmem", size, align, goal)


def alloc_bootmem(size: int) -> int:
    """Return the address of `size` zeroed bytes at the start of a cache line.

    Beyond what ISA devices reach if that can be, else anywhere in low memory.
    While booting, not in a task; a panic when there is none.
    """
    return _alloc("alloc_bootmem", size, in_pages=False, low=False)


def alloc_bootmem_low(size: int) -> int:
    """Return the address of `size` zeroed bytes at the start of a cache line, lowest first.

    No limit: it is above what ISA devices reach when that is full. While
    booting, not in a task; a panic when there is none.
    """
    return _alloc("alloc_bootmem_low", size, in_pages=False, low=True)


def alloc_bootmem_pages(size: int) -> int:
    """Return the address of `size` zeroed bytes at the start of a page; as `alloc_bootmem`.

    While booting, not in a task.
    """
    return _alloc("alloc_bootmem_pages", size, in_pages=True, low=False)


def alloc_bootmem_low_pages(size: int) -> int:
    """Return the address of `size` zeroed bytes, of whole pages; as `alloc_bootmem_low`.

    While booting, not in a task.
    """
    return _alloc("alloc_bootmem_low_pages", size, in_pages=True, low=True)


def free_bootmem(addr: int, size: int) -> None:
    """Give back whole frames of physical memory; one that is filled in part stays reserved.

    While booting, not in a task. BUG when a frame is free already, or no low memory.
    """
    setup = _phase(f"free_bootmem({addr}, {size})")
    if setup is not None:
        setup.bootmem.free(operator.index(addr), operator.index(size))


def reserve_bootmem(addr: int, size: int) -> None:
    """Keep a range of physical memory from being handed out, by whole frames that it touches.

    While booting, not in a task. A frame that is reserved already is logged.
    """
    setup = _phase(f"reserve_bootmem({addr}, {size})")
    if setup is not None:
        setup.reserve(operator.index(addr), operator.index(size), f"reserved by {_caller()}")
