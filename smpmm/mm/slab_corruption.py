"""Reports of a debugging build: an object that was written where nobody may, and who had it.

Who wrote cannot be known; when the object was last found whole can. An object is reported
once: it is made whole with its report, except by check(), which changes nothing.
"""

from __future__ import annotations

from cpus import bug, callsite_cy, event_cy, percpu_cy
from cpus.errors import SlabCorruption
from smpmm.mm import slab_report

BEFORE, BEHIND, INSIDE = 1, 2, 4
POISON_BYTE, POISON_END = 0x5A, 0xA5
RED_INACTIVE, RED_ACTIVE = 0x5A2CF071, 0x170FC2A5
SHOWN_BYTES = 16
KERN_ALERT = 1

LINUX_RED_ZONE = (
    "BUG() when the object leaves or enters its slab, with the cache's lock held: the task is "
    "killed, and the next who wants the lock spins for ever"
)
LINUX_UNSEEN = "silent: it looks for the first byte a5 only, and that is the last one"


def _debug():
    from smpmm.mm import slab_debug_cy

    return slab_debug_cy


def _owner_text(word: int, ns: int) -> str:
    slot = (word >> 8 & 0xFF) - 1
    who = percpu_cy.slot_info(slot)["name"] if slot >= 0 else "boot"
    return (
        f"by {who}, pid {word >> 32}, at {callsite_cy.site_text(word >> 16 & 0xFFFF)}, "
        f"{ns / 1e9:.6f} s after boot"
    )


def history(address: int) -> list[str]:
    """Say who allocated an object last, who freed it last, and when it was last whole.

    Empty where that is not kept: in a kernel that was not built with slab_debug.
    """
    info = _debug().user_info(address)
    if not info:
        return []
    lines = []
    if info["allocated"]:
        lines.append(f"last allocated {_owner_text(info['allocated'], info['allocated_ns'])}")
    if info["freed"]:
        lines.append(f"last freed {_owner_text(info['freed'], info['freed_ns'])}")
    whole_ns = info["verified_ns"]
    when = f"{whole_ns / 1e9:.6f} s after boot" if whole_ns else "when its slab was made"
    lines.append(f"last found whole {when}; who wrote since is not known")
    return lines


def damage_lines(address: int, damage: int, allocated: bool) -> list[str]:
    """Say which bytes of an object and its red zones are not what they should be."""
    memory = _debug().memory_of(address)
    red = (len(memory) - slab_report.object_info(address)["payload"]) // 2
    right = (RED_ACTIVE if allocated else RED_INACTIVE).to_bytes(red or 4, "little")
    lines = []
    if damage & BEFORE:
        lines.append(
            f"red zone before it, at {address - red:#010x}: {memory[:red].hex(' ')}, "
            f"not {right.hex(' ')}"
        )
    if damage & BEHIND:
        lines.append(
            f"red zone behind it, at {address + len(memory) - 2 * red:#010x}: "
            f"{memory[-red:].hex(' ')}, not {right.hex(' ')}"
        )
    if damage & INSIDE:
        lines.append(_poison_line(address, memory[red : len(memory) - red]))
    return lines


def _poison(nr_bytes: int) -> bytes:
    return bytes([POISON_BYTE]) * (nr_bytes - 1) + bytes([POISON_END])


def _poison_line(address: int, memory: bytes) -> str:
    wrong = [
        i for i, (a, b) in enumerate(zip(memory, _poison(len(memory)), strict=True)) if a != b
    ]
    first, nr_bytes = wrong[0], wrong[-1] - wrong[0] + 1
    shown = memory[first : first + min(nr_bytes, SHOWN_BYTES)].hex(" ")
    return (
        f"written to while it was free: {len(wrong)} bytes from offset {first}, at "
        f"{address + first:#010x}: {shown}{' …' if nr_bytes > SHOWN_BYTES else ''}"
    )


def linux_text(address: int, damage: int) -> str:
    """Say what 2.4 itself, built with DEBUG, makes of this damage."""
    if damage & (BEFORE | BEHIND):
        return LINUX_RED_ZONE
    memory = _debug().memory_of(address)
    red = (len(memory) - slab_report.object_info(address)["payload"]) // 2
    payload = memory[red : len(memory) - red]
    unseen = payload.find(POISON_END) == len(payload) - 1
    return LINUX_UNSEEN if unseen else LINUX_RED_ZONE


def title_text(call: str, address: int, damage: int, allocated: bool) -> str:
    """Return the first line of a report."""
    cache = slab_report.object_info(address)["cache"]
    if damage & INSIDE:
        what = f"free object {address:#010x} was written to"
    else:
        sides = {BEFORE: "before", BEHIND: "behind"}.get(damage, "before and behind")
        kind = "" if allocated else "free "
        what = f"the red zone {sides} {kind}object {address:#010x} is overwritten"
    return f"kernel BUG at slab.c: {call}: {cache}: {what}"


def object_lines(address: int, damage: int, allocated: bool) -> list[str]:
    """Return the lines of a report: the object, its damage, who had it."""
    info = slab_report.object_info(address)
    if not allocated:
        info |= {"kind": "free"}
    return [
        slab_report.object_text(info),
        *damage_lines(address, damage, allocated),
        *history(address),
    ]


def corrupted(call: str, address: int, allocated: bool) -> None:
    """Report an object whose surroundings, or a free one whose inside, is damaged."""
    damage = _debug().damage_at(address, allocated)
    bug.report(
        SlabCorruption,
        title_text(call, address, damage, allocated),
        linux=linux_text(address, damage),
        extra=object_lines(address, damage, allocated),
    )


def overwritten(call: str, address: int) -> None:
    """Report a free of an object whose red zones are damaged; the next free will do."""
    try:
        corrupted(call, address, True)
    finally:
        _debug().make_whole(address, True)


def _report_found(call: str, found: list[tuple[int, int, bool]]) -> None:
    """Report the first of the damaged objects, all of them in its lines."""
    address, damage, allocated = found[0]
    extra = []
    for each in found:
        extra += object_lines(*each)
    bug.report(
        SlabCorruption,
        title_text(call, address, damage, allocated),
        linux=linux_text(address, damage),
        extra=extra,
    )


def damaged_slab(pfn: int, quiet: bool) -> None:
    """Report damage in a slab that is being taken apart; `quiet`: in the log alone."""
    found = _debug().damaged_objects(-1, pfn)
    if not found:
        return
    if not quiet:
        _report_found("kmem_slab_destroy", found)
        return
    lines = [title_text("kmem_slab_destroy", *found[0])]
    for each in found:
        lines += object_lines(*each)
    event_cy.log("\n".join(lines), KERN_ALERT)


def verify_cache(index: int) -> None:
    """Report each object of a cache that is damaged, and make it whole. May sleep."""
    found = _debug().damaged_objects(index)
    if found:
        try:
            _report_found("kmem_cache_shrink", found)
        finally:
            for address, _damage, allocated in found:
                _debug().make_whole(address, allocated)


def check_objects() -> None:
    """Raise SlabCorruption when an object of any cache is damaged: for check()."""
    if _debug().is_built() and (found := _debug().damaged_objects()):
        _report_found("check", found)


def dma_mismatch(cache: int, gfp: int) -> None:
    """Report flags that ask for another zone than the cache's."""
    slab_report.kernel_bug(
        "kmem_cache_alloc_head",
        f"cache {slab_report.cache_name(cache)}, flags {gfp:#x}: GFP_DMA and SLAB_CACHE_DMA "
        "go together",
    )
