"""/proc/vmallocinfo, in the layout of 2.6.27 and later; older versions do not have it.

END and SIZE of an area have its guard page in them, `pages` has not. The place of a caller is
a line of Python: its number in the file stands where the kernel has an offset, and a length.
"""

from __future__ import annotations

from typing import Any

from cpus import callsite_cy, word_cy
from smpmm.mm import vm_state_cy

VM_IOREMAP = 1


def vmallocinfo() -> str:
    """Return the text: a line for each area, by address; each as it was at one moment."""
    return "".join(line(area) for area in vm_state_cy.all_areas())


def line(area: dict[str, Any]) -> str:
    """Return an area's line."""
    width = 2 * word_cy.pointer_bytes()
    function, _file, number = callsite_cy.site_info(area["caller"])
    end = area["addr"] + area["size"]
    text = f"0x{area['addr']:0{width}x}-0x{end:0{width}x} {area['size']:7d}"
    if function:
        text += f" {function}+{number:#x}/{number:#x}"
    if area["flags"] & VM_IOREMAP:
        return f"{text} phys={area['phys']:x} ioremap\n"
    return f"{text} pages={area['pages']} vmalloc\n"
