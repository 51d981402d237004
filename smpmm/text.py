"""Kernel text: functions that any process of the machine may call by their address.

`register` gives a function an address in the text of the kernel; `load` turns an address into
a callable, once per process; `call` does both. A function of a loaded module is found by its
name in the module's namespace, any other travels by value, as it is when it is registered.
Addresses are never used again: calling one whose module is gone is an oops that names the
module. `symbolise` is kallsyms.
"""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable
from typing import Any

from sortedcontainers import SortedDict

from cpus import bug, ship
from cpus.handle_cy import Handle
from smpmm import frozen, namespace, text_cy

try:
    from _blake2 import blake2b
except ImportError:  # hashlib has the same function, and loads OpenSSL for the others
    from hashlib import blake2b

LIVE = 2
GONE = 3

load = text_cy.load

# This process's index of the table, by address: (name, module, serial of the module).
_symbols: SortedDict = SortedDict()
_by_name: dict[tuple[int, str], int] = {}
_by_digest: dict[int, int] = {}
_registered: weakref.WeakKeyDictionary[Callable, tuple[int, int]] = weakref.WeakKeyDictionary()
_refresh: Callable[[int], dict[str, Any]] | None = None


def register(function: Any) -> int:
    """Return the address of `function`, new or known; None is 0, an address is itself.

    Refuses a function that keeps state in Python (FrozenStateError). Task context.
    """
    if function is None:
        return 0
    if isinstance(function, (int, Handle)):
        return int(function)
    if not callable(function):
        raise TypeError(f"{function!r} is neither a function nor an address")
    address = _known(function)
    if address:
        return address
    frozen.check_registered(function)
    serial = namespace.serial_of(function)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    if serial and _is_global(function, serial):
        address = _register_name(serial, function.__name__)
    else:
        address = _register_value(serial, name, function)
    if isinstance(function, types.FunctionType):
        _registered[function] = (address, text_cy.version())
    text_cy.remember(address, function)
    return address


def _known(function: Any) -> int:
    """Return the address that this process has registered `function` at, if it still holds."""
    if not isinstance(function, types.FunctionType):
        return 0
    address, version = _registered.get(function, (0, 0))
    if address and version != text_cy.version():
        if text_cy.entry(_number(address))["state"] != LIVE:
            return 0
        _registered[function] = (address, text_cy.version())
    return address


def _is_global(function: Any, serial: int) -> bool:
    space = namespace.known(serial)
    return space is not None and space.get(getattr(function, "__name__", "")) is function


def _register_name(serial: int, name: str) -> int:
    _update_symbols()
    address = _by_name.get((serial, name), 0)
    if not address:
        number = text_cy.add(text_cy.FUNCTION, serial, _module_name(serial), name, b"")
        address = _address(number)
    if _refresh is not None:
        _refresh(serial)
    return address


def _register_value(serial: int, name: str, function: Any) -> int:
    data = namespace.dumps(function)
    digest = int.from_bytes(blake2b(data, digest_size=8).digest(), "little")
    _update_symbols()
    address = _by_digest.get(digest, 0)
    if address and text_cy.read(_number(address)) == data:
        return address
    module = _module_name(serial) if serial else ""
    return _address(text_cy.add(text_cy.FUNCTION, serial, module, name, data, digest))


def _module_name(serial: int) -> str:
    space = namespace.known(serial) or {}
    return str(space.get("__name__", "")).strip("[]")


def set_refresh_hook(refresh: Callable) -> None:
    """Register what is told that a function of a module gets an address: refresh(serial)."""
    global _refresh
    _refresh = refresh


def _address(number: int) -> int:
    return text_cy.text_base() + number * text_cy.ENTRY_BYTES


def _number(address: int) -> int:
    offset = address - text_cy.text_base()
    if offset < 0 or offset % text_cy.ENTRY_BYTES:
        return -1
    number = offset // text_cy.ENTRY_BYTES
    return number if number < text_cy.nr_functions() else -1


def is_text(address: int) -> bool:
    """Return whether `address` is, or was, that of a function."""
    return _number(address) >= 0


def module_at(address: int) -> int:
    """Return the serial number of the module that the function at `address` belongs to."""
    number = _number(address)
    return text_cy.entry(number)["serial"] if number >= 0 else 0


def call(address: int, *arguments: Any) -> Any:
    """Call the function at `address`, in this context."""
    return load(address)(*arguments)


def _load(address: Any) -> Any:
    """Load a function that this process has not loaded: the slow path of `load`."""
    number = _number(int(address))
    entry = text_cy.entry(number) if number >= 0 else None
    if entry is None or entry["state"] != LIVE:
        return _oops(int(address), entry)
    if entry["length"]:
        data = text_cy.read(number)
        if data is None:
            return _oops(int(address), text_cy.entry(number))
        return ship.loads(data)
    return namespace.find(entry["serial"])[entry["name"]]


def _oops(address: int, entry: dict | None) -> Any:
    detail = f"EIP is at {address:#010x}: no kernel text"
    if entry is not None and entry["state"] == GONE:
        detail = f"EIP is at {entry['name']} [{entry['module']}]: the module was removed"
        if not entry["module"]:
            detail = f"EIP is at {entry['name']}: the function was discarded"
    bug.bad_address(detail, address)


def store(value: Any, name: str = "") -> int:
    """Keep any value that can travel in the segment; return its number for `take`."""
    data = namespace.dumps(value)
    return text_cy.add(text_cy.BLOB, 0, "", name, data) + 1


def take(number: int) -> Any:
    """Return the value of `store` and free its room."""
    data = text_cy.read(number - 1)
    if data is None:
        raise LookupError(f"no value {number} in the kernel's text")
    text_cy.discard(number - 1)
    return ship.loads(data)


def _update_symbols() -> None:
    """Take entries into the index that other processes have made since the last look."""
    for number in range(len(_symbols), text_cy.nr_functions()):
        entry = text_cy.entry(number)
        address = _address(number)
        _symbols[address] = (entry["name"], entry["module"], entry["serial"])
        if entry["length"]:
            _by_digest[entry["digest"]] = address
        else:
            _by_name[entry["serial"], entry["name"]] = address


def symbolise(address: int) -> str:
    """Return `name [module]` of the function at or before `address`, with the offset into it.

    Runtime complexity: O(log n).
    """
    _update_symbols()
    at = _symbols.bisect_right(address) - 1
    if at < 0:
        return f"{address:#010x}"
    start, (name, module, _serial) = _symbols.peekitem(at)
    offset = address - start
    if offset >= text_cy.ENTRY_BYTES:
        return f"{address:#010x}"
    text = name if not offset else f"{name}+{offset:#x}/{text_cy.ENTRY_BYTES:#x}"
    return f"{text} [{module}]" if module else text


def symbols() -> list[tuple[int, str, str]]:
    """Return (address, name, module) of every function ever registered, by address."""
    _update_symbols()
    return [(address, name, module) for address, (name, module, _) in _symbols.items()]


text_cy.set_load_hook(_load)
