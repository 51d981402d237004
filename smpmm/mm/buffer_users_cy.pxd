"""b_count of a buffer, by process: one word."""

from cpus.atomic cimport u64

cdef enum:
    NR_USER_ENTRIES = 3          # bits 0-47: 16 bits each, slot + 1 below, its count above
    USER_COUNT_MOST = 255
    OTHERS_SHIFT = 48            # bits 48-63: users that belong to no entry

cpdef u64 add_user(u64 users, u64 slot) noexcept       # `slot` is slot + 1
cpdef u64 drop_user(u64 users, u64 slot) noexcept
cpdef u64 drop_users_of(u64 users, u64 slot) noexcept
cpdef u64 nr_users(u64 users) noexcept
