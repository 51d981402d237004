"""file_operations and vm_operations_struct: what a driver does when its files are used.

Models linux/fs.h and linux/mm.h. In a machine such a table is a struct in the static data of
who makes it: one word per operation, the address of the function in the kernel's text. Outside
it keeps its functions and does nothing, so that a file with a driver in it can be imported.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cpus.handle_cy import Handle
from smpmm import symbols

# In the order of 2.4's structs.
OPERATIONS = (
    "llseek",
    "read",
    "write",
    "readdir",
    "poll",
    "ioctl",
    "mmap",
    "open",
    "flush",
    "release",
    "fsync",
    "fasync",
    "lock",
    "readv",
    "writev",
    "sendpage",
    "get_unmapped_area",
)
VM_OPERATIONS = ("open", "close", "nopage")


class FunctionTable(Handle):
    """A struct of pointers to functions; keywords name them, what is missing is missing."""

    names: tuple[str, ...] = ()

    def _place(self, functions: dict[str, Any], *first: int) -> None:
        """Write the words `first` and the functions' addresses to static data."""
        unknown = sorted(set(functions) - set(self.names))
        if unknown:
            raise TypeError(
                f"{type(self).__name__} has no {', '.join(unknown)}; "
                f"it has {', '.join(self.names)}"
            )
        self.functions = functions
        if not symbols.inside_machine():
            Handle.__init__(self, 0)
            return
        from smpmm import static, text
        from smpmm.mm import access_cy

        words = [*first, *(text.register(functions.get(name)) for name in self.names)]
        Handle.__init__(self, static.static_alloc(4 * len(words)))
        access_cy.poke(self, struct.pack(f"<{len(words)}I", *words))


class file_operations(FunctionTable):
    """The operations of a device; `owner` is the first word."""

    names = OPERATIONS

    def __init__(self, owner: Any = None, **operations: Callable | None) -> None:
        self._place(operations, int(owner or 0) & 0xFFFFFFFF)


class vm_operations_struct(FunctionTable):
    """What a driver does with a mapping of its device: open(vma), close(vma), nopage(…)."""

    names = VM_OPERATIONS

    def __init__(self, **operations: Callable | None) -> None:
        self._place(operations)


class Operations:
    """The functions of a table, loaded into this process."""

    __slots__ = ("address", *OPERATIONS, "close", "nopage")

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Callable[..., Any] | None: ...

    def __init__(self, address: int, names: tuple[str, ...], skip: int) -> None:
        from smpmm import text
        from smpmm.mm import access_cy

        self.address = address
        words = struct.unpack(
            f"<{len(names)}I", access_cy.peek(address + skip, 4 * len(names))
        )
        for name, word in zip(names, words, strict=True):
            setattr(self, name, text.load(word) if word else None)


_loaded: dict[int, Operations] = {}
_version = 0


def operations_at(address: int) -> Operations:
    """Return the file operations of the struct at `address`, loaded once per process."""
    return _load(address, OPERATIONS, 4)


def vm_operations_at(address: int) -> Operations:
    """Return the operations of a mapping, of the struct at `address`."""
    return _load(address, VM_OPERATIONS, 0)


def _load(address: int, names: tuple[str, ...], skip: int) -> Operations:
    global _version
    from smpmm import text_cy

    if text_cy.version() != _version:
        _loaded.clear()
        _version = text_cy.version()
    found = _loaded.get(address)
    if found is None:
        found = _loaded[address] = Operations(address, names, skip)
    return found
