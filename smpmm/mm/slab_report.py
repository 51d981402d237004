"""Reports of slab calls that break a rule: what the truth says of the object."""

from __future__ import annotations

from cpus import bug, callsite_cy, percpu_cy
from cpus.errors import BadFree, KernelBug, NullDereference

FREE_NOT_SLAB, FREE_INTERIOR, FREE_TWICE, FREE_WRONG_CACHE, FREE_KERNELS = range(1, 6)
FREE_OVERWRITTEN = 6

LINUX_BAD_FREE = "undefined: whatever the page's list words name is taken for a cache"
LINUX_INTERIOR = "the address goes to the free list and is handed out again as it is"
LINUX_TWICE = "silent: the object goes to the free list twice and is handed out twice"
LINUX_WRONG_CACHE = "silent: the object goes to the other cache's free list"
# Built with DEBUG it says BUG; of an object that is free when that comes to its slab.
LINUX_DEBUG = "BUG(): invalid operand, the task is killed"
LINUX_DEBUG_TWICE = (
    "BUG() when the object goes from the CPU's array to its slab, with the cache's lock held"
)
LINUX_NO_CACHE = "undefined: the memory is read as if it still were a cache"


def _state():
    from smpmm.mm import slab_state_cy

    return slab_state_cy


def cache_name(index: int) -> str:
    """Return the name of a cache by its place in the table."""
    return _state().cache_info(index)["name"]


def object_info(address: int) -> dict:
    """Return what the truth says of the object around an address."""
    return _state().object_info(address)


def holder_text(info: dict) -> str:
    """Say in words what a truth word says of its object."""
    kind = info["kind"]
    if kind == "free":
        return "free in its slab"
    if kind == "cached":
        return f"free, in the array of CPU {info['cpu']}"
    if kind == "freeing":
        return f"being freed by {percpu_cy.slot_info(info['slot'])['name']}"
    if kind in ("allocated", "kernel"):
        who = percpu_cy.slot_info(info["slot"])["name"] if info["slot"] >= 0 else "boot"
        whose = f"pid {info['pid']}" if kind == "allocated" else "the slab allocator itself"
        return f"allocated by {who}, {whose}, at {callsite_cy.site_text(info['site'])}"
    return "no object: the slab's management, or the room between its objects"


def object_text(info: dict) -> str:
    """Name an object: address, cache, place in its slab, and who has it."""
    if info.get("nr", -1) < 0:
        return f"slab {info['slab']:#010x} of {info['cache']}: {holder_text(info)}"
    return (
        f"object {info['address']:#010x}, number {info['nr']} of slab {info['slab']:#010x}, "
        f"cache {info['cache']} ({info['payload']} bytes): {holder_text(info)}"
    )


def page_text(address: int) -> str:
    """Say what a page is that is no slab's."""
    from smpmm.mm import page_bug, page_cy

    pfn = _state().direct_pfn(address)
    if pfn < 0:
        return "no direct-mapped memory"
    return f"pfn {pfn:#x}: {page_bug.truth_text(page_cy.truth_at(pfn))}"


def bad_free(call: str, address: int, refused: int, cache: int) -> None:
    """Report a free that the truth forbids; nothing was changed."""
    from smpmm.mm import slab_corruption, slab_debug_cy

    if refused == FREE_OVERWRITTEN:
        slab_corruption.overwritten(call, address)
        return
    info = _state().object_info(address)
    debug = slab_debug_cy.is_built()
    if refused == FREE_NOT_SLAB or not info:
        title = f"{call}: bad ptr {address:#010x}: not of a slab, {page_text(address)}"
        linux = LINUX_BAD_FREE
    elif refused == FREE_INTERIOR:
        inside = f", {address - info['address']} bytes into it" if "address" in info else ""
        title = f"{call}: bad ptr {address:#010x}: not the start of an object{inside}"
        linux = LINUX_INTERIOR
    elif refused == FREE_WRONG_CACHE:
        title = (
            f"{call}: mismatch: expected cache {cache_name(cache)}, got {info['cache']} "
            f"for {address:#010x}"
        )
        linux = LINUX_WRONG_CACHE
    elif refused == FREE_KERNELS:
        title = f"{call}: {address:#010x} belongs to the slab allocator itself"
        linux = "silent corruption"
    else:
        title = f"{call}: double free of {address:#010x}, cache {info['cache']}"
        linux = LINUX_TWICE
    extra = [object_text(info)] if info else bug.address_lines(address)
    ending = bug.WARN
    if debug:
        linux = LINUX_DEBUG_TWICE if refused == FREE_TWICE else LINUX_DEBUG
        ending = bug.OOPS
        extra += slab_corruption.history(info.get("address", address))
    bug.report(BadFree, f"BUG: {title}", linux=linux, ending=ending, extra=extra)


def bad_cache(call: str, address: int) -> None:
    """Report a call with what is no cache, or a cache no more."""
    if address < 4096:
        bug.report(
            NullDereference,
            "Unable to handle kernel NULL pointer dereference at virtual address "
            f"{address:08x}\n{call}: no cache",
            linux="oops: the task is killed",
        )
    info = _state().object_info(address)
    if info.get("cache") == "kmem_cache" and info.get("address") == address:
        what = f"a cache that was destroyed; its descriptor is {holder_text(info)}"
    else:
        what = "no cache; " + (object_text(info) if info else page_text(address))
    bug.report(KernelBug, f"BUG: {call}: {address:#010x} is {what}", linux=LINUX_NO_CACHE)


def kernel_bug(call: str, why: str) -> None:
    """Report what this version itself checks with BUG()."""
    bug.report(
        KernelBug,
        f"kernel BUG at slab.c: {call}: {why}",
        linux="BUG(): invalid operand, the task is killed",
    )


def bug_in_grow(cache: int, gfp: int) -> None:
    """Report flags or a context in which 2.4 refuses to make a slab."""
    kernel_bug(
        "kmem_cache_grow",
        f"cache {cache_name(cache)}, flags {gfp:#x}: unknown, or in interrupt",
    )
