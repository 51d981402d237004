"""What a module did not give back: memory by call site, caches, lines, devices, /proc entries.

Each allocation's truth names the line that asked for it; what lies in the module's file and is
still allocated when its exit function has returned is a leak.
"""

from __future__ import annotations

from dataclasses import dataclass

from cpus import callsite_cy
from smpmm import module_table_cy, registry_cy, text

PAGE_BYTES = 4096
SITE_FILE_BYTES = 119  # what a call site keeps of a path: its end


@dataclass(frozen=True)
class Leak:
    """Allocations of one kind from one call site."""

    what: str  # "object of size-64", "block of 2 pages", "cache scullc" …
    count: int
    nr_bytes: int
    site: str  # "function (file.py:line)", "" where none is known

    def __str__(self) -> str:
        where = f" from {self.site}" if self.site else ""
        kind, _, rest = self.what.partition(" ")
        plural = kind if self.count == 1 else f"{kind}s"
        size = f", {self.nr_bytes} bytes" if self.nr_bytes else ""
        return f"{self.count} {plural}{' ' + rest if rest else ''}{where}{size}"


@dataclass(frozen=True)
class LeakReport:
    """What rmmod found; false when that is nothing."""

    module: str
    leaks: tuple[Leak, ...]

    def __bool__(self) -> bool:
        return bool(self.leaks)

    def __str__(self) -> str:
        if not self.leaks:
            return f"{self.module}: everything freed"
        return "\n".join(f"{self.module}: {leak}" for leak in self.leaks)

    @property
    def nr_bytes(self) -> int:
        """The sum of the memory that is lost."""
        return sum(leak.nr_bytes for leak in self.leaks)


def of_module(serial: int) -> LeakReport:
    """Return what module `serial` has not given back; task context."""
    info = module_table_cy.module_info(serial)
    if info is None:
        return LeakReport("?", ())
    file = info["file"]
    found = [*_objects(file), *_pages(file), *_areas(file), *_caches(file)]
    return LeakReport(info["name"], (*found, *_registrations(serial)))


def _is_in(file: str, site: int) -> bool:
    of = callsite_cy.site_info(site)[1]
    return bool(of) and of == file.encode()[-SITE_FILE_BYTES:].decode("utf-8", "replace")


def _objects(file: str) -> list[Leak]:
    from smpmm.mm import slab_state_cy

    counts: dict[tuple[int, str, int], int] = {}
    for found in slab_state_cy.allocated_objects():
        key = (found["site"], found["cache"], found["objsize"])
        counts[key] = counts.get(key, 0) + 1
    return [
        Leak(f"object of {cache}", count, count * size, callsite_cy.site_text(site))
        for (site, cache, size), count in sorted(counts.items())
        if _is_in(file, site)
    ]


def _pages(file: str) -> list[Leak]:
    from smpmm import pages_by_site_cy

    return [
        Leak(
            "page" if order == 0 else f"block of {1 << order} pages",
            count,
            count * PAGE_BYTES << order,
            callsite_cy.site_text(site),
        )
        for (site, order), count in sorted(pages_by_site_cy.allocated_blocks().items())
        if _is_in(file, site)
    ]


def _areas(file: str) -> list[Leak]:
    from smpmm.mm import vm_state_cy

    counts: dict[tuple[int, int, str], int] = {}
    for area in vm_state_cy.all_areas():
        kind = "ioremap" if area["flags"] & 1 else "vmalloc"
        key = (area["caller"], area["bytes"], kind)
        counts[key] = counts.get(key, 0) + 1
    return [
        Leak(f"area of {kind}", count, count * size, callsite_cy.site_text(site))
        for (site, size, kind), count in sorted(counts.items())
        if _is_in(file, site)
    ]


def _caches(file: str) -> list[Leak]:
    from smpmm.mm import slab_state_cy

    infos = [slab_state_cy.cache_info(index) for index in slab_state_cy.live_caches()]
    return [
        Leak(
            f"cache {info['name']}, not destroyed,", 1, 0, callsite_cy.site_text(info["site"])
        )
        for info in infos
        if _is_in(file, info["site"])
    ]


def _registrations(serial: int) -> list[Leak]:
    from smpmm import chrdev

    found = [
        Leak(f"character device {name}, major {major}, still registered", 1, 0, "")
        for major, name, owner in chrdev.devices()
        if owner == serial
    ]
    found += [
        Leak(f"entry /proc/{name}, still registered", 1, 0, "")
        for name, (_read, _data, _mode, owner) in registry_cy.proc_entries().items()
        if owner == serial
    ]
    for number, action in _interrupt_actions():
        if text.module_at(action) == serial:
            what = f"interrupt handler {text.symbolise(action)} on line {number}, not freed"
            found.append(Leak(what, 1, 0, ""))
    return found


def _interrupt_actions() -> list[tuple[int, int]]:
    """Return (line, text address) of every registered interrupt handler."""
    from interrupts import irq_cy

    return [
        (line, handler)
        for line in range(irq_cy.NR_LINES)
        for handler, *_ in irq_cy.actions(line)
    ]
