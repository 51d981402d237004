"""A multiprocess SMP model of Linux kernel memory management.

`from smpmm import Machine` is the experimenter's side, `from smpmm.kernel import *` the
driver's. Names are imported when they are first used, so that the machine's processes stay
small.
"""

import importlib
from typing import Any, Final

_ERRORS: Final = (
    "KernelBug", "SleepingInAtomic", "BadFree", "Deadlock", "BadLock", "SlabCorruption",
    "Oops", "NullDereference", "KernelPanic", "SmpmmError", "ConfigError", "CorruptionError",
    "MachineError", "CpuDied", "TaskKilled", "OomKilled",
)  # fmt: skip
_HOME: Final = {
    "Machine": "smpmm.machine",
    "Task": "cpus.client",
    "register_by_value": "cpus.ship",
    "open": "smpmm.files",
    "BusError": "smpmm.mapping",
    **dict.fromkeys(_ERRORS, "cpus.errors"),
}
__all__ = sorted(set(_HOME) - {"open"})  # `from smpmm import *` leaves the built-in open alone


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'smpmm' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
