"""What dill's pickles call where they are loaded, without dill: functions, cells, classes.

A machine's processes load such pickles and seldom make one, and dill with all that it imports
would be a quarter of what a CPU's process shares with the others. A name that is not here is
taken from dill itself. The names and arguments are those of dill's pickles.

A class that travels by value carries a token. Where the token is known, the class that is
there is used: an exception class of the user's script comes back as that very class, so that
his `except` clause catches it. A class that was shipped before is not made again.
"""

import builtins
import functools
import importlib
import operator
import os
import pickle
import sys
import types
import weakref
from types import CellType, CodeType, FunctionType
from typing import Any, Final

DILL: Final = "dill._dill"  # the module that dill's pickles name
DILL_NAME: Final = b"dill"  # in each of them

# Types that have names of dill's.
TYPES: Final[dict[str, type]] = {
    "AttrGetterType": operator.attrgetter,
    "ItemGetterType": operator.itemgetter,
    "PartialType": functools.partial,
    "SuperType": super,
}

_tokens: weakref.WeakKeyDictionary[type, str] = weakref.WeakKeyDictionary()
_classes: weakref.WeakValueDictionary[str, type] = weakref.WeakValueDictionary()


def token_of(cls: type) -> str:
    """Return the token that `cls` travels with."""
    token = _tokens.get(cls)
    if token is None:
        token = _tokens[cls] = os.urandom(16).hex()
        _classes[token] = cls
    return token


def create_class(token: str, metaclass: type, *args: Any) -> type:
    """Return the class of `token`, made here unless it is known."""
    cls = _classes.get(token)
    if cls is None:
        cls = metaclass(*args)
        _tokens[cls] = token
        _classes[token] = cls
    return cls


class Unpickler(pickle.Unpickler):
    """The plain unpickler; what dill's own module should give is looked for here first."""

    def find_class(self, module: str, name: str) -> Any:
        if module == DILL:
            return from_dill(name)
        if module == "dill" and name == "_dill":
            return sys.modules[__name__]
        return super().find_class(module, name)


def from_dill(name: str) -> Any:
    """Return what stands here for `dill._dill.name`, or that itself."""
    found = globals().get(name)
    return getattr(importlib.import_module(DILL), name) if found is None else found


def __getattr__(name: str) -> Any:
    """Give what a pickle takes from dill's module by `getattr`."""
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(DILL), name)


# For _create_cell: nothing is in the cell.
_CELL_EMPTY: Final = object()
_setattr = setattr
_delattr = delattr


def _create_function(
    code: CodeType,
    space: dict[str, Any] | None,
    name: str | None = None,
    defaults: tuple | None = None,
    closure: tuple | None = None,
    attributes: dict[str, Any] | None = None,
    kwdefaults: dict[str, Any] | None = None,
) -> FunctionType:
    space = {} if space is None else space
    function = FunctionType(code, space, name, defaults, closure)
    if attributes is not None:
        function.__dict__.update(attributes)
    if kwdefaults is not None:
        function.__kwdefaults__ = kwdefaults
    space.setdefault("__builtins__", builtins)
    return function


def _create_code(*args: Any) -> CodeType:
    """Make a code object, from dill's table of lines first or without one."""
    return CodeType(*(args if isinstance(args[0], int) else args[1:]))


def _create_cell(content: Any = None) -> CellType:
    return CellType() if content is _CELL_EMPTY else CellType(content)


def _create_type(metaclass: type, *args: Any) -> type:
    return metaclass(*args)


def _load_type(name: str) -> type:
    """Return a type of the interpreter by its name in `types`, as a builtin, or of dill's."""
    found = TYPES.get(name) or getattr(types, name, None) or getattr(builtins, name, None)
    return found if type(found) is type else from_dill("_reverse_typemap")[name]


def _setitems(into: dict, items: dict) -> None:
    into.update(items)


def _import_module(name: str, safe: bool = False) -> Any:
    """Import a module, or give something of one by its dotted name."""
    if name in sys.modules:
        return sys.modules[name]
    module, _, last = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), last, None) if module else None
        if isinstance(found, (types.ModuleType, type)):
            return found
        return importlib.import_module(name)
    except ImportError:
        if safe:
            return None
        raise
