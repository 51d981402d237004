"""Functions, arguments, results and exceptions on their way between processes.

Code of the user's main module travels by value, with the globals it refers to: no process of
ours imports that module. So does code of the modules named by `register_by_value`; all other
modules travel by name, and are imported where they arrive.

What travels by name is pickled as usual; the rest by `byvalue`, with dill, which is loaded
when it is first needed: seldom in a process of a machine.
"""

import importlib
import io
import pickle
import sys
import traceback
from collections.abc import Callable
from types import FunctionType
from typing import Any

from cpus import rebuild

PROTOCOL = 5
# Of exactly these types the plainest pickler makes what any other makes.
PLAIN = (type(None), bool, int, float, str, bytes)
# Called with an object that is about to be pickled: how, as `__reduce__` says it.
Reduce = Callable[[Any], Any]

_by_value: set[str] = set()


class Unshippable(str):
    """The text of a result that could not be pickled."""


class RemoteTraceback(Exception):
    """The traceback of an exception where it was raised; its `__cause__` here."""

    def __init__(self, text: str):
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


class RemoteError(Exception):
    """An exception that could not be pickled: its type's name and its text."""


def register_by_value(module: str) -> None:
    """Ship code of `module` and its submodules by value, as that of the main module.

    For modules that a fresh interpreter cannot import, or should not: test modules, for one.
    """
    _by_value.add(module)


def is_by_value(module: str | None) -> bool:
    """Whether code of `module` travels by value."""
    if not module or module == "__main__":
        return True
    # A module that is not here: the object came by value, and goes on so.
    if module not in sys.modules:
        return True
    return module in _by_value or any(module.startswith(name + ".") for name in _by_value)


class ByValue(Exception):
    """Something is to be pickled that does not travel by name."""


class _Pickler(pickle.Pickler):
    """The plain pickler; it gives up at the first function or class that goes by value."""

    def __init__(self, file: io.BytesIO, reduce: Reduce | None):
        super().__init__(file, PROTOCOL)
        self._reduce = reduce

    def reducer_override(self, obj: Any) -> Any:
        if self._reduce is not None and (parts := self._reduce(obj)) is not NotImplemented:
            return parts
        if isinstance(obj, (FunctionType, type)) and is_by_value(obj.__module__):
            raise ByValue
        return NotImplemented


def dumps(value: Any, reduce: Reduce | None = None) -> bytes:
    """Pickle anything that a task takes or gives; `reduce` may say how for some of it."""
    file = io.BytesIO()
    try:
        _Pickler(file, reduce).dump(value)
    except Exception:  # whatever an object's own methods raise: dill may know better
        from cpus import byvalue

        return byvalue.dumps(value, reduce)
    return file.getvalue()


def loads(data: bytes) -> Any:
    """Undo `dumps`."""
    if rebuild.DILL_NAME not in data:
        return pickle.loads(data)
    return rebuild.Unpickler(io.BytesIO(data)).load()


def dump_call(function: Callable | str, args: tuple, kwargs: dict) -> bytes:
    """Pickle a call; `function` may be a name, "module:function", known where it arrives."""
    return dumps((function, args, kwargs))


def load_call(data: bytes) -> tuple[Callable, tuple, dict]:
    """Undo `dump_call`; a name is looked up and its module imported."""
    function, args, kwargs = loads(data)
    if isinstance(function, str):
        function = named(function)
    return function, args, kwargs


def named(name: str) -> Any:
    """Return the object called "module:name"."""
    module, _, attribute = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found


def dump_result(value: Any) -> bytes:
    """Pickle what a task returned; what cannot be pickled travels as its text."""
    if type(value) in PLAIN:
        return pickle.dumps((True, value, None), PROTOCOL)
    try:
        return dumps((True, value, None))
    except Exception:
        return dumps((True, Unshippable(repr(value)), None))


def dump_failure(error: BaseException) -> bytes:
    """Pickle the exception that ended a task, with its traceback as text."""
    text = "".join(traceback.format_exception(error))
    try:
        data = dumps((False, error, text))
        loads(data)  # a class whose constructor wants other arguments fails only there
    except Exception:
        name = f"{type(error).__module__}.{type(error).__qualname__}"
        data = dumps((False, RemoteError(f"{name}: {error}"), text))
    return data


def load_outcome(data: bytes) -> Any:
    """Return what the task returned, or raise what it raised with the remote traceback."""
    done, value, text = loads(data)
    if done:
        return value
    value.__cause__ = RemoteTraceback(text)
    raise value
