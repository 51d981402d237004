"""The frozen-state rule: Python state is not shared between the processes of a machine.

A function that runs as kernel code runs in any process, each with its own copy of the
function's globals and closure. So what such a function rebinds, or changes inside a list, is
seen by one CPU only. `findings` names every place where a function, or one that it refers to,
does so; a module's init function is exempt, since its globals are shipped as they are when it
returns.

Checked: global and closure variables that are rebound or deleted; references to a list, dict,
set or bytearray in them. Modules, classes, functions and kernel objects pass. Functions of
imported modules are not followed: they are the same file in every process. Left out: what a
function reaches through attributes and arguments.
"""

from __future__ import annotations

import dis
import os
import sys
import types
import warnings
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

MUTABLE = (list, dict, set, bytearray, deque)
REBINDS = frozenset({"STORE_GLOBAL", "DELETE_GLOBAL", "STORE_DEREF", "DELETE_DEREF"})
READS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF"})
ADVICE = (
    "Each CPU is a process with its own copy, so Python state is frozen: what changes lives "
    "in RAM (a field of KStruct.static(), an atomic_t, an integer given by MODULE_PARM)"
)


@dataclass(frozen=True, order=True)
class Finding:
    """One place that breaks the rule."""

    file: str
    line: int
    function: str
    name: str
    problem: str  # what the function does with the name

    def __str__(self) -> str:
        where = f"{os.path.basename(self.file)}:{self.line}: {self.function}()"
        return f"{where} {self.problem}"


class FrozenStateError(TypeError):
    """Kernel code that keeps state in Python, which the machine's processes do not share."""

    def __init__(self, found: Iterable[Finding], what: str = "") -> None:
        self.findings = tuple(found)
        lines = "\n".join(f"  {one}" for one in self.findings)
        tail = ""
        if any("refers to" in one.problem for one in self.findings):
            tail = "; a constant table is a tuple or a types.MappingProxyType"
        super().__init__(
            f"{what or 'kernel code'} keeps state in Python:\n{lines}\n{ADVICE}{tail}."
        )

    def __reduce__(self) -> tuple:
        return _rebuild, (self.findings, str(self))


class FrozenStateWarning(UserWarning):
    """A workload that keeps state in Python: its own process sees it, other CPUs do not."""


def _rebuild(found: tuple[Finding, ...], text: str) -> FrozenStateError:
    error = FrozenStateError(found)
    error.args = (text,)
    return error


def is_library(name: str | None) -> bool:
    """Return whether functions of module `name` are the same file in every process."""
    if not name or name in ("__main__", "__mp_main__"):
        return False
    module = sys.modules.get(name)
    return module is not None and getattr(module, "__spec__", None) is not None


def findings(
    functions: Iterable[Any], exempt: Iterable[Any] = (), words: Iterable[str] = ()
) -> list[Finding]:
    """Return what breaks the rule in `functions` and in what they refer to, by file and line.

    `exempt` are functions that may rebind globals (a module's init); `words` are global names
    that stand for words in RAM. Runtime complexity: O(instructions).
    """
    ram = frozenset(words)
    seen = {id(_function(one)) for one in exempt}
    queue = deque(_function(one) for one in functions)
    found: set[Finding] = set()
    while queue:
        function = queue.popleft()
        if not isinstance(function, types.FunctionType) or id(function) in seen:
            continue
        seen.add(id(function))
        found.update(_function_findings(function, ram))
        queue.extend(_referred(function))
    return sorted(found)


def check(
    functions: Iterable[Any],
    exempt: Iterable[Any] = (),
    words: Iterable[str] = (),
    what: str = "",
) -> None:
    """Raise FrozenStateError when `findings` has any: for insmod and every registration."""
    found = findings(functions, exempt, words)
    if found:
        raise FrozenStateError(found, what)


def check_registered(function: Any) -> None:
    """Refuse a function that is about to be registered with the kernel, by name and line."""
    function = _function(function)
    if isinstance(function, types.FunctionType) and not is_library(function.__module__):
        check([function], what=f"{function.__qualname__}()")


# Workloads that were looked at; many tasks run the same one.
_spawned: weakref.WeakSet[types.FunctionType] = weakref.WeakSet()


def warn_spawned(function: Any, stacklevel: int = 2) -> None:
    """Warn of the state in Python that a workload keeps: its CPU alone will see it."""
    function = _function(function)
    if not isinstance(function, types.FunctionType) or function in _spawned:
        return
    _spawned.add(function)
    if not is_library(function.__module__):
        for one in findings([function]):
            warnings.warn(f"{one}. {ADVICE}.", FrozenStateWarning, stacklevel + 1)


def _function(one: Any) -> Any:
    while True:
        if isinstance(one, types.MethodType):
            one = one.__func__
        elif isinstance(one, (staticmethod, classmethod)):
            one = one.__func__
        elif hasattr(one, "func") and type(one).__name__ == "partial":
            one = one.func
        else:
            return one


def _function_findings(function: types.FunctionType, ram: frozenset[str]) -> Iterator[Finding]:
    cells = _cells(function)
    for code in _codes(function.__code__):
        line = code.co_firstlineno
        for instruction in dis.get_instructions(code):
            if instruction.positions and instruction.positions.lineno:
                line = instruction.positions.lineno
            if instruction.opname not in REBINDS and instruction.opname not in READS:
                continue
            name = instruction.argval
            if name in ram:
                continue
            problem = _problem(function, cells, code, instruction.opname, name)
            if problem:
                yield Finding(code.co_filename, line, code.co_qualname, name, problem)


def _problem(
    function: types.FunctionType, cells: dict, code: types.CodeType, opname: str, name: str
) -> str:
    of_cell = opname.endswith("DEREF")
    # A variable that an enclosing function makes anew at each call is nobody else's.
    if of_cell and name not in (cells if name in code.co_freevars else ()):
        return ""
    kind = "closure variable" if of_cell else "global"
    if opname in REBINDS:
        verb = "deletes" if opname.startswith("DELETE") else "rebinds"
        return f"{verb} the {kind} {name!r}"
    value = cells.get(name) if of_cell else function.__globals__.get(name)
    if isinstance(value, MUTABLE):
        return f"refers to the {type(value).__name__} {name!r}, a {kind}"
    return ""


def _cells(function: types.FunctionType) -> dict[str, Any]:
    """Return the closure's variables by name; an empty cell is left out."""
    values = {}
    for name, cell in zip(
        function.__code__.co_freevars, function.__closure__ or (), strict=True
    ):
        try:
            values[name] = cell.cell_contents
        except ValueError:
            values[name] = None
    return values


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _referred(function: types.FunctionType) -> Iterator[Any]:
    """Yield the functions, and the methods of the classes, that a function refers to."""
    names = {name for code in _codes(function.__code__) for name in code.co_names}
    space = function.__globals__
    values = [space[name] for name in names if name in space]
    values += _cells(function).values()
    for value in values:
        value = _function(value)
        if is_library(getattr(value, "__module__", None)):
            continue
        if isinstance(value, types.FunctionType):
            yield value
        elif isinstance(value, type):
            yield from methods(value)


def methods(cls: type) -> Iterator[types.FunctionType]:
    """Yield the functions that a class body defines."""
    for value in vars(cls).values():
        if isinstance(value, property):
            for one in (value.fget, value.fset, value.fdel):
                if isinstance(one, types.FunctionType):
                    yield one
        else:
            value = _function(value)
            if isinstance(value, types.FunctionType):
                yield value
