"""High memory: kernel addresses for pages that the direct mapping does not reach."""

from cpus.atomic cimport u32, u64
from cpus.segment_cy cimport translate_hook
from cpus.spinlock_cy cimport spinlock
from cpus.waitqueue_cy cimport wait_queue_head
from smpmm.mm.page_cy cimport page

cdef enum:
    RECOVER_KMAP = 10            # the kind of recovery of kmap_lock
    NR_PKMAPS = 1024             # entries, one page each; the profile may use fewer
    NR_KMAP_TYPES = 6            # atomic slots of each CPU, at most

cdef public struct pkmap_entry:
    page *page                   # whose address this is, NULL = none
    u64 count                    # users

cdef public struct pkmap_table:
    spinlock lock                # "kmap_lock": guards the entries and page.virtual
    wait_queue_head wait         # who waits for a free entry
    u64 last                     # entry that was given last
    u64 nr_used
    pkmap_entry entry[1024]

cdef pkmap_table *pkmap
cdef page **atomic_slots         # [NR_CPUS][NR_KMAP_TYPES]; only its CPU writes
cdef u64 pkmap_base              # kernel addresses
cdef u64 nr_pkmaps
cdef u64 kmap_atomic_base
cdef u64 nr_kmap_types
cdef translate_hook translate_next

cdef void *translate_kmap(u64 address, u64 len) noexcept nogil
cdef u64 map_new_page(page *p) noexcept             # the lock is held; 0: all entries are used
cdef pkmap_entry *entry_at(u64 address) noexcept
cdef void recover_kmap(spinlock *lock) noexcept
cdef void unmap_page(page *p) noexcept
