"""Areas of the vmalloc space: the sorted list, the truth of each, the search for a gap."""

from cpus.atomic cimport u8, u32, u64
from cpus.rwlock_cy cimport rwlock
from smpmm.mm.page_cy cimport page

cdef enum:
    NR_AREAS = 1 << 17           # of a machine, at most
    AREAS_BACKED = 256           # the unit in which the table gets host memory
    NR_FREED = 64                # areas that were freed last: for reports

    VM_IOREMAP = 1               # vm_struct.flags, as in Linux
    VM_ALLOC = 2

    # vm_info.truth, bits 0-3: what there is in this entry of the table. The other bits as in
    # page.truth: process slot + 1, call site, pid of who allocated it, of who frees it.
    AREA_FREE = 0
    AREA_BUILDING = 1            # has its place; its maker maps the pages
    AREA_LIVE = 2                # the caller's
    AREA_DYING = 3               # has its place until its pages are given back
    AREA_KIND = 0xf

cdef public struct vm_struct:    # in RAM, from kmalloc: 32 bytes
    u32 flags                    # VM_*
    u32 info                     # its number in the table of areas
    u64 addr
    u64 size                     # bytes, with the guard page
    vm_struct *next              # on vmlist, by address; guarded by vmlist_lock

cdef public struct vm_info:      # control area; guarded by vmlist_lock
    u64 truth                    # changes by one committing store
    # constant from AREA_BUILDING until AREA_FREE
    u64 addr
    u64 size                     # with the guard page
    vm_struct *vm
    u64 phys                     # of VM_IOREMAP
    u32 flags                    # VM_*
    u32 caller                   # call site
    u64 pid                      # of the task that asked for it
    # index: the tree, by address; 0 = none
    u32 left
    u32 right
    u64 lowest                   # of the subtree: its first byte, its end, its widest gap
    u64 end
    u64 gap

cdef public struct freed_area:
    u64 addr
    u64 size
    u64 truth                    # of who freed it
    u32 caller                   # who had allocated it
    u32 pad

cdef public struct vm_table:     # control area
    rwlock lock                  # "vmlist_lock"
    u64 changing                 # 1 while a writer changes the index
    vm_struct *vmlist
    u32 tree
    u32 free_infos               # linked by `left`
    u32 nr_infos                 # entries ever used, entry 0 not counted
    u32 nr_backed
    u64 nr_areas                 # that have a place
    u64 nr_freed
    freed_area freed[64]

cdef vm_table *vmem
cdef vm_info *vm_infos           # [NR_AREAS + 1]
cdef bint exact_fit              # a gap of just the size is taken

# All are called inside a kernel call and take the lock themselves. Numbers of areas; 0: none.
#
# Give an area of `size` bytes (guard page included) the first place that fits, at a multiple
# of `align`: AREA_BUILDING, owned by the caller. 0: no place, or the table is full.
cdef u32 area_place(
    u64 size, u64 align, u32 flags, vm_struct *vm, u64 phys, u32 site
) noexcept
# The caller's area is whole now.
cdef void area_commit(u32 number) noexcept
# Claim the live area that starts at `address` in order to take it apart, off the list.
cdef u32 area_claim(u64 address, u32 site) noexcept
# Take back the place of an area that is empty; it was the caller's.
cdef void area_release(u32 number, u32 site) noexcept
# The area with a place that holds an address; no lock: for reports, and for what is the
# caller's.
cdef u32 area_holding(u64 address) noexcept

cdef inline u64 area_state(u32 number) noexcept nogil:
    return vm_infos[number].truth & AREA_KIND

cdef inline u64 area_end(vm_info *a) noexcept nogil:
    return a.addr + a.size

# Of this module, its check and its tests.
cdef void lock_for_change(u32 site) noexcept
cdef void unlock_changed() noexcept
cdef void lock_to_read(u32 site) noexcept
cdef void unlock_read() noexcept
cdef u64 first_fit(u32 tree, u64 before, u64 size, u64 align, u64 *behind) noexcept
cdef bint fits(u64 start, u64 end, u64 size, u64 align) noexcept nogil
cdef u64 place_for(u64 size, u64 align) noexcept
cdef u32 take_info() noexcept
cdef bint back_infos(u32 number) noexcept
cdef u64 priority(u32 number) noexcept nogil
cdef void pull(u32 number) noexcept nogil
cdef u32 tree_insert(u32 tree, u32 number) noexcept nogil
cdef void tree_split(u32 tree, u64 address, u32 *below, u32 *above) noexcept nogil
cdef u32 tree_remove(u32 tree, u64 address) noexcept nogil
cdef u32 tree_merge(u32 below, u32 above) noexcept nogil
cdef u32 tree_before(u64 address) noexcept nogil
cdef u32 listed_before(u64 address) noexcept
cdef void list_insert(vm_info *a) noexcept
cdef void list_remove(vm_info *a) noexcept
cdef void rebuild_index() noexcept
cdef void relist(u32 tree, vm_struct ***tail) noexcept
