"""What areas there are, for reports, /proc and tests: copies of the table's words.

The walks go from area to area, each under the lock for one look, so that no Python object is
made while it is held: what is returned was true of each area, not of all at one instant.
"""

import cython
from cython.cimports.cpus.atomic import atomic64_load
from cython.cimports.cpus.percpu_cy import enter, leave
from cython.cimports.smpmm.mm.page_cy import PAGE_SIZE
from cython.cimports.smpmm.mm.vm_area_cy import (
    AREA_FREE,
    AREA_KIND,
    NR_FREED,
    freed_area,
    listed_before,
    lock_to_read,
    tree_before,
    unlock_read,
    vm_info,
    vm_infos,
    vm_struct,
    vm_table,
    vmem,
)


def info_of(a, number):
    """Return an area's words as a dict."""
    return {
        "number": number,
        "state": a.truth & AREA_KIND,
        "addr": a.addr,
        "size": a.size,
        "bytes": a.size - PAGE_SIZE,  # without the guard page
        "pages": a.size // PAGE_SIZE - 1,
        "phys": a.phys,
        "flags": a.flags,
        "caller": a.caller,
        "pid": a.pid,
        "slot": int((a.truth >> 8) & 0xFF) - 1,
        "vm": cython.cast(cython.ulonglong, a.vm),
    }


def area_info(number: cython.uint) -> dict:
    """Return what an entry of the table says. Takes no lock."""
    if number > vmem.nr_infos:
        raise ValueError(f"area {number} of {vmem.nr_infos}")
    return info_of(vm_infos + number, number)


def next_area(address: cython.ulonglong) -> object:
    """Return the first area on the list that starts at or above an address, or None."""
    number: u32 = 0
    copy: vm_info
    vm: cython.pointer[vm_struct]
    enter()
    lock_to_read(0)
    number = listed_before(address)
    vm = vmem.vmlist if number == 0 else vm_infos[number].vm.next
    if vm != cython.NULL:
        copy = vm_infos[vm.info]
        number = vm.info
    unlock_read()
    leave()
    return None if vm == cython.NULL else info_of(cython.address(copy), number)


def all_areas() -> list:
    """Return every area on vmlist, by address: each as it was at one moment."""
    found = []
    area = next_area(0)
    while area is not None:
        found.append(area)
        area = next_area(area["addr"] + 1)
    return found


def area_below(address: cython.ulonglong) -> object:
    """Return the area with a place that starts at or below an address, or None."""
    copy: vm_info
    number: u32
    enter()
    lock_to_read(0)
    number = tree_before(address)
    if number != 0:
        copy = vm_infos[number]
    unlock_read()
    leave()
    return None if number == 0 else info_of(cython.address(copy), number)


def numbers_of(slot: cython.ulonglong) -> list:
    """Return the areas whose truth names a process slot: (number, state). Takes no lock."""
    number: u32
    truth: u64
    found = []
    for number in range(1, vmem.nr_infos + 1):
        truth = atomic64_load(cython.address(vm_infos[number].truth))
        if truth & AREA_KIND != AREA_FREE and ((truth >> 8) & 0xFF) == slot + 1:
            found.append((number, truth & AREA_KIND))
    return found


def freed_areas() -> list:
    """Return the areas that were freed last, newest first. Takes no lock."""
    found = []
    i: u64
    f: freed_area
    nr: u64 = vmem.nr_freed
    for i in range(min(nr, NR_FREED)):
        f = vmem.freed[(nr - 1 - i) % NR_FREED]
        found.append(
            {
                "addr": f.addr,
                "size": f.size,
                "caller": f.caller,
                "site": (f.truth >> 16) & 0xFFFF,
                "pid": f.truth >> 32,
            }
        )
    return found


def vm_counts() -> dict:
    """Return how many areas have a place, and how many entries of the table were ever used."""
    return {"areas": vmem.nr_areas, "infos": vmem.nr_infos, "freed": vmem.nr_freed}


def native(what: str, number: cython.uint = 0) -> int:
    """Return the native address of a struct; tests damage RAM with it."""
    if what == "table":
        return cython.cast(cython.ulonglong, vmem)
    if what == "info":
        return cython.cast(cython.ulonglong, vm_infos + number)
    return cython.cast(cython.ulonglong, vm_infos[number].vm)


def offset(name: str) -> int:
    """Return the offset of "struct.field" in bytes; tests damage RAM with it."""
    a: cython.pointer[vm_info] = cython.NULL
    v: cython.pointer[vm_struct] = cython.NULL
    t: cython.pointer[vm_table] = cython.NULL
    return {
        "info.truth": cython.cast(cython.ulonglong, cython.address(a.truth)),
        "info.addr": cython.cast(cython.ulonglong, cython.address(a.addr)),
        "info.size": cython.cast(cython.ulonglong, cython.address(a.size)),
        "info.left": cython.cast(cython.ulonglong, cython.address(a.left)),
        "info.gap": cython.cast(cython.ulonglong, cython.address(a.gap)),
        "vm.addr": cython.cast(cython.ulonglong, cython.address(v.addr)),
        "vm.size": cython.cast(cython.ulonglong, cython.address(v.size)),
        "vm.next": cython.cast(cython.ulonglong, cython.address(v.next)),
        "vm.info": cython.cast(cython.ulonglong, cython.address(v.info)),
        "table.vmlist": cython.cast(cython.ulonglong, cython.address(t.vmlist)),
        "table.nr_areas": cython.cast(cython.ulonglong, cython.address(t.nr_areas)),
        "table.free_infos": cython.cast(cython.ulonglong, cython.address(t.free_infos)),
    }[name]
