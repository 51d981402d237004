"""Structs and locks that are made outside of a machine: `tally = Tally.static()` in a script.

There they have no address. A promise (a random number, see cpus.handle_cy) stands for it and
travels with the handle, with what is needed to make the struct: its class and its
constructor's arguments. The first process of a machine that uses it makes it, in zeroed memory
that is kept as long as the machine; all others find its address in the segment. So all
functions that are shipped with the same object share one struct, and each machine has its own.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any

from cpus import handle_cy
from smpmm import field_cy, promise_cy, symbols

OFFSET_BITS = 20
OFFSET_MASK = (1 << OFFSET_BITS) - 1
MARK = handle_cy.PROMISE_MARK


@dataclass
class Promised:
    """What a promise is for."""

    cls: type[field_cy.Placed]
    args: tuple
    place: str  # file and line that made it: the name of its lock class


_promised: dict[int, Promised] = {}
_kept: dict[int, int] = {}


def calling_place() -> str:
    """Return file:line of the nearest caller outside of smpmm's own types."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__") in _OWN_MODULES:
        frame = frame.f_back
    return f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}"


_OWN_MODULES = {"smpmm.promise", "smpmm.kstruct", "smpmm.sync"}


def make(cls: type[field_cy.Placed], args: tuple, place: str) -> int:
    """Return a new promise of a struct of class `cls`."""
    nr_bytes = field_cy.sizeof(cls)
    if nr_bytes > OFFSET_MASK:
        raise TypeError(f"{cls.__name__} has {nr_bytes} bytes, more than {OFFSET_MASK}")
    promise = MARK | int.from_bytes(os.urandom(8), "little") >> 2 + OFFSET_BITS << OFFSET_BITS
    _promised[promise] = Promised(cls, args, place)
    return promise


def keep(promise: int) -> int:
    """Return the address that stands behind a promise; makes the struct at the first use.

    Any context of a machine: takes atomic memory.
    """
    offset = promise & OFFSET_MASK
    base = promise - offset
    address = _kept.get(base)
    if address is None:
        address = _kept[base] = _settle(base)
    return address + offset


def _settle(promise: int) -> int:
    promised = _promised.get(promise)
    if promised is None:
        raise RuntimeError(f"promise {promise:#x} is not known in this process")
    if not symbols.inside_machine():
        raise symbols.OutsideMachine(
            f"{promised.cls.__name__} of {promised.place} has no address outside a machine: "
            "use it in a function given to Machine.run or spawn, or in a driver"
        )
    address = promise_cy.promised_address(promise)
    if address:
        return address
    kmalloc, kfree, memset = map(symbols.resolve, ("kmalloc", "kfree", "memset"))
    nr_bytes = field_cy.sizeof(promised.cls)
    fresh = kmalloc(nr_bytes, symbols.resolve("GFP_ATOMIC"))
    if not fresh:
        raise MemoryError(f"no memory for {promised.cls.__name__} of {promised.place}")
    memset(fresh, 0, nr_bytes)
    handle = promised.cls.at(fresh)
    initialise = getattr(promised.cls, "__initialise__", None)
    if initialise is not None:
        name_lock(handle, promised.place)
        initialise(handle, *promised.args)
    address = promise_cy.settle(promise, fresh)
    if address != fresh:
        kfree(fresh)
    return address


def name_lock(handle: Any, place: str) -> None:
    """Say where a lock was made: the name of its class."""
    if isinstance(handle, field_cy.Native):
        handle.lock_name = place


def forget_kept() -> None:
    """Forget the addresses of a machine that this process has left: for tests."""
    _kept.clear()


def _reduce(handle: Any) -> tuple:
    raw = field_cy.raw_address(handle)
    base = raw & ~OFFSET_MASK
    name = getattr(handle, "lock_name", None) if isinstance(handle, field_cy.Native) else None
    promised = _promised[base]
    return _rebuild, (type(handle), raw, name, promised.cls, promised.args, promised.place)


def _rebuild(
    cls: type[field_cy.Placed],
    raw: int,
    lock_name: str | None,
    base: type[field_cy.Placed],
    args: tuple,
    place: str,
) -> Any:
    """Make the handle that was pickled; its promise is known here from now on."""
    _promised.setdefault(raw & ~OFFSET_MASK, Promised(base, args, place))
    handle = cls.at(raw)
    if lock_name is not None:
        name_lock(handle, lock_name)
    return handle


handle_cy.set_promise_keeper(keep)
field_cy.set_travel_hook(_reduce)
