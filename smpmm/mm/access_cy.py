"""Checked access to memory through kernel addresses: memset, memcpy, peek, poke.

Each function is one kernel call. A range that the windows of constant offset hold is one host
copy; a range of vmalloc or kmap addresses may lie in scattered frames and is done by runs of
adjacent ones. An address that nothing is mapped at is an oops in the context that used it;
the bytes before it are done, as by a processor. Long ranges pass a safe point every 64 KiB:
interrupts arrive there.

Addresses are integers or handles; any context. Compare arch/i386/lib/{memcpy,string}.
"""

import cython
from cython.cimports.cpus.atomic import likely, unlikely
from cython.cimports.cpus.handle_cy import address_of
from cython.cimports.cpus.percpu_cy import enter, leave, stand_still_point
from cython.cimports.cpus.segment_cy import direct_end, direct_start, native, ram
from cython.cimports.cpus.whole import whole, whole_count
from cython.cimports.cpus.word_cy import bad_access
from cython.cimports.cpython.buffer import (
    PyBUF_SIMPLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cython.cimports.libc.string import memcmp as host_memcmp
from cython.cimports.libc.string import memcpy as host_memcpy
from cython.cimports.libc.string import memmove as host_memmove
from cython.cimports.libc.string import memset as host_memset
from cython.cimports.smpmm.mm.pgtable_cy import vm_bytes, vm_span, vm_start


def chunk(left):
    return left if left < cython.cast(u64, ACCESS_CHUNK) else cython.cast(u64, ACCESS_CHUNK)


def span(address, n, length):
    at: cython.pointer[cython.void]
    offset: u64 = address - direct_start
    size: u64 = direct_end - direct_start
    if likely(offset < size and n <= size - offset):
        length[0] = n
        return ram + offset
    if address - vm_start < vm_bytes:
        return vm_span(address, n, length)
    at = native(address, n)
    if at == cython.NULL:
        n = min(n, ACCESS_PAGE - address % ACCESS_PAGE)
        at = native(address, n)
        if at == cython.NULL:
            n = 0
    length[0] = n
    return cython.cast(cython.pointer[u8], at)


def read_bytes(to, address, n):
    return each_piece(PIECE_READ, cython.cast(cython.pointer[u8], to), address, 0, n)


def write_bytes(address, data, n):
    return each_piece(PIECE_WRITE, cython.cast(cython.pointer[u8], data), address, 0, n)


def fill_bytes(address, value, n):
    return each_piece(PIECE_FILL, cython.NULL, address, value, n)


def each_piece(what, host, address, value, n):
    """Read, write (from or to `host`) or fill a range; returns the bytes done."""
    done: u64 = 0
    piece: u64 = 0
    at: cython.pointer[u8]
    while done < n:
        at = span(address + done, chunk(n - done), cython.address(piece))
        if at == cython.NULL:
            break
        if what == PIECE_READ:
            host_memcpy(host + done, at, piece)
        elif what == PIECE_WRITE:
            host_memcpy(at, host + done, piece)
        else:
            host_memset(at, value, piece)
        done += piece
        if unlikely(done < n):
            stand_still_point()
    return done


def copy_forward(to, from_, n, fault):
    """Copy ascending, piece by piece; returns the bytes done, sets what failed."""
    done: u64 = 0
    piece: u64 = 0
    other: u64 = 0
    source: cython.pointer[u8]
    target: cython.pointer[u8]
    while done < n:
        source = span(from_ + done, chunk(n - done), cython.address(piece))
        if source == cython.NULL:
            fault[0] = from_ + done
            break
        target = span(to + done, piece, cython.address(other))
        if target == cython.NULL:
            fault[0] = to + done
            break
        host_memmove(target, source, other)
        done += other
        if unlikely(done < n):
            stand_still_point()
    return done


def copy_backward(to, from_, n, fault):
    """Copy descending, for an overlapping target above its source; pieces end at page ends."""
    left: u64 = n
    piece: u64
    source: cython.pointer[cython.void]
    target: cython.pointer[cython.void]
    while left > 0:
        piece = min(left, (from_ + left - 1) % ACCESS_PAGE + 1)
        piece = min(piece, (to + left - 1) % ACCESS_PAGE + 1)
        source = native(from_ + left - piece, piece)
        target = native(to + left - piece, piece)
        if source == cython.NULL or target == cython.NULL:
            fault[0] = (from_ if source == cython.NULL else to) + left - piece
            break
        host_memmove(target, source, piece)
        left -= piece
        if unlikely(left % ACCESS_CHUNK < piece):
            stand_still_point()
    return n - left


def memset(address: object, byte: object, n: object):
    """Fill `n` bytes at `address` with the low 8 bits of `byte`; returns `address`.

    Any context.
    """
    c_byte: cython.longlong = whole(byte, b"memset", b"byte")
    c_n: u64 = cython.cast(u64, whole_count(n, b"memset", b"n"))
    at: u64 = address_of(address)
    done: u64
    enter()
    done = fill_bytes(at, cython.cast(cython.int, c_byte & 0xFF), c_n)
    leave()
    if unlikely(done < c_n):
        bad_access(b"memset", at + done)
    return address


def memcpy(to: object, from_: object, n: object):
    """Copy `n` bytes; the ranges do not overlap. Returns `to`. Any context."""
    c_n: u64 = cython.cast(u64, whole_count(n, b"memcpy", b"n"))
    target: u64 = address_of(to)
    source: u64 = address_of(from_)
    fault: u64 = 0
    done: u64
    enter()
    done = copy_forward(target, source, c_n, cython.address(fault))
    leave()
    if unlikely(done < c_n):
        bad_access(b"memcpy", fault)
    return to


def memmove(to: object, from_: object, n: object):
    """Copy `n` bytes; the ranges may overlap. Returns `to`. Any context."""
    c_n: u64 = cython.cast(u64, whole_count(n, b"memmove", b"n"))
    target: u64 = address_of(to)
    source: u64 = address_of(from_)
    fault: u64 = 0
    done: u64
    enter()
    if target > source and target - source < c_n:
        done = copy_backward(target, source, c_n, cython.address(fault))
    else:
        done = copy_forward(target, source, c_n, cython.address(fault))
    leave()
    if unlikely(done < c_n):
        bad_access(b"memmove", fault)
    return to


def compare(a, b, n, result, fault):
    """Compare piece by piece; returns the bytes looked at and sets the first difference."""
    done: u64 = 0
    piece: u64 = 0
    other: u64 = 0
    p: cython.pointer[u8]
    q: cython.pointer[u8]
    while done < n and result[0] == 0:
        p = span(a + done, chunk(n - done), cython.address(piece))
        if p == cython.NULL:
            fault[0] = a + done
            return done
        q = span(b + done, piece, cython.address(other))
        if q == cython.NULL:
            fault[0] = b + done
            return done
        result[0] = host_memcmp(p, q, other)
        done += other
    return n


def memcmp(a: object, b: object, n: object) -> int:
    """Compare `n` bytes as unsigned: below, equal to or above 0. Any context."""
    c_n: u64 = cython.cast(u64, whole_count(n, b"memcmp", b"n"))
    first: u64 = address_of(a)
    second: u64 = address_of(b)
    result: cython.int = 0
    fault: u64 = 0
    done: u64
    enter()
    done = compare(first, second, c_n, cython.address(result), cython.address(fault))
    leave()
    if unlikely(done < c_n):
        bad_access(b"memcmp", fault)
    return result


def peek(address: object, n: object) -> bytes:
    """Return the `n` bytes at `address`. Any context."""
    c_n: u64 = cython.cast(u64, whole_count(n, b"peek", b"n"))
    at: u64 = address_of(address)
    # A range that is bigger than all memory faults before it is big.
    data: bytes = PyBytes_FromStringAndSize(cython.NULL, min(c_n, 1 << 32))
    done: u64
    enter()
    done = read_bytes(PyBytes_AS_STRING(data), at, c_n)
    leave()
    if unlikely(done < c_n):
        bad_access(b"peek", at + done)
    return data


def poke(address: object, data: object) -> None:
    """Store a bytes-like object at `address`. Any context."""
    at: u64 = address_of(address)
    view: Py_buffer
    done: u64
    PyObject_GetBuffer(data, cython.address(view), PyBUF_SIMPLE)
    try:
        enter()
        done = write_bytes(at, view.buf, view.len)
        leave()
        if unlikely(done < cython.cast(u64, view.len)):
            bad_access(b"poke", at + done)
    finally:
        PyBuffer_Release(cython.address(view))
