"""Bit operations of drivers on bitmaps in RAM: each one kernel call.

A bitmap is an array of longs; on a little-endian processor bit n is bit n % 32 of the n //
32-th 32-bit word whatever a long is. Changes are atomic towards every process of the machine.
Any context. Compare include/asm-i386/bitops.h.
"""

import cython
from cython.cimports.cpus.atomic import (
    atomic32_fetch_and,
    atomic32_fetch_or,
    atomic32_fetch_xor,
    atomic32_load,
    unlikely,
)
from cython.cimports.cpus.handle_cy import address_of
from cython.cimports.cpus.percpu_cy import enter, leave
from cython.cimports.cpus.segment_cy import native
from cython.cimports.cpus.whole import whole
from cython.cimports.cpus.word_cy import bad_access, load_word


def bit_operation(nr, address, operation, call):
    # A negative number is a bit before the address, as for the i386's instructions.
    at: u64 = address_of(address) + (nr >> 5) * 4
    mask: u32 = cython.cast(u32, 1) << (nr & 31)
    was: u32 = 0
    enter()
    word: cython.pointer[u32] = cython.cast(cython.pointer[u32], native(at, 4))
    if word != cython.NULL:
        if operation == SET_BIT:
            was = atomic32_fetch_or(word, mask)
        elif operation == CLEAR_BIT:
            was = atomic32_fetch_and(word, ~mask)
        elif operation == CHANGE_BIT:
            was = atomic32_fetch_xor(word, mask)
        else:
            was = atomic32_load(word)
    leave()
    if unlikely(word == cython.NULL):
        bad_access(call, at)
    return was & mask != 0


def set_bit(nr: object, address: object) -> None:
    """Set bit `nr` of the bitmap at `address`. Any context."""
    c_nr: cython.longlong = whole(nr, b"set_bit", b"nr")
    bit_operation(c_nr, address, SET_BIT, b"set_bit")


def clear_bit(nr: object, address: object) -> None:
    """Clear bit `nr` of the bitmap at `address`. Any context."""
    c_nr: cython.longlong = whole(nr, b"clear_bit", b"nr")
    bit_operation(c_nr, address, CLEAR_BIT, b"clear_bit")


def change_bit(nr: object, address: object) -> None:
    """Turn bit `nr` of the bitmap at `address` over. Any context."""
    c_nr: cython.longlong = whole(nr, b"change_bit", b"nr")
    bit_operation(c_nr, address, CHANGE_BIT, b"change_bit")


def test_bit(nr: object, address: object) -> bool:
    """Return whether bit `nr` of the bitmap at `address` is set. Any context."""
    c_nr: cython.longlong = whole(nr, b"test_bit", b"nr")
    return bit_operation(c_nr, address, TEST_BIT, b"test_bit")


def test_and_set_bit(nr: object, address: object) -> bool:
    """Set a bit; returns whether it was set. Any context."""
    c_nr: cython.longlong = whole(nr, b"test_and_set_bit", b"nr")
    return bit_operation(c_nr, address, SET_BIT, b"test_and_set_bit")


def test_and_clear_bit(nr: object, address: object) -> bool:
    """Clear a bit; returns whether it was set. Any context."""
    c_nr: cython.longlong = whole(nr, b"test_and_clear_bit", b"nr")
    return bit_operation(c_nr, address, CLEAR_BIT, b"test_and_clear_bit")


def test_and_change_bit(nr: object, address: object) -> bool:
    """Turn a bit over; returns whether it was set. Any context."""
    c_nr: cython.longlong = whole(nr, b"test_and_change_bit", b"nr")
    return bit_operation(c_nr, address, CHANGE_BIT, b"test_and_change_bit")


def find_bit(address, size, offset, wanted, call):
    at: u64 = address_of(address)
    found: u64 = size
    word: u64 = 0
    failed: cython.bint = False
    enter()
    while offset < size:
        failed = load_word(at + offset // 32 * 4, 4, cython.address(word)) != 0
        if failed:
            break
        # What is sought as ones, from bit `offset` on, in bit 0.
        word = (word if wanted else ~word & 0xFFFFFFFF) >> offset % 32
        if word == 0:
            offset = (offset // 32 + 1) * 32
            continue
        while word & 1 == 0:
            word >>= 1
            offset += 1
        found = min(offset, size)
        break
    leave()
    if unlikely(failed):
        bad_access(call, at + offset // 32 * 4)
    return found


def find_first_zero_bit(address: object, size: cython.ulonglong) -> int:
    """Return the number of the first clear bit of a bitmap of `size` bits, or `size`."""
    return find_bit(address, size, 0, 0, b"find_first_zero_bit")


def find_next_zero_bit(
    address: object, size: cython.ulonglong, offset: cython.ulonglong
) -> int:
    """Return the first clear bit at or behind `offset`, or `size`."""
    return find_bit(address, size, offset, 0, b"find_next_zero_bit")


def find_first_bit(address: object, size: cython.ulonglong) -> int:
    """Return the number of the first set bit of a bitmap of `size` bits, or `size`."""
    return find_bit(address, size, 0, 1, b"find_first_bit")


def find_next_bit(address: object, size: cython.ulonglong, offset: cython.ulonglong) -> int:
    """Return the first set bit at or behind `offset`, or `size`."""
    return find_bit(address, size, offset, 1, b"find_next_bit")
