"""Reports of vmalloc: what an address of the vmalloc space is, and frees of what is none."""

from __future__ import annotations

from typing import Any

from cpus import bug, callsite_cy, percpu_cy
from cpus.errors import BadFree, KernelBug

VM_IOREMAP = 1
FREE, BUILDING, LIVE, DYING = range(4)


def _state() -> Any:
    from smpmm.mm import vm_state_cy

    return vm_state_cy


def range_text(area: dict[str, Any]) -> str:
    """Return first and last address of an area with its guard page, and who asked for it."""
    site = callsite_cy.site_text(area["caller"])
    return f"{area['addr']:#010x}-{area['addr'] + area['size']:#010x}, by {site}"


def in_space(address: int) -> bool:
    """Return whether an address lies in the vmalloc space."""
    from smpmm.mm import pgtable_cy

    return pgtable_cy.vmalloc_start() <= address < pgtable_cy.vmalloc_end()


def describe(address: int) -> list[str]:
    """Say which area an address belongs or belonged to; no line for an address elsewhere."""
    if not in_space(address):
        return []
    area = _state().area_below(address)
    if area and address < area["addr"] + area["size"]:
        return [_inside(area, address)]
    for freed in _state().freed_areas():
        if freed["addr"] <= address < freed["addr"] + freed["size"]:
            return [
                f"{address - freed['addr']} bytes into a vmalloc area that was freed: "
                f"{range_text(freed)}; freed by pid {freed['pid']} "
                f"at {callsite_cy.site_text(freed['site'])}"
            ]
    if area:
        behind = address - (area["addr"] + area["size"])
        return [f"{behind} bytes after the guard page of vmalloc area {range_text(area)}"]
    return ["in the vmalloc space, below every area"]


def _inside(area: dict[str, Any], address: int) -> str:
    kind = "ioremap" if area["flags"] & VM_IOREMAP else "vmalloc"
    over = address - (area["addr"] + area["bytes"])
    if over >= 0:
        return f"{over} bytes after the end of {kind} area {range_text(area)}: its guard page"
    where = f"{address - area['addr']} bytes into {kind} area {range_text(area)}"
    if area["state"] == DYING:
        name = percpu_cy.slot_info(area["slot"])["name"] if area["slot"] >= 0 else "boot"
        return f"{where}; {name} is just freeing it"
    if area["state"] == LIVE and kind == "ioremap":
        return f"{where}; I/O memory is accessed by readb() … writel()"
    if area["state"] == BUILDING:
        return f"{where}; its pages are just being mapped"
    return where


def bad_size(size: int, ram: int) -> None:
    """Report a vmalloc of nothing, or of more than there is RAM."""
    bug.report(
        KernelBug,
        f"kernel BUG at vmalloc.c: vmalloc of {size} bytes, RAM has {ram}",
        linux="BUG(): invalid operand, the task is killed",
    )


def bad_vfree(address: int, within_page: bool) -> None:
    """Report a vfree of what is no area's first address; nothing was changed."""
    what = "bad address" if within_page else "nonexistent vm area"
    bug.report(
        BadFree,
        f"Trying to vfree() {what} ({address:08x})",
        linux="this message, nothing is freed",
        ending=bug.WARN,
        extra=describe(address),
    )
