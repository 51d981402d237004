"""Functions, arguments, results and exceptions on their way between processes (dill).

Code of the user's main module travels by value, with the globals it refers to
(`recurse=True`): no process of ours imports that module. So does code of the modules named by
`register_by_value`; all other modules travel by name, and are imported where they arrive.

A class that travels by value carries a token. Where the token is known, the class that is
there is used: an exception class of the user's script comes back as that very class, so that
his `except` clause catches it. A class that was shipped before is not made again.
"""

import importlib
import io
import os
import pickle
import sys
import traceback
import weakref
from collections.abc import Callable
from typing import Any

import dill._dill as dill_internals
from dill._dill import Pickler, Unpickler

PROTOCOL = 5
# Of exactly these types the plain pickler, which is faster, makes what dill makes.
PLAIN = (type(None), bool, int, float, str, bytes)
# A pickle without these names is a plain one: what makes functions, and what dill renames.
DILL_NAMES = (b"dill", b"__main__", b"__builtin__")

_by_value: set[str] = set()
_tokens: weakref.WeakKeyDictionary[type, str] = weakref.WeakKeyDictionary()
_classes: weakref.WeakValueDictionary[str, type] = weakref.WeakValueDictionary()


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


def _is_by_value(module: str | None) -> bool:
    if not module or not _by_value:
        return False
    return module in _by_value or any(module.startswith(name + ".") for name in _by_value)


class _Pickler(Pickler):
    """dill's pickler; a class travels with its token."""

    def save_reduce(self, func: Any, args: Any, *rest: Any, **options: Any) -> None:
        if func is dill_internals._create_type:
            func, args = _create_class, (_token_of(options["obj"]), *args)
        elif func is dill_internals._import_module:
            options.pop("state", None)  # a module travels by name, without what is in it
        super().save_reduce(func, args, *rest, **options)


_locate_function = dill_internals._locate_function


def _locate_function_or_ship(obj: Any, pickler: Any = None) -> bool:
    """Stand in for dill's own: say "not importable" of what we want shipped by value."""
    if isinstance(pickler, _Pickler):
        module = getattr(obj, "__module__", None)
        # A module that is not here: the object came by value, and goes on so.
        if _is_by_value(module) or (module and module not in sys.modules):
            return False
    return _locate_function(obj, pickler)


# dill has no option for it; other users of dill in this process see no difference.
dill_internals._locate_function = _locate_function_or_ship


def _token_of(cls: type) -> str:
    token = _tokens.get(cls)
    if token is None:
        token = _tokens[cls] = os.urandom(16).hex()
        _classes[token] = cls
    return token


def _create_class(token: str, metaclass: type, *args: Any) -> type:
    """Return the class of `token`, made here unless it is known."""
    cls = _classes.get(token)
    if cls is None:
        cls = dill_internals._create_type(metaclass, *args)
        _tokens[cls] = token
        _classes[token] = cls
    return cls


def dumps(value: Any) -> bytes:
    """Pickle anything that a task takes or gives."""
    file = io.BytesIO()
    _Pickler(file, PROTOCOL, recurse=True).dump(value)
    return file.getvalue()


def loads(data: bytes) -> Any:
    """Undo `dumps`."""
    if not any(name in data for name in DILL_NAMES):
        return pickle.loads(data)
    # `ignore`: dill would look for the object's class in this process's own main module.
    return Unpickler(io.BytesIO(data), ignore=True).load()


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
