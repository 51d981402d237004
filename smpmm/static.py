"""Static data: what X.static(), spinlock_t() and their kin get their RAM from.

In a module's functions and at its top level it is the module's: pages of the page allocator,
kept until rmmod. In a workload it is the task's: kmalloc, freed when the task ends. Zeroed.
"""

from __future__ import annotations

import sys
import weakref
from types import FrameType
from typing import Any

from greenlet import getcurrent

from smpmm import module_table_cy, namespace

PAGE_BYTES = 4096
GFP_KERNEL = "GFP_KERNEL"

# What the tasks of this process have: greenlet → addresses.
_of_tasks: weakref.WeakKeyDictionary[Any, list[int]] = weakref.WeakKeyDictionary()


def static_alloc(nr_bytes: int) -> int:
    """Return the address of zeroed static data for the calling module or task; may sleep.

    Raises MemoryError when there is none.
    """
    serial = calling_module()
    address = module_alloc(serial, nr_bytes) if serial else _task_alloc(nr_bytes)
    if not address:
        raise MemoryError(f"no memory for {nr_bytes} bytes of static data")
    return address


def calling_module() -> int:
    """Return the serial number of the module whose code is calling, 0 = a task's own code."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        serial = namespace.serial_of_globals(frame.f_globals)
        if serial:
            return serial
        frame = frame.f_back
    return 0


def _gfp_kernel() -> int:
    from smpmm import symbols

    return symbols.resolve(GFP_KERNEL)


def module_alloc(serial: int, nr_bytes: int) -> int:
    """Return zeroed static data of module `serial`, 0 without memory; may sleep."""
    from smpmm.mm import access_cy, page_calls_cy

    address = module_table_cy.take_chunk(serial, nr_bytes)
    if address:
        return address
    order = max(0, ((nr_bytes + PAGE_BYTES - 1) // PAGE_BYTES - 1).bit_length())
    pages = page_calls_cy.__get_free_pages(_gfp_kernel(), order)
    if not pages:
        return 0
    access_cy.memset(pages, 0, PAGE_BYTES << order)
    if not module_table_cy.add_chunk(serial, pages, order):
        page_calls_cy.free_pages(pages, order)
        return 0
    return module_table_cy.take_chunk(serial, nr_bytes)


def _task_alloc(nr_bytes: int) -> int:
    from smpmm.mm import access_cy, slab_cy

    address = slab_cy.kmalloc(nr_bytes, _gfp_kernel())
    if address:
        access_cy.memset(address, 0, nr_bytes)
        _of_tasks.setdefault(getcurrent(), []).append(address)
    return address


def free_module(serial: int) -> None:
    """Free a module's static data."""
    from smpmm.mm import page_calls_cy

    info = module_table_cy.module_info(serial)
    for address, order, _used in info["chunks"] if info else ():
        page_calls_cy.free_pages(address, order)


def task_exit() -> None:
    """Free the static data of the task that ends: called in its greenlet."""
    from smpmm.mm import slab_cy

    for address in _of_tasks.pop(getcurrent(), ()):
        slab_cy.kfree(address)
