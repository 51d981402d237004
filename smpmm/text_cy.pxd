"""Kernel text in the segment: a table of entries and a heap of their bytes."""

from cpus.atomic cimport u8, u32, u64
from cpus.spinlock_cy cimport spinlock

cdef enum:
    NR_TEXT = 16384
    TEXT_SPACING = 64      # bytes of address space of an entry
    NR_UNITS = 16384
    TEXT_UNIT = 256        # bytes of heap

    TEXT_FREE = 0
    TEXT_WRITING = 1       # only while the lock is held
    TEXT_LIVE = 2
    TEXT_GONE = 3          # a function whose module was removed: never used again

    TEXT_FUNCTION = 0      # callable at its address
    TEXT_BLOB = 1          # bytes by number: a module's namespace, arguments of a thread

cdef public struct text_entry:     # 128 bytes; guarded by text_header.lock, read without
    u32 state              # TEXT_*; the store of TEXT_LIVE commits the rest
    u32 kind
    u32 first_unit         # of its bytes
    u32 length             # bytes; 0 = found by its name in its module's namespace
    u64 serial             # of the module that it belongs to, 0 = none
    u64 digest             # of the bytes
    char module[32]
    char name[64]

cdef public struct text_header:
    spinlock lock
    u64 version            # changes when what a process has loaded may be out of date; atomic
    u64 nr_functions       # the first entries are functions, in order of registration
    u64 nr_blobs           # the last entries, this many, are or were blobs: used again
    u64 base               # kernel address of entry 0
    u64 next_unit          # where the search for free units starts
    u32 units[16384]       # entry + 1 that owns the unit, 0 = free

cdef text_header *text
cdef text_entry *entries           # [NR_TEXT]
cdef u8 *heap
cdef u64 seen_version

cdef void recover(spinlock *lock) noexcept
cdef u32 units_of(u32 length) noexcept
cdef long long find_units(u32 count) noexcept      # lock held
cdef long long find_entry(u32 kind) noexcept       # lock held
cdef void end_entry(long long i, u32 state) noexcept   # lock held
