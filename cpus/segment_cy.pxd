"""The shared segment: header, regions, the windows through which kernel addresses are seen."""

from cpus.atomic cimport u8, u16, u32, u64, s32

cdef enum:
    NR_CPUS = 64          # processors of one machine, at most
    NR_SLOTS = 224        # processes of one machine: monitor, CPUs, handlers, devices
    NR_REGIONS = 64
    CALIBRATE_NS = 900000  # time between the two readings of the clocks
    READINGS = 16          # of each reading the tightest of so many

cdef public struct region:
    char name[24]
    u64 offset            # bytes from the start of the segment
    u64 size              # bytes

cdef public struct segment_header:
    u64 magic
    u64 size              # bytes, whole segment
    u64 ram_size          # bytes; RAM lies at offset 0
    u64 nr_cpus
    u64 hz
    u64 boot_ticks        # clock_ticks() at boot
    u64 boot_ns           # clock_ns() at the same moment
    u64 ns_per_tick       # 32.32 fixed point
    u64 powered_off       # 1 from the moment when the monitor ends the machine
    u64 on_bug            # 0 raise, 1 continue
    u64 seed
    u64 nr_regions
    region regions[64]

cdef segment_header *header
cdef u8 *ram                   # native address of physical address 0
cdef u64 direct_start          # kernel virtual address of physical 0 (PAGE_OFFSET)
cdef u64 direct_end            # end of direct-mapped memory (high_memory)
cdef u64 window_start          # kernel virtual address of the handle window
cdef u64 window_end
cdef u8 *window                # its native address

# What lies outside both windows (vmalloc areas, kmap): registered by the memory management.
# Returns the native address of `len` bytes at `address`, or NULL; any context.
ctypedef void *(*translate_hook)(u64 address, u64 len) noexcept nogil
cdef translate_hook translate_further

cdef void *native(u64 address, u64 len) noexcept nogil     # NULL: not mapped
cdef u64 kernel_address(void *pointer) noexcept nogil      # 0: in no window
cdef void *region_at(const char *name) except NULL
cdef u64 region_size(const char *name) noexcept
cdef u64 ticks_to_ns(u64 ticks) noexcept nogil             # a difference of clock_ticks()
cdef u64 machine_ns() noexcept nogil                       # ns since boot

# Helpers of this module alone.
cdef void calibrate(segment_header *h) noexcept
cdef void read_clocks(u64 *ticks, u64 *ns) noexcept
