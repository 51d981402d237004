"""/proc entries of drivers: create_proc_read_entry and its reading (fs/proc/generic.c, 2.4).

A driver's read_proc(page, start, offset, count, eof, data) returns the whole text, which the
kernel cuts to the page that it was given. An entry belongs to the module whose function it is;
one whose module is gone can be replaced.
"""

from __future__ import annotations

import errno
import os
from typing import Any

from cpus import context_cy, percpu_cy
from cpus.handle_cy import Handle, address_of
from smpmm import files_cy, module_table_cy, registry_cy, symbols, text

PAGE_BYTES = 4096
ROOM_BYTES = PAGE_BYTES - 1024  # what proc_file_read asks for, at most
DEFAULT_MODE = 0o444


class proc_dir_entry(Handle):
    """A handle of a /proc entry."""


class Pointer:
    """An `int *` or `char **` argument: read and written as `.value`."""

    __slots__ = ("value",)

    def __init__(self, value: int = 0) -> None:
        self.value = value


def create_proc_read_entry(
    name: str, mode: int, base: Any, read_proc: Any, data: Any
) -> proc_dir_entry | None:
    """Make /proc/`name`, read by `read_proc`; None when the name is taken. May sleep.

    `mode` 0 is 0444. `base` None is /proc, another entry a folder of its name.
    """
    context_cy.might_sleep()
    address = text.register(read_proc)
    name = name.strip("/")
    serial = text.module_at(address)
    for _ in range(2):
        number = registry_cy.claim_proc(
            name, address, address_of(data), mode or DEFAULT_MODE, serial
        )
        if number >= 0:
            return proc_dir_entry.handle_at(address)
        old = registry_cy.proc_entries().get(name)
        if number != -1 or old is None or not _is_orphan(old[3]):
            return None
        registry_cy.release_proc(name)
    return None


def _is_orphan(serial: int) -> bool:
    return bool(serial) and module_table_cy.module_info(serial) is None


def remove_proc_entry(name: str, base: Any = None) -> None:
    """Remove /proc/`name`; a missing one is no error. Task context."""
    percpu_cy.preemption_point()
    registry_cy.release_proc(name.strip("/"))


def names() -> list[str]:
    """Return the names of drivers' entries."""
    return list(registry_cy.proc_entries())


def read(name: str) -> str:
    """Return the text of a driver's entry; OSError for its negative errno. May sleep."""
    from smpmm.mm import page_calls_cy

    found = registry_cy.proc_entries().get(name)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", f"/proc/{name}")
    address, data, _mode, _serial = found
    page = page_calls_cy.__get_free_page(symbols.resolve("GFP_KERNEL"))
    if not page:
        raise MemoryError(f"no page for /proc/{name}")
    try:
        return _read_all(address, data, page)
    finally:
        page_calls_cy.free_page(page)


def _read_all(address: int, data: int, page: int) -> str:
    """Ask read_proc as a reader does that reads to the end."""
    whole = ""
    while True:
        start, eof = Pointer(), Pointer()
        files_cy.begin_kernel()
        try:
            result = text.call(address, page, start, len(whole), ROOM_BYTES, eof, data)
        finally:
            files_cy.end_kernel()
        if isinstance(result, int):
            if result < 0:
                raise OSError(-result, os.strerror(-result) if result > -500 else str(result))
            result = _text_in_page(page, result)
        result = result[:PAGE_BYTES]
        new = result[len(whole) :]
        whole += new
        if eof.value or not new:
            return whole


def _text_in_page(page: int, length: int) -> str:
    from smpmm.mm import access_cy

    return access_cy.peek(page, length).decode("utf-8", "replace")
