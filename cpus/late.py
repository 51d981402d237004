"""Modules that others import and do not use: they are loaded when something of them is.

They would be a third of what a CPU's process shares with the others. dill makes pickles of
what travels by value, which the processes of a machine seldom do; of the package `dill` even
they need the picklers only. Of `typing` our modules need names in annotations. See
docs/decisions/processes-share.md.
"""

import importlib
import sys
from importlib.util import find_spec, module_from_spec
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:  # known to type checkers by its name: this module runs without `typing`
    from typing import Any

# Imported for calls that are not made: by multiprocess, dill, `dataclasses`, `linecache`. And
# what only loads a module (`ast`, `dis`), reports an error (`traceback`), what only few
# devices need (`random`).
DEFERRED = (
    "ast", "dis", "inspect", "locale", "random", "tempfile", "tokenize", "traceback",
)  # fmt: skip
# What the package dill itself takes from its module `_dill`.
CORE = (
    "Pickler", "Unpickler", "check", "copy", "dump", "dumps", "load", "loads", "pickle",
    "pickles", "register",
)  # fmt: skip
ABOUT = ("__version__", "__author__", "__license__")


class Late(ModuleType):
    """A module whose code runs when one of its names is asked for.

    Not `importlib.util.LazyLoader`: for that, a second import is such a question.
    """

    def __getattr__(self, name: str) -> "Any":
        if name.startswith("__"):  # asked by the import system
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return self._load(name)

    def _load(self, name: str) -> "Any":
        self.__class__ = ModuleType  # type: ignore[assignment]  # an ordinary module now
        assert self.__spec__ is not None and self.__spec__.loader is not None
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


class LateDill(Late):
    """The package `dill`: what its core has does not load the rest."""

    def __getattr__(self, name: str) -> "Any":
        if name in CORE:
            return getattr(importlib.import_module("dill._dill"), name)
        if name.startswith("_") and name not in ABOUT:  # a submodule, to be imported
            raise AttributeError(f"module 'dill' has no attribute {name!r}")
        return self._load(name)


class LateSubprocess(Late):
    """The module `subprocess`: multiprocess takes a function of it, and never calls it."""

    def __getattr__(self, name: str) -> "Any":
        if name != "_args_from_interpreter_flags":
            return super().__getattr__(name)
        return lambda: self._load(name)()


class Hint:
    """Stands for a name of `typing` in an annotation that nobody reads."""

    def __getitem__(self, item: object) -> "Hint":
        return self

    def __or__(self, other: object) -> "Hint":
        return self

    __ror__ = __or__


class HintBase:
    """Stands for `typing.Generic` among the bases of a class."""

    def __class_getitem__(cls, item: object) -> type:
        return cls


class LateTyping(Late):
    """The module `typing` while our own modules are imported, and `dataclasses` asks it."""

    HINTS = {
        "TYPE_CHECKING": False,
        "Generic": HintBase,
        "cast": lambda type, value: value,
        "TypeVar": lambda *args, **options: Hint(),
        "_GenericAlias": LateDill,  # the type of no annotation
        **dict.fromkeys(("Any", "BinaryIO", "Final", "NoReturn", "Self"), Hint()),
        **dict.fromkeys(("ClassVar", "InitVar"), object()),
    }

    def __getattr__(self, name: str) -> "Any":
        return self.HINTS[name] if name in self.HINTS else super().__getattr__(name)


def install() -> None:
    """Put off what can be; before it is imported. What a process has already, it keeps."""
    for name in DEFERRED:
        defer(name, Late)
    defer("subprocess", LateSubprocess)
    defer("typing", LateTyping)
    from cpus import atfork

    atfork.collect()
    if "dill" not in sys.modules:
        import_without("dill", "multiprocess.connection")
        defer("dill", LateDill)


def settle() -> None:
    """Our own modules have been imported: who asks `typing` from now on gets itself."""
    if type(sys.modules["typing"]) is LateTyping:
        sys.modules["typing"].__class__ = Late  # type: ignore[assignment]


def import_without(missing: str, name: str) -> None:
    """Import a module that does with something else where `missing` is not installed.

    What multiprocess pickles with dill, a machine's processes do not send through it.
    """
    sys.modules[missing] = None  # type: ignore[assignment]  # the import system's "no such"
    try:
        importlib.import_module(name)
    finally:
        del sys.modules[missing]


def dill_core() -> ModuleType:
    """Import dill's picklers: without the rest of the package, where that was put off."""
    try:
        return importlib.import_module("dill._dill")
    except (ImportError, AttributeError):  # another version's layout
        for name in [name for name in sys.modules if name.partition(".")[0] == "dill"]:
            del sys.modules[name]
        return importlib.import_module("dill._dill")


def defer(name: str, kind: type[Late]) -> bool:
    """Have a module loaded later; false when it is loaded already, or not to be found."""
    spec = None if name in sys.modules else find_spec(name)
    if spec is None or spec.loader is None:
        return False
    sys.modules[name] = module_from_spec(spec)
    sys.modules[name].__class__ = kind
    return True
