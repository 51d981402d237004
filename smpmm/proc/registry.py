"""/proc: text files made when they are read (fs/proc, 2.4).

The kernel's own are functions of the layers, named here and imported when first read; drivers
add theirs by create_proc_read_entry. Reading and writing run as a task.
"""

from __future__ import annotations

import errno
import importlib
from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from smpmm import fault
from smpmm.proc import entries

# Name → "module:function" that returns its text.
FILES: Final = MappingProxyType(
    {
        "bigphysarea": "smpmm.mm.bigphysarea:proc_read",
        "buddyinfo": "smpmm.proc.memory:buddyinfo",
        "cmdline": "smpmm.proc.texts:cmdline_text",
        "devices": "smpmm.chrdev:devices_text",
        "interrupts": "interrupts.irq:interrupts_text",
        "iomem": "smpmm.proc.memory:iomem",
        "kallsyms": "smpmm.proc.texts:ksyms_text",
        "ksyms": "smpmm.proc.texts:ksyms_text",
        "kmsg": "cpus.event_cy:dmesg",
        "lock_stat": "cpus.lockstat:proc_read",
        "meminfo": "smpmm.proc.memory:meminfo",
        "modules": "smpmm.module:modules_text",
        "slabinfo": "smpmm.mm.slabinfo:proc_read",
        "uptime": "smpmm.proc.texts:uptime_text",
        "vmallocinfo": "smpmm.mm.vmallocinfo:vmallocinfo",
        "version": "smpmm.proc.texts:version_text",
    }
)
# Name → "module:function" that takes what is written.
WRITERS: Final = MappingProxyType(
    {
        "lock_stat": "cpus.lockstat:proc_write",
        "slabinfo": "smpmm.mm.slabinfo:proc_write",
    }
)


def _function(place: str) -> Callable:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def read(name: str) -> str:
    """Return the text of /proc/`name`; FileNotFoundError when there is none. May sleep."""
    name = name.removeprefix("/proc/")
    if name in FILES:
        return _function(FILES[name])()
    if fault.is_file(name):
        return fault.read(name)
    return entries.read(name)


def read_outside(name: str) -> str:
    """Return one of the kernel's own files, read by the monitor: when no CPU answers."""
    name = name.removeprefix("/proc/")
    if name not in FILES:
        if fault.is_file(name):
            return fault.read(name)
        raise FileNotFoundError(errno.ENOENT, "only a CPU can make it", f"/proc/{name}")
    return _function(FILES[name])()


def write(name: str, text: str) -> None:
    """Write to /proc/`name`; PermissionError when it cannot be written."""
    name = name.removeprefix("/proc/")
    if name in WRITERS:
        _function(WRITERS[name])(text)
    elif fault.is_file(name):
        fault.write(name, text)
    elif name in ls():
        raise PermissionError(errno.EACCES, "Permission denied", f"/proc/{name}")
    else:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", f"/proc/{name}")


def ls() -> list[str]:
    """Return the names of every /proc file, sorted."""
    return sorted({*FILES, *fault.files(), *entries.names()})
