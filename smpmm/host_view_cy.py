"""A range of the host's addresses in which pages of a machine's RAM can be put.

What the MMU does for a user process: pages that lie scattered in RAM are seen beside each
other, without a copy. It knows nothing of the machine and works in any process that has the
segment's descriptor. An address without a page faults in the host: callers look first.
"""

import os

import cython
from cython.cimports.cpython.buffer import PyBuffer_FillInfo
from cython.cimports.libc.errno import errno
from cython.cimports.posix.mman import (
    MAP_ANONYMOUS,
    MAP_FAILED,
    MAP_FIXED,
    MAP_PRIVATE,
    MAP_SHARED,
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    mmap,
    munmap,
)


class HostView:
    """`size` bytes of host addresses, without pages at first; a buffer."""

    def __cinit__(self, size: cython.Py_ssize_t, writable: cython.bint):
        at: cython.p_void = mmap(
            cython.NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0
        )
        if at == MAP_FAILED:
            raise OSError(errno, f"{os.strerror(errno)}: {size} bytes of addresses")
        self.base = cython.cast(cython.pointer[u8], at)
        self.size = size
        self.writable = writable

    def __dealloc__(self):
        if self.base != cython.NULL:
            munmap(self.base, self.size)

    def place(
        self,
        at: cython.Py_ssize_t,
        fd: cython.int,
        offset: cython.longlong,
        length: cython.Py_ssize_t,
    ) -> None:
        """Show `length` bytes of `fd` from `offset` on, in whole host pages."""
        if self.base == cython.NULL or at < 0 or length <= 0 or at + length > self.size:
            raise ValueError(f"{length} bytes at {at}: the view has {self.size}")
        protection: cython.int = PROT_READ | PROT_WRITE if self.writable else PROT_READ
        flags: cython.int = MAP_SHARED | MAP_FIXED
        if mmap(self.base + at, length, protection, flags, fd, offset) == MAP_FAILED:
            raise OSError(errno, f"{os.strerror(errno)}: {length} bytes of RAM at {offset:#x}")

    def close(self) -> None:
        """Give the addresses back; BufferError while somebody has a view of them."""
        if self.nr_exports:
            raise BufferError(f"{self.nr_exports} views of the mapping exist")
        if self.base != cython.NULL:
            munmap(self.base, self.size)
            self.base = cython.NULL

    def __getbuffer__(self, buffer: cython.pointer[Py_buffer], flags: cython.int):
        if self.base == cython.NULL:
            raise BufferError("the mapping is closed")
        PyBuffer_FillInfo(buffer, self, self.base, self.size, not self.writable, flags)
        self.nr_exports += 1

    def __releasebuffer__(self, buffer: cython.pointer[Py_buffer]):
        self.nr_exports -= 1
