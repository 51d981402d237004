"""check() of the slab allocator: every index against the truth it was made from.

Each broken invariant is one sentence with its figures. The machine should be at rest: what a
live CPU changes meanwhile may look broken.
"""

from __future__ import annotations

from collections.abc import Iterator

from cpus import percpu_cy, segment_cy
from cpus.errors import CorruptionError
from smpmm.mm import slab_recover_cy
from smpmm.mm import slab_state_cy as state

FREE, CACHED, ALLOC, KERNEL, FREEING = 1, 2, 3, 4, 5
SLOT_LIVE = 1
LISTED = 0


def check_slabs() -> None:
    """Compare lists, counts, arrays and handles with the truth; raises CorruptionError.

    O(pages + objects).
    """
    broken = list(broken_invariants())
    if broken:
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        raise CorruptionError(broken[0] + more)


def broken_invariants() -> Iterator[str]:
    """Yield a sentence for each invariant that does not hold."""
    cached: dict[tuple[int, int], set[int]] = {}
    live = state.live_caches()
    yield from _check_pages(live)
    for index in live:
        info = state.cache_info(index)
        slabs = state.slab_list(index)
        yield from _check_handle(info)
        yield from _check_list(info, slabs)
        for slab in slabs:
            yield from _check_slab(info, slab, cached)
    yield from _check_arrays(live, cached)
    for address in slab_recover_cy.unused_kernel_objects():
        yield (
            "What the allocator has for itself is a management, a handle or an array: "
            f"{state.object_info(address)['cache']}, {address:#010x} is none."
        )


def _check_pages(live: list[int]) -> Iterator[str]:
    known = set(live)
    for pfn, index in state.slab_pages():
        if index not in known:
            yield f"A slab page is of a live cache: pfn {pfn:#x} says cache number {index}."
        elif state.slab_info(pfn)["cache"] != index:
            of = state.slab_info(pfn)["cache"]
            yield (
                "The struct slab of a page names the page's cache: "
                f"pfn {pfn:#x} is of cache {index}, its slab says {of}."
            )
        elif wrong := state.wrong_page_links(pfn):
            yield f"Each page of a slab points to its slab: pfn {wrong[0]:#x} does not."


def _check_handle(info: dict) -> Iterator[str]:
    if state.handle_index(info["address"]) != info["index"]:
        yield (
            f"A cache's handle names the cache: {info['name']} is number {info['index']}, its "
            f"handle {info['address']:#010x} says {state.handle_index(info['address'])}."
        )
    found = state.object_info(info["address"])
    if found.get("kind") != "kernel" or found.get("what") != info["index"]:
        yield (
            f"A cache's handle is an object of kmem_cache that is its own: {info['name']}, "
            f"{info['address']:#010x} is {found.get('kind', 'no object')}."
        )


def _check_list(info: dict, slabs: list[dict]) -> Iterator[str]:
    name, num = info["name"], info["num"]
    listed = [s["pfn"] for s in slabs]
    private = {p for p in state.slabs_in_pages(info["index"]) if state.slab_info(p)["state"]}
    if len(set(listed)) != len(listed):
        yield f"A slab is on its cache's list once: the list of {name} has a cycle."
        return
    missing = set(state.slabs_in_pages(info["index"])) - set(listed) - private
    foreign = set(listed) - set(state.slabs_in_pages(info["index"]))
    if missing:
        yield f"Each slab is on its cache's list: pfn {min(missing):#x} of {name} is not."
    if foreign:
        yield (
            f"What is on a cache's list is a slab of it: pfn {min(foreign):#x} on the list of "
            f"{name} is not."
        )
    if info["nr_slabs"] != len(slabs):
        yield f"nr_slabs is the list's length: {name}, {info['nr_slabs']}, not {len(slabs)}."
    if info["num_active"] != (active := sum(s["inuse"] for s in slabs)):
        yield (
            "num_active is the sum of what the slabs have in use: "
            f"{name}, {info['num_active']}, not {active}."
        )
    ranks = [0 if s["inuse"] == num else 2 if s["inuse"] == 0 else 1 for s in slabs]
    if ranks != sorted(ranks):
        yield f"Full slabs stand before partial ones, these before free ones: {name}, {ranks}."
    first = next((s["pfn"] for s in slabs if s["inuse"] < num), -1)
    if state.firstnotfull(info["index"]) != first:
        yield (
            f"firstnotfull is the first slab that is not full: {name}, pfn "
            f"{state.firstnotfull(info['index']):#x}, not {first:#x}."
        )


def _check_slab(info: dict, slab: dict, cached: dict) -> Iterator[str]:
    where = f"slab pfn {slab['pfn']:#x} of {info['name']}"
    words = state.truth_words(slab["pfn"])
    free = set()
    for nr, word in enumerate(words):
        kind, place = word & 0xF, word >> 16 << 2
        if kind == FREE:
            free.add(nr)
        elif kind == CACHED:
            key = (info["index"], word >> 8 & 0xFF)
            cached.setdefault(key, set()).add(slab["truth"] + nr)
        elif kind not in (ALLOC, KERNEL, FREEING):
            yield f"An object is free, cached or allocated: {where}, object {nr}: {word:#x}."
        elif kind == FREEING and not _is_live((word >> 8 & 0xFF) - 1):
            yield (
                "An object on its way into an array has a live process that brings it: "
                f"{where}, object {nr}: {word:#x}."
            )
        if kind in (FREE, CACHED, FREEING) and place != slab["s_mem"] + nr * info["objsize"]:
            yield (
                "A free object's truth names its place: "
                f"{where}, object {nr} says physical {place:#x}."
            )
    if slab["inuse"] != len(words) - len(free):
        yield (
            "inuse counts the objects that are not free: "
            f"{where}, {slab['inuse']}, not {len(words) - len(free)}."
        )
    chain = state.free_chain(slab["pfn"])
    if set(chain) != free or len(chain) != len(free):
        yield (
            "The free list has exactly the free objects: "
            f"{where}, list {chain[:8]}, free {sorted(free)[:8]}."
        )
    if info["off_slab"]:
        found = state.object_info(state.kernel_address(slab["management"]))
        if found.get("kind") != "kernel" or found.get("what") != slab["pfn"]:
            yield (
                "The management of an off-slab slab is an object that is its own: "
                f"{where}, {slab['management']:#x} is {found.get('kind', 'no object')}."
            )


def _is_live(slot: int) -> bool:
    return slot >= 0 and percpu_cy.slot_info(slot)["state"] == SLOT_LIVE


def _check_arrays(live: list[int], cached: dict) -> Iterator[str]:
    for index in live:
        name = state.cache_info(index)["name"]
        for cpu in range(segment_cy.nr_cpus()):
            info = state.array_info(index, cpu)
            entries, truth = info["entries"], cached.pop((index, cpu), set())
            if len(entries) > max(info["limit"], 0):
                yield (
                    "An array holds at most its limit: "
                    f"{name}, CPU {cpu}, {len(entries)} of {info['limit']}."
                )
            if set(entries) != truth or len(entries) != len(truth):
                odd = sorted(set(entries) ^ truth)[:4]
                yield (
                    "A CPU's array has exactly the objects whose truth says so: "
                    f"{name}, CPU {cpu}, {len(entries)} entries, {len(truth)} truths, odd "
                    f"{[hex(state.object_address(i)) for i in odd]}."
                )
    for index, cpu in cached:
        yield (
            "A cached object names a CPU of the machine: "
            f"cache number {index} has one of CPU {cpu}."
        )
