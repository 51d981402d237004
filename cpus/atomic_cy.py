"""atomic_t, exchanges and barriers of drivers: each one kernel call on a word in RAM.

An atomic_t is a 32-bit integer, as on i386. The operations are atomic towards every process
of the machine and sequentially consistent; arguments stand in Linux's order. Any context.
Compare include/asm-i386/{atomic,system}.h.
"""

import cython
from cython.cimports.cpus.atomic import (
    atomic32_fetch_add,
    atomic32_load,
    atomic32_store,
    memory_fence,
    unlikely,
)
from cython.cimports.cpus.handle_cy import address_of
from cython.cimports.cpus.percpu_cy import enter, leave
from cython.cimports.cpus.segment_cy import native
from cython.cimports.cpus.word_cy import bad_access, word_bytes
from cython.cimports.cpython.long import PyLong_AsUnsignedLongLongMask


def add_to(v, value, call):
    address: u64 = address_of(v)
    new: s32 = 0
    enter()
    word: cython.pointer[u32] = cython.cast(cython.pointer[u32], native(address, 4))
    if word != cython.NULL:
        new = cython.cast(s32, atomic32_fetch_add(word, value) + value)
    leave()
    if unlikely(word == cython.NULL):
        bad_access(call, address)
    return new


def low_bits(value):
    # As a C conversion to int does.
    return cython.cast(u32, PyLong_AsUnsignedLongLongMask(value))


def atomic_read(v: object) -> int:
    """Return the value. Any context."""
    address: u64 = address_of(v)
    value: s32 = 0
    enter()
    word: cython.pointer[u32] = cython.cast(cython.pointer[u32], native(address, 4))
    if word != cython.NULL:
        value = cython.cast(s32, atomic32_load(word))
    leave()
    if unlikely(word == cython.NULL):
        bad_access(b"atomic_read", address)
    return value


def atomic_set(v: object, i: object) -> None:
    """Set the value. Any context."""
    address: u64 = address_of(v)
    value: u32 = low_bits(i)
    enter()
    word: cython.pointer[u32] = cython.cast(cython.pointer[u32], native(address, 4))
    if word != cython.NULL:
        atomic32_store(word, value)
    leave()
    if unlikely(word == cython.NULL):
        bad_access(b"atomic_set", address)


def atomic_add(i: object, v: object) -> None:
    """Add `i`. Any context."""
    add_to(v, low_bits(i), b"atomic_add")


def atomic_sub(i: object, v: object) -> None:
    """Subtract `i`. Any context."""
    add_to(v, 0 - low_bits(i), b"atomic_sub")


def atomic_inc(v: object) -> None:
    """Add 1. Any context."""
    add_to(v, 1, b"atomic_inc")


def atomic_dec(v: object) -> None:
    """Subtract 1. Any context."""
    add_to(v, 0xFFFFFFFF, b"atomic_dec")


def atomic_add_return(i: object, v: object) -> int:
    """Add `i` and return the new value. Any context."""
    return add_to(v, low_bits(i), b"atomic_add_return")


def atomic_sub_return(i: object, v: object) -> int:
    """Subtract `i` and return the new value. Any context."""
    return add_to(v, 0 - low_bits(i), b"atomic_sub_return")


def atomic_inc_return(v: object) -> int:
    """Add 1 and return the new value. Any context."""
    return add_to(v, 1, b"atomic_inc_return")


def atomic_dec_return(v: object) -> int:
    """Subtract 1 and return the new value. Any context."""
    return add_to(v, 0xFFFFFFFF, b"atomic_dec_return")


def atomic_inc_and_test(v: object) -> bool:
    """Add 1; whether the new value is 0. Any context."""
    return add_to(v, 1, b"atomic_inc_and_test") == 0


def atomic_dec_and_test(v: object) -> bool:
    """Subtract 1; whether the new value is 0. Any context."""
    return add_to(v, 0xFFFFFFFF, b"atomic_dec_and_test") == 0


def atomic_sub_and_test(i: object, v: object) -> bool:
    """Subtract `i`; whether the new value is 0. Any context."""
    return add_to(v, 0 - low_bits(i), b"atomic_sub_and_test") == 0


def atomic_add_negative(i: object, v: object) -> bool:
    """Add `i`; whether the new value is negative. Any context."""
    return add_to(v, low_bits(i), b"atomic_add_negative") < 0


def exchange(address, old, new, nr_bytes, compare):
    at: u64 = address_of(address)
    # A handle may be exchanged for another: what is stored is an address.
    value: u64 = address_of(new)
    expected: u64 = address_of(old)
    was: u64 = 0
    nr_bytes = nr_bytes or word_bytes
    if nr_bytes not in (1, 2, 4, 8):
        raise ValueError(f"an exchange of {nr_bytes} bytes: only 1, 2, 4 or 8 are atomic")
    enter()
    word: cython.p_void = native(at, nr_bytes)
    if word != cython.NULL:
        if compare:
            was = compare_exchange_word(word, nr_bytes, expected, value)
        else:
            was = exchange_word(word, nr_bytes, value)
    leave()
    if unlikely(word == cython.NULL):
        bad_access(b"cmpxchg" if compare else b"xchg", at)
    return was


def xchg(address: object, value: object, nr_bytes: cython.uint = 0) -> int:
    """Store an unsigned word, a long if no size is given; returns what was there."""
    return exchange(address, 0, value, nr_bytes, False)


def cmpxchg(address: object, old: object, new: object, nr_bytes: cython.uint = 0) -> int:
    """Store `new` in an unsigned word (a long if no size is given) that holds `old`.

    Returns what was there: `old` if it was stored.
    """
    return exchange(address, old, new, nr_bytes, True)


def mb() -> None:
    """Order all memory accesses before against all behind. Any context."""
    enter()
    memory_fence()
    leave()


def rmb() -> None:
    """Order the readings before against those behind. Any context."""
    enter()
    memory_fence()
    leave()


def wmb() -> None:
    """Order the writings before against those behind. Any context."""
    enter()
    memory_fence()
    leave()


def barrier() -> None:
    """Keep the compiler from moving accesses: a call of its own does that anyway.

    Any context.
    """
    enter()
    leave()
