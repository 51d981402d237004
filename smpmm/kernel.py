"""What a driver sees: `from smpmm.kernel import *` in place of the kernel's headers.

In a process of a machine a name is that kernel's own function, or an integer. Elsewhere it is
a symbol that may be named and shipped, not used; see `smpmm.symbols`. The table of names is
`smpmm.kernel_names`. Outside, `*` gives the names of the default version, and those that only
other versions have are importable by name; in a machine it gives all, and one that the
machine's version lacks says which version has it when it is used.
"""

from typing import Any

from smpmm import kernel_names, symbols


def __getattr__(name: str) -> Any:
    if name == "__all__":
        inside = symbols.inside_machine()
        return kernel_names.all_names() if inside else kernel_names.names()
    if kernel_names.place_of(name) is None:
        raise AttributeError(f"module 'smpmm.kernel' has no attribute {name!r}")
    return symbols.resolve(name)


def __dir__() -> list[str]:
    return sorted(__getattr__("__all__"))
