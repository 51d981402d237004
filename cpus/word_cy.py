"""Words of the modelled architecture in RAM: how big a pointer is, how a word is read and
stored.

Words are little-endian, on both hosts as on i386. A word may be anywhere: i386 aligns 64-bit
fields to 4 bytes, and a careless driver nothing at all.
"""

import cython
from cython.cimports.cpus.atomic import unlikely
from cython.cimports.cpus.segment_cy import native
from cython.cimports.libc.string import memcpy

word_bytes = 4


def set_word_bytes(nr_bytes: int) -> None:
    """Say how big a pointer is in the machine's architecture; before any layout is made."""
    global word_bytes
    if nr_bytes not in (4, 8):
        raise ValueError(f"a pointer of {nr_bytes} bytes")
    word_bytes = nr_bytes


def pointer_bytes() -> int:
    """Return how big a pointer is in the machine's architecture."""
    return word_bytes


def bad_access(call, address):
    from cpus import bug

    bug.bad_address(call.decode(), address)


def load_word(address, nr_bytes, word):
    at: cython.pointer[cython.void] = native(address, nr_bytes)
    i: u32
    word[0] = 0
    if unlikely(at == cython.NULL):
        # It touches two pages that are mapped each on its own, or nothing is there.
        for i in range(nr_bytes):
            at = native(address + i, 1)
            if at == cython.NULL:
                return -1
            word[0] |= cython.cast(u64, cython.cast(cython.pointer[u8], at)[0]) << 8 * i
        return 0
    # One load of the host's: nobody sees half of another's store.
    if nr_bytes == 4:
        word[0] = cython.cast(cython.pointer[u32], at)[0]
    elif nr_bytes == 1:
        word[0] = cython.cast(cython.pointer[u8], at)[0]
    elif nr_bytes == 2:
        word[0] = cython.cast(cython.pointer[u16], at)[0]
    else:
        memcpy(word, at, 8)
    return 0


def store_word(address, nr_bytes, word):
    at: cython.pointer[cython.void] = native(address, nr_bytes)
    i: u32
    if unlikely(at == cython.NULL):
        for i in range(nr_bytes):
            at = native(address + i, 1)
            if at == cython.NULL:
                return -1
            cython.cast(cython.pointer[u8], at)[0] = cython.cast(u8, word >> 8 * i)
        return 0
    if nr_bytes == 4:
        cython.cast(cython.pointer[u32], at)[0] = cython.cast(u32, word)
    elif nr_bytes == 1:
        cython.cast(cython.pointer[u8], at)[0] = cython.cast(u8, word)
    elif nr_bytes == 2:
        cython.cast(cython.pointer[u16], at)[0] = cython.cast(u16, word)
    else:
        memcpy(at, cython.address(word), 8)
    return 0
