"""Areas of the vmalloc space (struct vm_struct, vmlist, get_vm_area of mm/vmalloc.c).

1. `area_place` finds the first gap, in address order, that holds the size and a guard page.
2. Its caller maps the pages and makes the area live by `area_commit`.
3. `area_claim` takes a live area off the list, for vfree; its place stays taken.
4. `area_release` gives the place back, when the pages are nobody's any more.

Truth: `vm_info.truth` of each entry of the table, with the addr, size and vm written before
it. Index: vmlist, the kernel's own sorted list, in RAM; and a search tree of all areas with a
place (a treap), in which each node knows the widest gap of its subtree: so the search for a
gap and for an address costs the same with ten areas and with ten thousand. `changing` says
that a writer was killed in the middle of the index: who takes the lock next builds it anew.

Lock order: vmlist_lock is taken with no other lock held, and none is taken under it.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import atomic64_store_release, compiler_barrier
from cython.cimports.cpus.host_cy import segment_fd, segment_reserve
from cython.cimports.cpus.kill_cy import KILL_AREA_PLACED, kill_point
from cython.cimports.cpus.rwlock_cy import (
    read_acquire,
    read_release,
    rwlock_init,
    write_acquire,
    write_release,
)
from cython.cimports.cpus.spinlock_cy import CLASS_RW, RECOVER_NOTHING, lock_class_named
from cython.cimports.smpmm.mm.page_cy import PAGE_SIZE
from cython.cimports.smpmm.mm.pgtable_cy import vm_bytes, vm_start
from cython.cimports.smpmm.mm.zone_cy import owner_bits

from smpmm.mm.vmalloc_profile import vmalloc_profile

SPARSE_REGIONS = ("vm_infos",)
SEARCH_STEPS = 256


def regions(config: object) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {
        "vm_table": cython.sizeof(vm_table),
        "vm_infos": (NR_AREAS + 1) * cython.sizeof(vm_info),
    }


def attach(config: object) -> None:
    """Find the tables; the monitor, before it forks."""
    global vmem, vm_infos
    vmem = cython.cast(cython.pointer[vm_table], segment_cy.region_at(b"vm_table"))
    vm_infos = cython.cast(cython.pointer[vm_info], segment_cy.region_at(b"vm_infos"))
    set_rules(vmalloc_profile(config))


def set_rules(profile: object) -> None:
    """Take the version's rule of gaps from a VmallocProfile; before the forks, and tests."""
    global exact_fit
    exact_fit = profile.exact_fit


def init(config: object) -> None:
    """Format the lock of a fresh segment; the monitor."""
    class_: cython.ushort = lock_class_named(b"vmlist_lock", CLASS_RW, RECOVER_NOTHING)
    rwlock_init(cython.address(vmem.lock), class_)


def lock_for_change(site):
    write_acquire(cython.address(vmem.lock), site)
    if vmem.changing != 0:
        rebuild_index()
    vmem.changing = 1
    compiler_barrier()


def unlock_changed():
    compiler_barrier()
    vmem.changing = 0
    write_release(cython.address(vmem.lock))


def lock_to_read(site):
    while True:
        read_acquire(cython.address(vmem.lock), site)
        if vmem.changing == 0:
            return
        # Its writer is dead: a live one keeps readers out.
        read_release(cython.address(vmem.lock))
        lock_for_change(site)
        unlock_changed()


def unlock_read():
    read_release(cython.address(vmem.lock))


def area_place(size, align, flags, vm, phys, site):
    a: cython.pointer[vm_info]
    at: u64
    number: u32 = 0
    lock_for_change(site)
    at = place_for(size, align)
    if at != 0:
        number = take_info()
    if number != 0:
        a = vm_infos + number
        a.addr = at
        a.size = size
        a.vm = vm
        a.phys = phys
        a.flags = flags
        a.caller = site
        a.pid = owner_bits(site) >> 32
        vm.flags = flags
        vm.info = number
        vm.addr = at
        vm.size = size
        atomic64_store_release(cython.address(a.truth), AREA_BUILDING | owner_bits(site))
        kill_point(KILL_AREA_PLACED)
        vmem.tree = tree_insert(vmem.tree, number)
        list_insert(a)
        vmem.nr_areas += 1
    unlock_changed()
    return number


def area_commit(number):
    truth: u64 = vm_infos[number].truth & ~cython.cast(u64, AREA_KIND)
    atomic64_store_release(cython.address(vm_infos[number].truth), truth | AREA_LIVE)


def area_claim(address, site):
    a: cython.pointer[vm_info]
    number: u32
    lock_for_change(site)
    number = tree_before(address)
    a = vm_infos + number
    if number != 0 and a.addr == address and area_state(number) == AREA_LIVE:
        atomic64_store_release(cython.address(a.truth), AREA_DYING | owner_bits(site))
        list_remove(a)
    else:
        number = 0
    unlock_changed()
    return number


def area_release(number, site):
    a: cython.pointer[vm_info] = vm_infos + number
    f: cython.pointer[freed_area]
    lock_for_change(site)
    f = cython.address(vmem.freed[vmem.nr_freed % NR_FREED])
    f.addr = a.addr
    f.size = a.size
    f.truth = a.truth
    f.caller = a.caller
    vmem.nr_freed += 1
    vmem.tree = tree_remove(vmem.tree, a.addr)
    if area_state(number) != AREA_DYING:
        list_remove(a)
    atomic64_store_release(cython.address(a.truth), AREA_FREE)
    a.left = vmem.free_infos
    vmem.free_infos = number
    vmem.nr_areas -= 1
    unlock_changed()


def area_holding(address):
    number: u32 = vmem.tree
    steps: cython.int = 0
    a: cython.pointer[vm_info]
    while number != 0 and number <= vmem.nr_infos and steps < SEARCH_STEPS:
        a = vm_infos + number
        if address < a.addr:
            number = a.left
        elif address >= area_end(a):
            number = a.right
        else:
            return number
        steps += 1
    return 0


# The search for a gap.


def fits(start, end, size, align):
    at: u64 = (start + align - 1) & ~(align - 1)
    if at < start or at > end:
        return False
    return end - at > size or (exact_fit and end - at == size)


def first_fit(tree, before, size, align, behind):
    """Search the gaps before and inside a subtree; 0: none fits, and `behind` is its end."""
    a: cython.pointer[vm_info] = vm_infos + tree
    at: u64
    if tree == 0:
        behind[0] = before
        return 0
    if not fits(before, a.lowest, size, PAGE_SIZE) and not fits(0, a.gap, size, PAGE_SIZE):
        behind[0] = a.end
        return 0
    at = first_fit(a.left, before, size, align, behind)
    if at != 0:
        return at
    if fits(behind[0], a.addr, size, align):
        return (behind[0] + align - 1) & ~(align - 1)
    return first_fit(a.right, area_end(a), size, align, behind)


def place_for(size, align):
    """Return the first place for `size` bytes, 0 when there is none; the lock is held."""
    behind: u64 = vm_start
    at: u64 = first_fit(vmem.tree, vm_start, size, align, cython.address(behind))
    if at != 0:
        return at
    at = (behind + align - 1) & ~(align - 1)
    # Differences: the end of the space may be the end of all addresses.
    if at < behind or at - vm_start > vm_bytes or vm_bytes - (at - vm_start) < size:
        return 0
    return at


# The table.


def take_info():
    number: u32 = vmem.free_infos
    if number != 0:
        vmem.free_infos = vm_infos[number].left
        return number
    number = vmem.nr_infos + 1
    if number > NR_AREAS or not back_infos(number):
        return 0
    vmem.nr_infos = number
    return number


def back_infos(number):
    """Give the entry host memory; false when the host has none."""
    offset: u64
    length: u64 = AREAS_BACKED * cython.sizeof(vm_info)
    if number < vmem.nr_backed or segment_fd == 0:
        return True
    offset = cython.cast(u64, vm_infos) - cython.cast(u64, segment_cy.ram)
    offset += vmem.nr_backed * cython.sizeof(vm_info)
    if segment_reserve(
        offset,
        min(
            length,
            (NR_AREAS + 1) * cython.sizeof(vm_info)
            - (vmem.nr_backed * cython.sizeof(vm_info)),
        ),
    ):
        return False
    vmem.nr_backed += AREAS_BACKED
    return True


# The tree: by address, and a heap by a hash of the number, which keeps it flat.


def priority(number):
    return (number + 1) * cython.cast(u64, 0x9E3779B97F4A7C15) >> 32


def pull(number):
    """Work out what a node knows of its subtree from its children."""
    a: cython.pointer[vm_info] = vm_infos + number
    b: cython.pointer[vm_info]
    a.lowest = a.addr
    a.end = area_end(a)
    a.gap = 0
    if a.left != 0:
        b = vm_infos + a.left
        a.lowest = b.lowest
        a.gap = max(b.gap, a.addr - b.end)
    if a.right != 0:
        b = vm_infos + a.right
        a.gap = max(a.gap, max(b.gap, b.lowest - a.end))
        a.end = b.end


def tree_insert(tree, number):
    a: cython.pointer[vm_info] = vm_infos + number
    if tree == 0 or priority(number) > priority(tree):
        tree_split(tree, a.addr, cython.address(a.left), cython.address(a.right))
        pull(number)
        return number
    if a.addr < vm_infos[tree].addr:
        vm_infos[tree].left = tree_insert(vm_infos[tree].left, number)
    else:
        vm_infos[tree].right = tree_insert(vm_infos[tree].right, number)
    pull(tree)
    return tree


def tree_split(tree, address, below, above):
    """Divide a subtree into what starts below an address and what does not."""
    part: u32 = 0
    if tree == 0:
        below[0] = 0
        above[0] = 0
    elif vm_infos[tree].addr < address:
        tree_split(vm_infos[tree].right, address, cython.address(part), above)
        vm_infos[tree].right = part
        pull(tree)
        below[0] = tree
    else:
        tree_split(vm_infos[tree].left, address, below, cython.address(part))
        vm_infos[tree].left = part
        pull(tree)
        above[0] = tree


def tree_merge(below, above):
    if below == 0:
        return above
    if above == 0:
        return below
    if priority(below) > priority(above):
        vm_infos[below].right = tree_merge(vm_infos[below].right, above)
        pull(below)
        return below
    vm_infos[above].left = tree_merge(below, vm_infos[above].left)
    pull(above)
    return above


def tree_remove(tree, address):
    if tree == 0:
        return 0
    if vm_infos[tree].addr == address:
        return tree_merge(vm_infos[tree].left, vm_infos[tree].right)
    if address < vm_infos[tree].addr:
        vm_infos[tree].left = tree_remove(vm_infos[tree].left, address)
    else:
        vm_infos[tree].right = tree_remove(vm_infos[tree].right, address)
    pull(tree)
    return tree


def tree_before(address):
    """Return the last area that starts at or below an address."""
    found: u32 = 0
    tree: u32 = vmem.tree
    while tree != 0:
        if vm_infos[tree].addr <= address:
            found = tree
            tree = vm_infos[tree].right
        else:
            tree = vm_infos[tree].left
    return found


# The list.


def listed_before(address):
    """Return the last area on the list that starts below an address."""
    number: u32 = tree_before(address - 1) if address != 0 else 0
    while number != 0 and area_state(number) == AREA_DYING:
        number = tree_before(vm_infos[number].addr - 1)
    return number


def list_insert(a):
    before: u32 = listed_before(a.addr)
    link: cython.pointer[cython.pointer[vm_struct]] = cython.address(vmem.vmlist)
    if before != 0:
        link = cython.address(vm_infos[before].vm.next)
    a.vm.next = link[0]
    link[0] = a.vm


def list_remove(a):
    before: u32 = listed_before(a.addr)
    link: cython.pointer[cython.pointer[vm_struct]] = cython.address(vmem.vmlist)
    if before != 0:
        link = cython.address(vm_infos[before].vm.next)
    link[0] = a.vm.next
    a.vm.next = cython.NULL


def rebuild_index():
    """Build tree, list and free entries anew from the truth; the lock is held."""
    number: u32
    tail: cython.pointer[cython.pointer[vm_struct]] = cython.address(vmem.vmlist)
    vmem.tree = 0
    vmem.free_infos = 0
    vmem.nr_areas = 0
    for number in range(vmem.nr_infos, 0, -1):
        if area_state(number) == AREA_FREE:
            vm_infos[number].left = vmem.free_infos
            vmem.free_infos = number
        else:
            vmem.tree = tree_insert(vmem.tree, number)
            vmem.nr_areas += 1
    relist(vmem.tree, cython.address(tail))
    tail[0] = cython.NULL


def relist(tree, tail):
    """Link the areas of a subtree behind `tail`, in order; those that die are not listed."""
    if tree == 0:
        return
    relist(vm_infos[tree].left, tail)
    if area_state(tree) != AREA_DYING:
        tail[0][0] = vm_infos[tree].vm
        tail[0] = cython.address(vm_infos[tree].vm.next)
    relist(vm_infos[tree].right, tail)
