"""Call sites: which Python line makes a kernel call, as a number that any process can read.

1. A process-local table maps the interpreter's instruction address to a number (2 ns).
2. At the first meeting the line is worked out and file, line and function are entered in the
   shared table under a hash of the three; two processes that meet the same line get one
   number.

Names stay readable after their process has died: they lie in the segment. Whoever meets an
entry without its names writes them, so one whose maker was killed gets them from the next.

The local table keeps alive the code objects that it knows, at most LOCAL. Functions that are
shipped again and again are new code objects each time: the newest take the places of others.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import (
    atomic32_load_acquire,
    atomic32_store_release,
    atomic64_cmpxchg,
    atomic64_load,
)
from cython.cimports.cpus.kill_cy import KILL_SITE_CLAIMED, kill_point
from cython.cimports.libc.string import memset, strlen, strncpy


def regions(config: object = None) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {"call_sites": NR_SITES * cython.sizeof(call_site_entry)}


def attach(config: object = None) -> None:
    """Find this module's regions in the attached segment."""
    global sites
    sites = cython.cast(cython.pointer[call_site_entry], segment_cy.region_at(b"call_sites"))
    memset(local_keys, 0, cython.sizeof(local_keys))


def stack_sites(out, most):
    n: cython.int = 0
    instruction: cython.p_void = cython.NULL
    frame: cython.p_void = frame_now()
    code: cython.p_void
    while frame != cython.NULL and n < most:
        code = frame_code(frame, cython.address(instruction))
        if code != cython.NULL:
            out[n] = site_at(code, instruction)
            n += 1
        frame = frame_before(frame)
    return n


def site_at(code, instruction):
    at: u64 = (cython.cast(u64, instruction) >> 1) & (LOCAL - 1)
    _i: cython.int
    for _i in range(LOCAL_TRIES):
        if local_keys[at] == cython.cast(u64, instruction):
            return local_sites[at]
        if local_keys[at] == 0:
            break
        at = (at + 1) & (LOCAL - 1)
    return first_meeting(code, instruction, at)


def first_meeting(code: cython.p_void, instruction: cython.p_void, at: u64) -> u32:
    """Enter a call site in the shared table and remember its number at place `at`."""
    line: u32 = instruction_line(code, instruction)
    number: u32 = enter_site(code_file(code), code_function(code), line)
    if local_keys[at] != 0:
        at = place_of_another(instruction)
    if remember(code, at):
        local_sites[at] = number
        local_keys[at] = cython.cast(u64, instruction)
    return number


def place_of_another(instruction):
    """Return the place that an instruction takes when all it may be at are taken: in turn."""
    global nr_replaced
    nr_replaced += 1
    at: u64 = cython.cast(u64, instruction) >> 1
    return (at + nr_replaced % LOCAL_TRIES) & (LOCAL - 1)


def remember(code, at):
    """Make place `at` of the local table keep `code`; false when the old one cannot go now."""
    old: cython.p_void = local_codes[at]
    if old != code:
        if old != cython.NULL and drop_code(old) != 0:
            return False
        keep_code(code)
        local_codes[at] = code
    return True


def hash_text(key: u64, text: cython.p_const_char) -> u64:
    """Continue an FNV-1a hash over a C string."""
    i: cython.int = 0
    while text[i] != 0:
        key = (key ^ cython.cast(u8, text[i])) * cython.cast(u64, 0x100000001B3)
        i += 1
    return key


def enter_site(file: cython.p_const_char, function: cython.p_const_char, line: u32) -> u32:
    """Return the number of a place, entering it when it is new; 0 when the table is full."""
    key: u64 = hash_text(hash_text(0xCBF29CE484222325, file), function) ^ (
        cython.cast(u64, line) * cython.cast(u64, 0x9E3779B97F4A7C15)
    )
    key |= 1
    n: u32 = cython.cast(u32, key >> 20) & (NR_SITES - 1)
    _tries: cython.int
    held: u64
    site: cython.pointer[call_site_entry]
    for _tries in range(NR_SITES):
        if n != 0:
            site = cython.address(sites[n])
            held = atomic64_load(cython.address(site.key))
            if held == 0:
                held = atomic64_cmpxchg(cython.address(site.key), 0, key)
                if held == 0:
                    kill_point(KILL_SITE_CLAIMED)
                    held = key
            if held == key:
                if atomic32_load_acquire(cython.address(site.ready)) == 0:
                    name_site(site, file, function, line)
                return n
        n = (n + 1) & (NR_SITES - 1)
    return 0


def name_site(site, file, function, line):
    """Write the names of an entry. Several may do so at once: they write the same bytes."""
    length: u64 = strlen(file)
    site.line = line
    strncpy(site.function, function, 55)
    strncpy(site.file, file if length < 120 else file + (length - 119), 119)
    atomic32_store_release(cython.address(site.ready), 1)


def site_named(file: str, function: str, line: int = 0) -> int:
    """Return the number of a place that is no Python line: a part of the kernel itself."""
    return enter_site(file.encode(), function.encode(), line)


def site_info(number: int) -> tuple:
    """Return (function, file, line) of a call site; ("?", "?", 0) while it is unknown."""
    if number <= 0 or number >= NR_SITES:
        return "?", "?", 0
    site: cython.pointer[call_site_entry] = cython.address(sites[number])
    if atomic32_load_acquire(cython.address(site.ready)) == 0:
        return "?", "?", 0
    return (
        site.function.decode("utf-8", "replace"),
        site.file.decode("utf-8", "replace"),
        site.line,
    )


def site_text(number: int) -> str:
    """Return a call site as `function (file.py:line)`, for reports."""
    function, file, line = site_info(number)
    name = file.rpartition("/")[2]
    return f"{function} ({name}:{line})" if line else function


def stack_here() -> list:
    """Return the call sites of the Python stack, innermost first (at most 16)."""
    out: u32[16]
    n: cython.int = stack_sites(out, 16)
    return [out[i] for i in range(n)]


def here() -> int:
    """Return the call site of the caller."""
    return call_site()
