"""Functions that another process calls: addresses in the kernel's text, and what they stand
for.

The kernel's text belongs to a later layer, which registers how to use it. Here a function is
known by its address alone.
"""

from collections.abc import Callable
from typing import Any


def _no_text(what: object) -> Any:
    raise RuntimeError(f"{what!r}: this machine has no kernel text")


_load: Callable[[int], Callable[..., Any]] = _no_text
_register: Callable[[Callable[..., Any]], int] = _no_text


def register_text(
    load: Callable[[int], Callable[..., Any]], register: Callable[[Callable[..., Any]], int]
) -> None:
    """Say how an address becomes a function (gone: an oops), and a function an address."""
    global _load, _register
    _load, _register = load, register


def function_at(address: int) -> Callable[..., Any]:
    """Return the function at an address of the kernel's text; outside of any call."""
    return _load(address)


def function_address(function: Any) -> int:
    """Return the address of a function, registering it; an address stays what it is."""
    if function is None:
        return 0
    if callable(function) and not hasattr(function, "__index__"):
        return _register(function)
    return int(function)


def call_text(address: int, *arguments: Any) -> Any:
    """Call the function at an address of the kernel's text, in this context."""
    return _load(address)(*arguments)
