"""Modules that others import and do not use: they are loaded when something of them is.

Of dill the machine's processes need the picklers. The rest of the package, and `pathlib`,
`tempfile` and more that it imports, are a tenth of what a CPU shares with the others.
"""

import importlib
import sys
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any, Final

# Imported by multiprocess and dill for calls not made, by a device that few machines have.
DEFERRED: Final = ("tempfile", "locale", "random")
# What the package dill itself takes from its module `_dill`.
CORE: Final = (
    "Pickler", "Unpickler", "check", "copy", "dump", "dumps", "load", "loads", "pickle",
    "pickles", "register",
)  # fmt: skip
ABOUT: Final = ("__version__", "__author__", "__license__")


class Late(ModuleType):
    """A module whose code runs when one of its names is asked for.

    Not `importlib.util.LazyLoader`: for that, a second import is such a question.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked by the import system
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return self._load(name)

    def _load(self, name: str) -> Any:
        self.__class__ = ModuleType  # type: ignore[assignment]  # an ordinary module now
        assert self.__spec__ is not None and self.__spec__.loader is not None
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


class LateDill(Late):
    """The package `dill`: what its core has does not load the rest."""

    def __getattr__(self, name: str) -> Any:
        if name in CORE:
            return getattr(sys.modules["dill._dill"], name)
        if name.startswith("_") and name not in ABOUT:  # a submodule, to be imported
            raise AttributeError(f"module 'dill' has no attribute {name!r}")
        return self._load(name)


def install() -> None:
    """Put off what can be; before it is imported. What a process has already, it keeps."""
    for name in DEFERRED:
        defer(name, Late)
    if not defer("dill", LateDill):
        return
    try:
        importlib.import_module("dill._dill")
    except (ImportError, AttributeError):  # another version's layout
        for name in [name for name in sys.modules if name.partition(".")[0] == "dill"]:
            del sys.modules[name]


def defer(name: str, kind: type[Late]) -> bool:
    """Have a module loaded later; false when it is loaded already, or not to be found."""
    spec = None if name in sys.modules else find_spec(name)
    if spec is None or spec.loader is None:
        return False
    sys.modules[name] = module_from_spec(spec)
    sys.modules[name].__class__ = kind
    return True
