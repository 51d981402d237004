"""User space: the memory of a system call's caller, as the kernel reaches it."""

from cpus.atomic cimport u8, u32, u64
from cpython.buffer cimport Py_buffer

cdef enum:
    USER_BASE = 0x08048000    # where a program of i386 is loaded
    USER_PAGE = 4096          # ranges start on pages, with an unmapped one between them

cdef struct user_range:
    u64 task              # native address of the task_struct whose memory it is, 0 = no task
    u64 start             # user address
    u64 length            # bytes
    u8 *host
    u32 writable
    Py_buffer buffer

cdef user_range **user_ranges     # of this process, in no order
cdef u32 nr_user_ranges
cdef u32 most_user_ranges

# Inside a call, in the task whose memory it is: the host address of the longest piece of
# [address, address + n) that lies in one range, and its length; NULL and 0 when there is none.
cdef u8 *user_span(u64 address, u64 n, bint write, u64 *length) noexcept
# Whether [address, address + n) lies below the kernel's part of the address space.
cdef bint access_is_ok(u64 address, u64 n) noexcept
# Inside a call: move bytes between kernel memory and user memory. They stop at the first byte
# that is not there and return how many they did; `fault` is set when that byte was the
# kernel's.
cdef u64 to_user(u64 to, u64 from_, u64 n, bint *fault) noexcept
cdef u64 from_user(u64 to, u64 from_, u64 n, bint *fault) noexcept
cdef u64 copy_word_from_user(u64 address, void *to, u64 n) noexcept
cdef u64 copy_word_to_user(u64 address, const void *data, u64 n) noexcept
cdef u64 free_user_address(u64 length) noexcept
cdef int keep_user_range(user_range *area) except -1
cdef int add_user_range(user_range *area) noexcept
