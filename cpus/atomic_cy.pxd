"""atomic_t, exchanges and barriers of drivers: each one kernel call on a word in RAM."""

from cpus.atomic cimport s32, u8, u16, u32, u64

cdef extern from *:
    """
    static u64 exchange_word(void *at, u32 nr_bytes, u64 value) {
        switch (nr_bytes) {
        case 1: return __atomic_exchange_n((u8 *)at, (u8)value, __ATOMIC_SEQ_CST);
        case 2: return __atomic_exchange_n((u16 *)at, (u16)value, __ATOMIC_SEQ_CST);
        case 4: return __atomic_exchange_n((u32 *)at, (u32)value, __ATOMIC_SEQ_CST);
        default: return __atomic_exchange_n((u64 *)at, value, __ATOMIC_SEQ_CST);
        }
    }
    #define COMPARE_EXCHANGE(type) { \\
        type was = (type)old; \\
        __atomic_compare_exchange_n((type *)at, &was, (type)value, 0, __ATOMIC_SEQ_CST, \\
                                    __ATOMIC_SEQ_CST); \\
        return was; }
    static u64 compare_exchange_word(void *at, u32 nr_bytes, u64 old, u64 value) {
        switch (nr_bytes) {
        case 1: COMPARE_EXCHANGE(u8)
        case 2: COMPARE_EXCHANGE(u16)
        case 4: COMPARE_EXCHANGE(u32)
        default: COMPARE_EXCHANGE(u64)
        }
    }
    """
    u64 exchange_word(void *at, u32 nr_bytes, u64 value) noexcept
    u64 compare_exchange_word(void *at, u32 nr_bytes, u64 old, u64 value) noexcept

# One kernel call: add to the 32-bit word at `v`; returns the new value. `call` is the name for
# the report if nothing is mapped there.
cdef s32 add_to(object v, u32 value, const char *call) except? -1
cdef u32 low_bits(object value) except? 0xffffffff
cdef u64 exchange(
    object address, object old, object new, u32 nr_bytes, bint compare) except? -1
