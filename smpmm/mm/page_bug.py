"""Reports of page calls that break a rule: what the truth says of the page."""

from __future__ import annotations

from cpus import bug, callsite_cy, percpu_cy
from cpus.errors import BadFree, KernelBug, Oops
from smpmm.mm import zone_cy

PAGE_INSIDE, PAGE_FREE, PAGE_ALLOC, PAGE_SLAB, PAGE_RESERVED, PAGE_BUFFER = range(6)
PAGE_VMALLOC, PAGE_TABLE = 6, 7

LINUX_BAD_FREE = (
    "not detected: __free_pages lowers the count of the page, and frees it if that gives 0"
)


def truth_text(truth: int) -> str:
    """Say in words what a truth word says of its block."""
    kind, order = truth & 0xF, (truth >> 4) & 0xF
    if kind == PAGE_FREE:
        return f"free, order {order}"
    if kind == PAGE_RESERVED:
        return "reserved, never allocated"
    if kind == PAGE_SLAB:
        return f"order {order}, pages of slab cache number {truth >> 32}"
    if kind == PAGE_BUFFER:
        return f"order {order}, a page of the buffer cache"
    if kind == PAGE_VMALLOC:
        return f"a page of vmalloc area number {truth >> 32}"
    if kind == PAGE_TABLE:
        return "a page table of the kernel's"
    if kind == PAGE_ALLOC:
        slot = ((truth >> 8) & 0xFF) - 1
        site = callsite_cy.site_text((truth >> 16) & 0xFFFF)
        name = percpu_cy.slot_info(slot)["name"] if slot >= 0 else "boot"
        return f"allocated, order {order}, by {name}, pid {truth >> 32}, at {site}"
    return f"damaged: truth {truth:#x}"


def verdict(found: dict, order: int) -> str:
    """Say why a free is refused, from what zone_cy.last_bad_free() returned."""
    pfn, truth = found["pfn"], found["truth"]
    head_pfn, head_truth = found["head_pfn"], found["head_truth"]
    kind, head_kind, head_order = truth & 0xF, head_truth & 0xF, (head_truth >> 4) & 0xF
    if kind == PAGE_INSIDE:
        block = f"block {head_pfn:#x} order {head_order}"
        if head_kind == PAGE_FREE:
            return f"already free, inside {block}"
        return f"inside {block}, not its first page; it is {truth_text(head_truth)}"
    if kind == PAGE_FREE:
        return f"already free, block {pfn:#x} order {head_order}"
    if kind == PAGE_ALLOC and (truth >> 4) & 0xF != order:
        return f"wrong order; {truth_text(truth)}"
    return truth_text(truth)


def bad_free(order: int) -> None:
    """Report the free that this process's last call refused; nothing was changed."""
    found = zone_cy.last_bad_free()
    bug.report(
        BadFree,
        f"BUG: free of pfn {found['pfn']:#x} order {order}: "
        f"{verdict(found, order)}, zone {found['zone']}",
        linux=LINUX_BAD_FREE,
        ending=bug.WARN,
    )


def bad_address(address: int, order: int) -> None:
    """Report the free of an address that is in no direct-mapped page."""
    bug.report(
        BadFree,
        f"BUG: free of address {address:#010x} order {order}: not direct-mapped memory",
        linux="virt_to_page computes a page outside of mem_map: an oops, or silent damage",
        ending=bug.OOPS,
        extra=bug.address_lines(address),
    )


def no_page(call: str, address: int) -> None:
    """Report a page argument that is no allocated page."""
    bug.report(
        Oops,
        f"{call}: {address:#010x} is no allocated page",
        linux="undefined: what lies there is taken for a struct page",
    )


def no_address(call: str, gfp: int) -> None:
    """Report a call that returns an address but was given high memory by its mask."""
    bug.report(
        KernelBug,
        f"BUG: {call} with mask {gfp:#x} got a page of high memory, which has no address",
        linux="it returns 0 and the page is lost",
        ending=bug.WARN,
    )


def not_mapped(pfn: int) -> None:
    """Report a kunmap of a high page that is not kmapped."""
    bug.report(
        KernelBug, f"kernel BUG: kunmap of pfn {pfn:#x}, which is not kmapped", linux="BUG"
    )


def in_interrupt(call: str) -> None:
    """Report a call that 2.4 itself refuses with BUG() where in_interrupt() is true."""
    bug.report(
        KernelBug,
        f"kernel BUG at highmem.h: {call} in interrupt",
        linux="BUG(): invalid operand, the task is killed",
    )


def slot_taken(call: str, type: int) -> None:
    """Report an atomic kmap of a slot in use, or the kunmap of another slot."""
    cpu = percpu_cy.own_cpu()
    what = "is in use already" if call == "kmap_atomic" else "does not have this address"
    bug.report(KernelBug, f"kernel BUG: {call}: slot {type} of CPU {cpu} {what}", linux="BUG")


def no_buffer(call: str, address: int) -> None:
    """Report a buffer call on an address that is no buffer in use."""
    bug.report(
        KernelBug,
        f"VFS: {call}: Trying to free free buffer"
        if call == "brelse"
        else f"kernel BUG: {call}: {address:#010x} is no buffer",
        linux="a message; the count stays 0" if call == "brelse" else "undefined",
        ending=bug.WARN,
    )
