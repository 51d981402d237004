"""The machine's disk: a host file, read and written a page at a time."""

from cpus.atomic cimport u8, u64

cdef enum:
    DISK_DEVICE = 0x300          # MKDEV(3, 0): hda

cdef int disk_fd                 # of the host file; the same number in every process
cdef u64 disk_blocks             # of 4096 bytes

# Transfer one block; returns 0 or an errno. Outside of a kernel call: the host may block.
cdef int disk_transfer(u64 block, u8 *memory, bint write) noexcept
