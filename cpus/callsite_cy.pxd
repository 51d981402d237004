"""Call sites: a number for each place in Python that calls the kernel."""

from cpus.atomic cimport likely, u8, u32, u64

cdef extern from "callsite.h":
    void *current_code(void **instruction) noexcept
    void *frame_now() noexcept
    void *frame_code(void *frame, void **instruction) noexcept
    void *frame_before(void *frame) noexcept
    int instruction_line(void *code, void *instruction) noexcept
    const char *code_function(void *code) noexcept
    const char *code_file(void *code) noexcept
    void keep_code(void *code) noexcept
    int drop_code(void *code) noexcept

cdef enum:
    NR_SITES = 8192
    LOCAL = 16384          # places of the process-local table
    LOCAL_TRIES = 8        # places of it that one instruction may be at

cdef public struct call_site_entry:
    u64 key               # hash of file, line, function; 0 = free; claimed by cmpxchg
    u32 line
    u32 ready             # 1 when the names are written, by whoever needs them first
    char function[56]
    char file[120]

cdef call_site_entry *sites
cdef u64 local_keys[16384]     # instruction address, 0 = free
cdef u32 local_sites[16384]
cdef void *local_codes[16384]  # whose instruction it is: kept alive by the table
cdef u64 nr_replaced

# The number of the Python line that makes the current kernel call; 0 when the table is full.
# Any context, inside or outside a call; 2 ns after the first meeting.
cdef inline u32 call_site() noexcept:
    cdef void *instruction = NULL
    cdef void *code = current_code(&instruction)
    cdef u64 at = (<u64>instruction >> 1) & (LOCAL - 1)
    # Without a frame the address is 0: free places have that key and the number 0.
    if likely(local_keys[at] == <u64>instruction):
        return local_sites[at]
    return site_at(code, instruction) if code != NULL else 0

# The numbers of the whole Python stack, innermost first; returns how many.
cdef int stack_sites(u32 *out, int most) noexcept
cdef u32 site_at(void *code, void *instruction) noexcept
cdef u32 first_meeting(void *code, void *instruction, u64 at) noexcept
cdef u64 hash_text(u64 key, const char *text) noexcept
cdef u64 place_of_another(void *instruction) noexcept
cdef bint remember(void *code, u64 at) noexcept
cdef void name_site(call_site_entry *site, const char *file, const char *function,
                    u32 line) noexcept
cdef u32 enter_site(const char *file, const char *function, u32 line) noexcept
