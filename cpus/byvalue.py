"""Functions and classes that travel by value, pickled by dill with `recurse=True`.

A class carries its token (`rebuild`), so that where it is known it is not made again.
"""

import importlib
import io
import threading
from types import FunctionType
from typing import Any

from cpus import late, rebuild, ship

dill_internals: Any = late.dill_core()


class _Pickler(dill_internals.Pickler):
    """dill's pickler; a class travels with its token."""

    def __init__(self, file: io.BytesIO, reduce: ship.Reduce | None):
        super().__init__(file, ship.PROTOCOL, recurse=True)
        if reduce is not None:
            self.reducer_override = reduce

    def save_reduce(self, func: Any, args: Any, *rest: Any, **options: Any) -> None:
        if func is dill_internals._create_type:
            token = rebuild.token_of(options["obj"])
            func, args = rebuild.create_class, (token, *args)
        elif func is dill_internals._import_module:
            options.pop("state", None)  # a module travels by name, without what is in it
        super().save_reduce(func, args, *rest, **options)


_locate_function = dill_internals._locate_function


def _locate_function_or_ship(obj: Any, pickler: Any = None) -> bool:
    """Stand in for dill's own: say "not importable" of what we want shipped by value."""
    if isinstance(pickler, _Pickler):
        module = getattr(obj, "__module__", None)
        if module is None or ship.is_by_value(module):
            return False
    return _locate_function(obj, pickler)


# dill has no option for it; other users of dill in this process see no difference.
dill_internals._locate_function = _locate_function_or_ship


class _Visiting(threading.local):
    """Functions (their ids) whose globals are being collected."""

    def __init__(self) -> None:
        self.ids: set[int] = set()


_visiting = _Visiting()


def _save_function(pickler: Any, function: Any) -> None:
    """Save a function as dill does, by `dill.detect`, imported for this only, and mended."""
    detect: Any = importlib.import_module("dill.detect")
    if getattr(detect.globalvars, "__module__", "") != __name__:
        detect.globalvars = _once(detect.globalvars)
    dill_internals.save_function(pickler, function)


def _once(globalvars: Any) -> Any:
    """Stand in for dill's own, which goes round for ever among functions that call each other.

    What is being collected already adds nothing.
    """

    def once(func: Any, recurse: bool = True, builtin: bool = False) -> dict:
        if id(func) in _visiting.ids:
            return {}
        _visiting.ids.add(id(func))
        try:
            return globalvars(func, recurse, builtin)
        finally:
            _visiting.ids.discard(id(func))

    return once


_Pickler.dispatch = type(_Pickler.dispatch)(_Pickler.dispatch)
_Pickler.dispatch[FunctionType] = _save_function


def dumps(value: Any, reduce: ship.Reduce | None = None) -> bytes:
    """Pickle anything that dill can; `reduce` as in `ship.dumps`."""
    file = io.BytesIO()
    _Pickler(file, reduce).dump(value)
    return file.getvalue()
