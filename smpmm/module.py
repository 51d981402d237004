"""Loadable modules: insmod, rmmod, and what a module declares (kernel/module.c, 2.4).

A driver comes compiled (`smpmm.objfile`) and is never imported. Its top level and its
init function run once, on the CPU that serves insmod; every other process gets the namespace
(`smpmm.namespace`). Init alone may rebind globals; they are shipped as they are when it
returns. Not modelled: dependencies between modules, autoclean, kmod.
"""

from __future__ import annotations

import errno
import marshal
import os
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from cpus import event_cy, kill_cy
from cpus.errors import ConfigError
from cpus.handle_cy import Handle
from smpmm import frozen, leaks, module_table_cy, namespace, static, text_cy
from smpmm.syscall import system_call

STRUCT_MODULE_BYTES = 64  # what struct module takes at the start of the static data
KERN_WARNING = 4
KERN_INFO = 6

# The module whose source or init function this context is running.
_loading: ContextVar[Module | None] = ContextVar("loading", default=None)
# Of each module in this process: the snapshot that its namespace is up to date with.
_loaded: dict[int, int] = {}
# Of the module that is being inserted here: the globals of its last snapshot.
_shipped: dict[int, dict[str, Any]] = {}


class Module(Handle):
    """THIS_MODULE: a loaded module."""

    serial = 0

    @property
    def name(self) -> str:
        """The name that insmod gave it."""
        info = module_table_cy.module_info(self.serial)
        return info["name"] if info else "?"

    @property
    def usecount(self) -> int:
        """How often it is in use: a word in RAM that never goes below 0."""
        return module_table_cy.module_uses(self.serial)

    @usecount.setter
    def usecount(self, count: int) -> None:
        module_table_cy.set_module_uses(self.serial, count)

    def __reduce__(self) -> tuple:
        return module_handle, (self.serial,)


def module_handle(serial: int) -> Module:
    """Return the handle of module `serial`: the address of its struct."""
    info = module_table_cy.module_info(serial)
    address = info["chunks"][0][0] if info and info["chunks"] else 0
    module = Module.handle_at(address)
    module.serial = serial
    return module


def __getattr__(name: str) -> Any:
    if name == "THIS_MODULE":
        return _loading.get()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# Declarations of a module's source: harmless where there is no machine.


def module_init(function: Callable) -> Callable:
    """Mark the function that insmod calls."""
    function.__globals__["__module_init__"] = function
    return function


def module_exit(function: Callable) -> Callable:
    """Mark the function that rmmod calls."""
    function.__globals__["__module_exit__"] = function
    return function


def MODULE_PARM(name: str, type: str) -> None:
    """Declare a global as a parameter of insmod: see `smpmm.parameters`."""
    space = sys._getframe(1).f_globals
    given = space.get("__given__")
    if given is None:
        return
    if name not in space:
        raise ConfigError(f"MODULE_PARM: {name} must have its default value before")
    value = given.get(name, space[name])
    space[name] = value
    if type != "s":
        setattr(space[namespace.PARAMETERS], name, value)


def MOD_INC_USE_COUNT() -> None:
    """Count one more use of the calling module; any context."""
    module_table_cy.module_get(static.calling_module())


def MOD_DEC_USE_COUNT() -> None:
    """Count one use less of the calling module; any context."""
    module_table_cy.module_put(static.calling_module())


# insmod


@system_call("insmod")
def insmod(
    name: str, file: str, code: bytes, words: Sequence[str], values: Mapping[str, Any]
) -> None:
    """Load a module and run its init function; the body of the system call, may sleep.

    The arguments are an `objfile.Object`.

    FileExistsError when it is loaded, FrozenStateError when it keeps state in Python, OSError
    with init's errno: then all is undone.
    """
    serial = _claim(name, file)
    token = _loading.set(None)
    try:
        space = _execute(serial, name, file, marshal.loads(code), words, values)
        kill_cy.pass_point("module")
        _check_frozen(name, space)
        _ship(serial)
        _run_init(serial, name, space)
    except BaseException as error:
        _undo(serial, name, error)
        raise
    finally:
        _loading.reset(token)
        _shipped.pop(serial, None)


def _claim(name: str, file: str) -> int:
    for _ in range(2):
        serial = module_table_cy.claim_module(name, file)
        if serial > 0:
            return serial
        if serial < 0:
            raise OSError(errno.ENOMEM, f"insmod {name}: too many modules")
        old = _serial_of_name(name)
        info = module_table_cy.module_info(old)
        # A CPU died while it loaded or removed this module.
        if info and info["state"] != module_table_cy.LIVE and info["owner_dead"]:
            _release(old)
    raise FileExistsError(errno.EEXIST, f"insmod: a module named {name} already exists")


def _execute(
    serial: int,
    name: str,
    file: str,
    code: types.CodeType,
    words: Sequence[str],
    values: Mapping[str, Any],
) -> dict[str, Any]:
    """Run a module's top level in a fresh namespace."""
    space = namespace.fresh(name, file)
    namespace.adopt(serial, space)
    space["__serial__"] = serial
    if not static.module_alloc(serial, STRUCT_MODULE_BYTES):
        raise MemoryError(f"insmod {name}: no memory for its struct module")
    _loading.set(module_handle(serial))
    space["__given__"] = dict(values)
    space[namespace.PARAMETERS] = _parameter_struct(serial, name, words) if words else None
    exec(code, space)
    del space["__given__"]
    missing = [word for word in words if word not in space]
    if missing:
        raise ConfigError(f"insmod {name}: MODULE_PARM of {missing[0]}, which is not defined")
    if "__module_init__" not in space:
        raise ConfigError(f"insmod {name}: no @module_init function")
    return space


def _parameter_struct(serial: int, name: str, words: Sequence[str]) -> Any:
    from smpmm import kstruct

    cls: Any = kstruct.StructType(
        "Parameters",
        (kstruct.KStruct,),
        {"__module__": f"[{name}]", "__annotations__": dict.fromkeys(words, kstruct.s32)},
    )
    return cls.at(static.module_alloc(serial, kstruct.sizeof(cls)))


def _check_frozen(name: str, space: dict[str, Any]) -> None:
    """Refuse a module that keeps state in Python, by name and line."""
    functions: list[Any] = []
    for value in space.values():
        if getattr(value, "__module__", None) != space["__name__"]:
            continue
        if isinstance(value, types.FunctionType):
            functions.append(value)
        elif isinstance(value, type):
            functions.extend(frozen.methods(value))
    frozen.check(
        functions, exempt=[space["__module_init__"]], what=f"insmod {name}: the module"
    )


def _ship(serial: int) -> None:
    """Make a snapshot of a module's globals for the other processes."""
    space = namespace.known(serial)
    assert space is not None
    shipped = dict(space)
    data = namespace.snapshot(space)
    before = module_table_cy.module_code(serial)
    number = text_cy.add(text_cy.BLOB, serial, "", space["__name__"], data) + 1
    info = module_table_cy.module_info(serial)
    pages = sum(4096 << order for _address, order, _used in info["chunks"])
    module_table_cy.set_module_state(serial, info["state"], number, len(data) + pages)
    if before:
        text_cy.discard(before - 1)
    _shipped[serial] = shipped
    _loaded[serial] = number
    text_cy.new_version()


def refresh(serial: int) -> None:
    """Ship changed globals before a function of a module being inserted gets known."""
    shipped = _shipped.get(serial)
    if shipped is None:
        return
    space = namespace.known(serial) or {}
    if len(space) != len(shipped) or any(shipped.get(k) is not v for k, v in space.items()):
        _ship(serial)


def _run_init(serial: int, name: str, space: dict[str, Any]) -> None:
    result = space["__module_init__"]()
    if result:
        if not isinstance(result, int):
            raise TypeError(
                f"{name}: init returned {result!r}, neither 0 nor a negative errno"
            )
        number = abs(result)
        text_ = os.strerror(number) if number < 500 else f"error {number}"
        raise OSError(number, f"insmod {name}: init_module: {text_}")
    _ship(serial)
    module_table_cy.set_module_state(serial, module_table_cy.LIVE)
    event_cy.log(f"Module {name} inserted", KERN_INFO)


def _undo(serial: int, name: str, error: BaseException) -> None:
    report = leaks.of_module(serial)
    if report:
        event_cy.log(
            f"insmod {name} failed ({error}) and left behind:\n{report}", KERN_WARNING
        )
    _release(serial)


def _release(serial: int) -> None:
    """Take a module's functions, data and record away."""
    text_cy.end_module(serial)
    static.free_module(serial)
    module_table_cy.release_module(serial)
    namespace.forget(serial)
    _loaded.pop(serial, None)


# In every process


def find(serial: int) -> dict[str, Any]:
    """Return the namespace of a module in this process, loaded or brought up to date."""
    space = namespace.known(serial)
    number = module_table_cy.module_code(serial)
    if space is not None and _loaded.get(serial) == number:
        return space
    for _ in range(100):
        data = text_cy.read(number - 1) if number else None
        again = module_table_cy.module_code(serial)
        if data is not None and again == number:
            space = namespace.restore(serial, data)
            _loaded[serial] = number
            return space
        if not again:
            break
        number = again
    raise LookupError(f"module {serial} is gone, or has no namespace yet")


# rmmod


def _serial_of_name(name: str) -> int:
    for serial in module_table_cy.module_serials():
        info = module_table_cy.module_info(serial)
        if info and info["name"] == name:
            return serial
    return 0


@system_call("rmmod")
def rmmod(name: str) -> leaks.LeakReport:
    """Remove a module: run its exit function, then name what it did not free; may sleep.

    OSError ENOENT when it is not loaded, EBUSY when it is in use.
    """
    serial = _serial_of_name(name)
    if not serial:
        raise FileNotFoundError(errno.ENOENT, f"rmmod: module {name} is not loaded")
    uses = module_table_cy.begin_unload(serial)
    if uses:
        how = f"in use {uses} times" if uses > 0 else "being loaded or removed"
        raise OSError(errno.EBUSY, f"rmmod: module {name} is {how}")
    token = _loading.set(module_handle(serial))
    try:
        space = find(serial)
        if "__module_exit__" in space:
            space["__module_exit__"]()
    finally:
        _loading.reset(token)
        try:
            report = leaks.of_module(serial)
            if report:
                event_cy.log(f"rmmod {name}: not freed:\n{report}", KERN_WARNING)
        finally:
            _release(serial)
    return report


def modules_text() -> str:
    """Return /proc/modules: name, size in bytes, use count, state; newest first."""
    lines = []
    for serial in module_table_cy.module_serials():
        info = module_table_cy.module_info(serial)
        if info is None:
            continue
        line = f"{info['name']:<20}{info['size']:8d}"
        if info["state"] == module_table_cy.COMING:
            line += " (uninitialized)"
        else:
            line += f"{info['usecount']:4d}"
            if info["state"] == module_table_cy.GOING:
                line += " (deleted)"
            elif not info["flags"] & module_table_cy.USED_ONCE:
                line += " (unused)"
        lines.append(line + "\n")
    return "".join(lines)
