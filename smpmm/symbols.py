"""Names of the kernel's interface, outside and inside of a machine.

Outside, `GFP_KERNEL` is a symbol and `kmalloc` a function that refuses: both travel by name.
In a process of a machine the same name is that machine's plain integer, or the compiled
function itself with nothing around it. `enter_machine` is called once, by the monitor before
it forks and before it loads anything of the user's; a name is resolved when a function that
refers to it is loaded.
"""

from __future__ import annotations

import importlib
from typing import Any, NoReturn

from smpmm import constants

_version: str | None = None
_config: Any = None
_boot_phase = False
_bound: dict[str, Any] = {}


class OutsideMachine(RuntimeError):
    """A kernel's name was used where there is no kernel: outside of a machine's processes."""


class Symbol:
    """A kernel constant outside a machine: it has a name, and no value yet."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple:
        return resolve, (self.name,)

    def _why(self) -> Exception:
        return OutsideMachine(
            f"{self.name} has no value outside a machine: it depends on the kernel version. "
            "Compute with it inside a function that runs in the machine (spawn, run, insmod)."
        )

    def _refuse(self, *_: object) -> NoReturn:
        raise self._why()

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refuse
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = _refuse
    __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = _refuse
    __floordiv__ = __rfloordiv__ = __truediv__ = __rtruediv__ = __mod__ = __rmod__ = _refuse
    __pow__ = __rpow__ = __divmod__ = __rdivmod__ = _refuse
    __neg__ = __pos__ = __invert__ = __abs__ = _refuse
    __int__ = __index__ = __float__ = __bool__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = _refuse


class KernelCall(Symbol):
    """A kernel function outside a machine: it can be named and shipped, not called."""

    __slots__ = ()

    def __call__(self, *_: object, **__: object) -> NoReturn:
        raise OutsideMachine(
            f"kernel call outside a machine: {self.name}(). "
            "Call it in a function given to Machine.run or spawn, or in a driver."
        )


class NotInKernel(NotImplementedError):
    """A kernel's name that this machine does not have."""


class MissingCall(KernelCall):
    """A name that this machine does not have: it can be named, not used."""

    __slots__ = ("why",)

    def __init__(self, name: str, why: str) -> None:
        super().__init__(name)
        self.why = why

    def _why(self) -> Exception:
        return NotInKernel(self.why)

    def __call__(self, *_: object, **__: object) -> NoReturn:
        raise self._why()


def enter_machine(version: str = "2.4.5", config: Any = None) -> None:
    """Make this process and those it forks part of a machine of kernel `version`."""
    global _version, _config
    _version = version
    _config = config
    _bound.clear()


def config_value(name: str, default: Any = None) -> Any:
    """Return an attribute of the machine's configuration."""
    return getattr(_config, name, default)


def set_boot_phase(on: bool) -> None:
    """Say whether the machine boots yet: what needs an allocator or a task is refused."""
    global _boot_phase
    _boot_phase = on
    _bound.clear()


def leave_machine() -> None:
    """Undo `enter_machine`: for tests that have both sides in one process."""
    global _version, _config
    _version = _config = None
    _bound.clear()


def inside_machine() -> bool:
    """Return whether this process belongs to a machine."""
    return _version is not None


def resolve(name: str) -> Any:
    """Return what `name` is in this process: the real thing in a machine, else a symbol.

    What the machine's kernel version does not have is a MissingCall. Raises NameError for what
    no version has.
    """
    from smpmm import kernel_names

    place = kernel_names.place_of(name)
    if name in _bound:
        return _bound[name]
    if place is None:
        raise NameError(f"{name!r} is no name of smpmm.kernel")
    if place.everywhere:
        return getattr(importlib.import_module(place.module), place.attribute)
    if _version is None:
        return KernelCall(name) if place.module else Symbol(name)
    if name not in _bound:
        _bound[name] = _bind(name, place)
    return _bound[name]


def _bind(name: str, place: Any) -> Any:
    from smpmm import kernel_names

    version = str(_version)
    why = kernel_names.missing(name, version, config_value("arch", "i386"))
    if why:
        return MissingCall(name, why)
    if place.module in kernel_names.NOT_YET:
        return MissingCall(name, f"smpmm does not have {name} yet")
    if _boot_phase and not kernel_names.at_boot(name, place):
        return MissingCall(
            name, f"{name}(): too early, the machine boots: there is bootmem only"
        )
    if place.module:
        found = getattr(importlib.import_module(place.module), place.attribute)
        return found() if place.is_value else found
    values = constants.constants_of(version, config_value("arch", "i386"))
    if name == "HZ":
        return config_value("hz", values["HZ"])
    return values[place.attribute]
