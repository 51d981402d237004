"""Words of the modelled architecture in RAM: size of a pointer, reading and storing."""

from cpus.atomic cimport u8, u16, u32, u64

cdef u32 word_bytes           # of a pointer and a long

# Inside a call: 0, or -1 where nothing is mapped. `nr_bytes` is 1, 2, 4 or 8.
cdef int load_word(u64 address, u32 nr_bytes, u64 *word) noexcept
cdef int store_word(u64 address, u32 nr_bytes, u64 word) noexcept

# Report that the kernel call `call` touched `address`, at which there is nothing: an oops,
# raised. Outside of any call.
cdef int bad_access(const char *call, u64 address) except -1
