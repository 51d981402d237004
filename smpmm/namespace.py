"""The namespace of a loaded module as bytes, and functions that belong to one.

A module's source runs once, in the process that inserts it. Every other process gets the
namespace as it was left: functions of the module are rebuilt over one dictionary per process,
so that a function sees its module's globals; classes travel by value and keep their identity;
handles travel as their addresses; what `from smpmm.kernel import *` gave is bound anew.
"""

from __future__ import annotations

import marshal
import types
from typing import Any

from cpus import rebuild, ship
from smpmm import kernel_names, symbols
from smpmm.kstruct import StructType

# The name, in a module's globals, of the struct of its integer parameters.
PARAMETERS = "__parameters__"

# Serial number of a module → its globals in this process, and back.
_spaces: dict[int, dict[str, Any]] = {}
_serials: dict[int, int] = {}
_find: Any = None


def set_find_hook(find: Any) -> None:
    """Register what brings a module's namespace into this process: find(serial) → dict."""
    global _find
    _find = find


def adopt(serial: int, space: dict[str, Any]) -> None:
    """Make `space` the namespace of module `serial` in this process."""
    _spaces[serial] = space
    _serials[id(space)] = serial


def forget(serial: int) -> None:
    """Drop the namespace of a module that was removed."""
    space = _spaces.pop(serial, None)
    if space is not None:
        del _serials[id(space)]


def known(serial: int) -> dict[str, Any] | None:
    """Return the namespace of module `serial` if this process has it."""
    return _spaces.get(serial)


def serial_of(function: Any) -> int:
    """Return the serial number of the module that a function belongs to, 0 = none."""
    while isinstance(function, types.MethodType):
        function = function.__func__
    return _serials.get(id(getattr(function, "__globals__", None)), 0)


def serial_of_globals(space: dict[str, Any]) -> int:
    """Return the serial number of the module whose globals these are, 0 = none."""
    return _serials.get(id(space), 0)


def find(serial: int) -> dict[str, Any]:
    """Return the namespace of module `serial`, up to date, brought here if need be."""
    return _find(serial)


def fresh(name: str, file: str) -> dict[str, Any]:
    """Return the globals that a module's source starts with."""
    # No importable name: what is defined here must not be looked for in a file on sys.path.
    return {"__name__": f"[{name}]", "__file__": file, "__builtins__": __builtins__}


def kernel_globals() -> dict[str, Any]:
    """Return what `from smpmm.kernel import *` gives that is the same in every module."""
    names = kernel_names.all_names()
    return {name: symbols.resolve(name) for name in names if name not in kernel_names.OWN}


def _reduce(obj: Any) -> Any:
    """Say how a module's function is pickled: it is bound to its module's globals again."""
    if type(obj) is types.FunctionType:
        serial = _serials.get(id(obj.__globals__))
        if serial is not None:
            return _parts_of(obj, serial)
    elif type(obj) is StructType and obj.__module__.startswith("["):
        return _struct_parts(obj)
    return NotImplemented


# Of a struct's class, what it is laid out anew with.
_LAID_OUT = frozenset(
    {"__dict__", "__weakref__", "__slots__", "__offsets__", "__align_bytes__", "__nr_bytes__"}
)


def _struct_parts(cls: Any) -> Any:
    """Say how a module's KStruct class is pickled: without dill, which a CPU can do without.

    A class that one of its functions refers to, by super(), takes the long way.
    """
    fields = cls.__fields__
    left_out = _LAID_OUT.union(fields)
    space = {name: value for name, value in cls.__dict__.items() if name not in left_out}
    for value in space.values():
        if type(value) in (staticmethod, classmethod, property):
            return NotImplemented
        if type(value) is types.FunctionType and value.__closure__:
            return NotImplemented
    arguments = (rebuild.token_of(cls), StructType, cls.__name__, cls.__bases__, space)
    return rebuild.create_class, arguments


def _parts_of(function: types.FunctionType, serial: int) -> tuple:
    code = marshal.dumps(function.__code__)
    cells = tuple(function.__closure__ or ())
    state = (
        function.__defaults__,
        function.__kwdefaults__,
        tuple(_content(cell) for cell in cells),
        function.__dict__,
        function.__annotations__,
    )
    arguments = (serial, code, function.__name__, function.__qualname__, len(cells))
    return _make_function, arguments, state, None, None, _fill_function


def _content(cell: types.CellType) -> tuple:
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def _make_function(
    serial: int, code: bytes, name: str, qualname: str, nr_cells: int
) -> types.FunctionType:
    space = _spaces.get(serial)
    if space is None:
        space = _find(serial)
    closure = tuple(types.CellType() for _ in range(nr_cells)) or None
    function = types.FunctionType(marshal.loads(code), space, name, None, closure)
    function.__qualname__ = qualname
    return function


def _fill_function(function: types.FunctionType, state: tuple) -> None:
    defaults, kwdefaults, contents, attributes, annotations = state
    function.__defaults__ = defaults
    function.__kwdefaults__ = kwdefaults
    function.__dict__.update(attributes)
    function.__annotations__ = annotations
    for cell, content in zip(function.__closure__ or (), contents, strict=True):
        if content:
            cell.cell_contents = content[0]


def dumps(value: Any) -> bytes:
    """Pickle anything that refers to functions of loaded modules, or to none."""
    return ship.dumps(value, _reduce)


def snapshot(space: dict[str, Any]) -> bytes:
    """Pickle a module's globals as they are now."""
    shared = kernel_globals()
    own = {
        name: value
        for name, value in space.items()
        if name != "__builtins__" and not (name in shared and shared[name] is value)
    }
    return dumps(own)


def restore(serial: int, data: bytes) -> dict[str, Any]:
    """Bring the globals of module `serial` up to date with `data`, in place; return them."""
    space = _spaces.get(serial)
    if space is None:
        space = {"__builtins__": __builtins__, **kernel_globals()}
        adopt(serial, space)
    space.update(ship.loads(data))
    return space
