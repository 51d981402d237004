"""What a driver sees: `from smpmm.kernel import *` in place of the kernel's headers.

In a process of a machine a name is that kernel's own function, or an integer. Elsewhere it is
a symbol that may be named and shipped, not used; see `smpmm.symbols`. The table of names is
`smpmm.kernel_names`. Names that only other versions have are importable by name.
"""

from typing import Any

from smpmm import kernel_names, symbols

__all__ = kernel_names.names()


def __getattr__(name: str) -> Any:
    if kernel_names.place_of(name) is None:
        raise AttributeError(f"module 'smpmm.kernel' has no attribute {name!r}")
    return symbols.resolve(name)


def __dir__() -> list[str]:
    return sorted(__all__)
