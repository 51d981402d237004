"""The machine's disk: hda, a real file of the host.

A request is carried out at once by the process that makes it, outside of any kernel call,
so that interrupts of its CPU go on meanwhile. The file is opened before the processes are
forked.
"""

import os

import cython
from cython.cimports.libc.errno import errno
from cython.cimports.posix.unistd import pread, pwrite

from smpmm import scratch

BLOCK_BYTES = 4096
DEFAULT_BYTES = 64 << 20
EIO = 5


def regions(config: object) -> dict:
    """Return the regions of the segment that this module needs: none."""
    return {}


def attach(config: object) -> None:
    """Do nothing: the file belongs to who boots the machine."""


def init(config: object) -> None:
    """Open the host file `config.disk`, or make an empty temporary one; the monitor.

    The descriptor is the machine's until it ends.
    """
    path: object = getattr(config, "disk", None)
    fd: cython.int
    if path is None:
        with scratch.make_file("smpmm-disk-") as file:
            os.ftruncate(file.fileno(), DEFAULT_BYTES)
            fd = os.dup(file.fileno())
    else:
        fd = os.open(path, os.O_RDWR)
    use_file(fd)


def use_file(fd: cython.int) -> None:
    """Take an open host file as the disk of this process and those that it forks."""
    global disk_fd, disk_blocks
    disk_fd = fd
    disk_blocks = os.fstat(fd).st_size // BLOCK_BYTES


def disk_size() -> int:
    """Return the blocks of 4096 bytes that the disk has."""
    return disk_blocks


def disk_transfer(block, memory, write):
    done: cython.longlong
    if block >= disk_blocks:
        return EIO
    if write:
        done = pwrite(disk_fd, memory, BLOCK_BYTES, block * BLOCK_BYTES)
    else:
        done = pread(disk_fd, memory, BLOCK_BYTES, block * BLOCK_BYTES)
    if done == BLOCK_BYTES:
        return 0
    return errno if done < 0 else EIO
