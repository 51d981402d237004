"""What a machine's user asks of its kernel: modules, files, /proc, the log.

Each is a system call from outside: a task of its own on the least loaded CPU. Reports can be
read when no CPU answers; then the segment is read by the monitor, and the text says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import astuple
from typing import Any, Final

from cpus.errors import CpuDied, MachineError

NR_IRQS: Final = 64  # as interrupts.irq_cy has them

PLACES: Final = {
    "sys_open": "smpmm.file_calls:sys_open",
    "sys_close": "smpmm.file_calls:sys_close",
    "sys_forget": "smpmm.file_calls:sys_forget",
    "sys_read": "smpmm.file_calls:sys_read",
    "sys_readall": "smpmm.file_calls:sys_readall",
    "sys_write": "smpmm.file_calls:sys_write",
    "sys_llseek": "smpmm.file_calls:sys_llseek",
    "sys_ioctl": "smpmm.file_calls:sys_ioctl",
    "sys_mmap": "smpmm.mmap_calls:sys_mmap",
    "sys_fault": "smpmm.mmap_calls:sys_fault",
    "proc_read": "smpmm.file_calls:proc_read",
    "proc_write": "smpmm.file_calls:proc_write",
}


class RemoteCalls:
    """The system calls of a file object outside of the machine, made as a user."""

    def __init__(self, machine: MachineCalls, uid: int) -> None:
        check_uid(uid)
        self._machine = machine
        self._uid = uid

    def call(self, name: str, *arguments: Any) -> Any:
        return self._machine._syscall_as(self._uid, PLACES[name], *arguments)

    def segment(self) -> tuple[int, int]:
        """Return a descriptor of the machine's RAM, and the bytes of a page."""
        return self._machine._segment()

    def owner(self) -> int:
        """Return who must close a file that is opened now: an open of this client."""
        return self._machine._new_opener()

    def forget(self, owner: int) -> None:
        """Have a CPU close what `owner` may have open: one died with the open or close."""
        while True:
            try:
                self.call("sys_forget", owner)
                return
            except CpuDied:
                if all(cpu["pid"] is None for cpu in self._machine._cpu_facts()):
                    return
            except MachineError:
                return  # the machine has ended, and its files with it


def check_uid(uid: object) -> None:
    """Raise ValueError for what is no user id: those have 32 bits, the last one is -1."""
    if type(uid) is not int or not 0 <= uid < 0xFFFFFFFF:
        raise ValueError(f"uid={uid!r}: a user id is an integer from 0 to {0xFFFFFFFE}")


def check_number(name: str, value: object, count: int, what: str) -> None:
    """Raise when `value` is no number of one of the machine's `count` CPUs or lines."""
    if not isinstance(value, int):
        raise TypeError(f"{name}={value!r}: not a whole number")
    if not 0 <= value < count:
        raise ValueError(f"{name}={value}: this machine has {what} 0 to {count - 1}")


class MachineCalls:
    """Methods of a Machine; `_syscall` is its way in."""

    config: Any
    _syscall: Callable[..., Any]
    _syscall_as: Callable[..., Any]  # the same as a user: the uid comes first
    _new_opener: Callable[[], int]  # a name of this process's for a file that it opens
    _segment: Callable[[], tuple[int, int]]  # a descriptor of RAM, and the bytes of a page
    _cpu_facts: Callable[[], list[dict[str, Any]]]
    _query: Callable[..., Any]  # asks the monitor, which answers also when no CPU does

    def insmod(self, name: str, /, **parameters: Any) -> None:
        """Load a bundled driver, or the module in a .py file, with its parameters.

        Parameters on the kernel command line, `scull.scull_quantum=8000`, hold unless they are
        given here. OSError with the errno of its init function, FileExistsError when it is
        loaded, ConfigError for a parameter or a file that is not Python, FrozenStateError for
        state kept in Python.
        """
        from smpmm import objfile

        stem, file, source = objfile.find_source(name)
        prefix = f"{stem}."
        given = {
            option.removeprefix(prefix): value
            for option, value in self.config.options.items()
            if option.startswith(prefix)
        }
        image = objfile.compile_source(stem, file, source, given | parameters)
        self._syscall("smpmm.module:insmod", *astuple(image))

    def rmmod(self, name: str) -> Any:
        """Remove a module; returns what it did not free, false when that is nothing.

        OSError: ENOENT when it is not loaded, EBUSY when it is in use.
        """
        return self._syscall("smpmm.module:rmmod", name)

    def open(
        self, path: str, mode: str = "r", buffering: int = -1, *, uid: int = 0, **options: Any
    ) -> Any:
        """Open a device or a /proc file; arguments and result are those of Python's `open`.

        All system calls of the file are made as user `uid`: capable() is true for 0 only.
        """
        from smpmm import files

        return files.open(path, mode, buffering, calls=RemoteCalls(self, uid), **options)

    def mknod(self, path: str, major: int, minor: int) -> None:
        """Make a node for a device; FileExistsError when there is one of that path."""
        self._syscall("smpmm.chrdev:mknod", path, major, minor)

    def proc_write(self, name: str, text: str) -> None:
        """Write to a /proc file."""
        self._syscall("smpmm.proc.registry:write", name, text)

    def proc_files(self) -> list[str]:
        """Return the names of all /proc files."""
        return self._syscall("smpmm.proc.registry:ls")

    def fault_inject(self, name: str, /, **attributes: int) -> dict[str, int]:
        """Set attributes of `failslab` or `fail_page_alloc` now; returns all of them.

        `ignore_gfp_wait=0` is the kernel's `ignore-gfp-wait`. All are set or none: ValueError
        names a bad one.
        """
        return self._syscall("smpmm.fault:fault_inject", name, **attributes)

    def faults(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the records of injected faults from number `since` on: who got which, where.

        `call` and `outcome` say how the call that got it ended.
        """
        return self._syscall("smpmm.fault:records", since)

    def vm_counters(self) -> dict[str, int]:
        """Return the figures of memory shortage: reclaim, kswapd, OOM, pages of buffers."""
        return self._syscall("smpmm.mm.page_alloc_cy:vm_counters")

    def raise_irq(self, irq: int, cpu: int | None = None) -> None:
        """Raise an edge on an interrupt line, as a device does; `cpu` says who takes it."""
        check_number("irq", irq, NR_IRQS, "lines")
        if cpu is not None:
            check_number("cpu", cpu, self.config.cpus, "CPUs")
        self._query("raise_irq", (irq, cpu))

    def start_synthetic(self, irq: int, rate: float, seed: int | None = None) -> None:
        """Start a device that raises a line `rate` times a second, with random gaps.

        The gaps follow from the seed (default: the machine's) and the line.
        """
        check_number("irq", irq, NR_IRQS, "lines")
        if not 0 < rate < math.inf:
            raise ValueError(f"rate={rate}: a number of interrupts per second above 0")
        seed = self.config.seed if seed is None else seed
        self._query("start_synthetic", (irq, rate, seed))

    def stop_synthetic(self, irq: int) -> bool:
        """End the synthetic device of a line; false when there is none."""
        return self._query("stop_synthetic", irq)
