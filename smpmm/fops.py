"""file_operations: what a driver does when its files are used (linux/fs.h).

In a machine it is a struct in the static data of who makes it: one word per operation, the
address of the function in the kernel's text. Outside it keeps its functions and does nothing,
so that a file with a driver in it can be imported.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cpus.handle_cy import Handle
from smpmm import symbols

# Order of 2.4's struct; `owner` is the first word.
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
LAYOUT = struct.Struct(f"<{1 + len(OPERATIONS)}I")


class file_operations(Handle):
    """The operations of a device: keywords name them, what is missing is missing."""

    def __init__(self, owner: Any = None, **operations: Callable | None) -> None:
        unknown = sorted(set(operations) - set(OPERATIONS))
        if unknown:
            raise TypeError(
                f"file_operations has no {', '.join(unknown)}; it has {', '.join(OPERATIONS)}"
            )
        self.functions = operations
        if not symbols.inside_machine():
            super().__init__(0)
            return
        from smpmm import static, text
        from smpmm.mm import access_cy

        words = [text.register(operations.get(name)) for name in OPERATIONS]
        super().__init__(static.static_alloc(LAYOUT.size))
        access_cy.poke(self, LAYOUT.pack(int(owner or 0) & 0xFFFFFFFF, *words))


class Operations:
    """The functions of a file_operations, loaded into this process."""

    __slots__ = ("address", *OPERATIONS)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Callable[..., Any] | None: ...

    def __init__(self, address: int) -> None:
        from smpmm import text
        from smpmm.mm import access_cy

        self.address = address
        _owner, *words = LAYOUT.unpack(access_cy.peek(address, LAYOUT.size))
        for name, word in zip(OPERATIONS, words, strict=True):
            setattr(self, name, text.load(word) if word else None)


_loaded: dict[int, Operations] = {}
_version = 0


def operations_at(address: int) -> Operations:
    """Return the operations of the struct at `address`, loaded once per process."""
    global _version
    from smpmm import text_cy

    if text_cy.version() != _version:
        _loaded.clear()
        _version = text_cy.version()
    found = _loaded.get(address)
    if found is None:
        found = _loaded[address] = Operations(address)
    return found
