"""Character devices: majors, their names and their nodes (fs/devices.c, 2.4).

A registered major gets nodes by itself: /dev/NAME is minor 0, /dev/NAMEn is minor n. `mknod`
makes others. Not modelled: block devices, devfs.
"""

from __future__ import annotations

import errno
import struct
from typing import Any

from cpus import percpu_cy
from smpmm import module_table_cy, registry_cy
from smpmm.kdev import MAX_CHRDEV, MINOR_BITS, MKDEV
from smpmm.mm import access_cy


def register_chrdev(major: int, name: str, fops: Any) -> int:
    """Register a driver for `major`: 0, or for major 0 the number that it gets; else -errno.

    A number given by the kernel is the highest free one below 255. Task context.
    """
    if not 0 <= major < MAX_CHRDEV:
        return -errno.EINVAL
    percpu_cy.preemption_point()
    address = int(fops or 0)
    taken = registry_cy.chrdev_info(major) if major else None
    if taken and taken[1] == address:
        return 0
    number = registry_cy.claim_chrdev(major, name, address, _owner(address))
    if not number:
        return -errno.EBUSY
    return 0 if major else number


def _owner(fops: int) -> int:
    """Return the serial number of the module that a file_operations names as its owner."""
    (owner,) = struct.unpack("<I", access_cy.peek(fops, 4))
    return module_table_cy.serial_of_struct(owner) if owner else 0


def unregister_chrdev(major: int, name: str) -> int:
    """Take a driver's major away: 0, or -EINVAL when it is not registered by that name.

    Task context.
    """
    percpu_cy.preemption_point()
    if not 0 <= major < MAX_CHRDEV or not registry_cy.release_chrdev(major, name):
        return -errno.EINVAL
    return 0


def devices() -> list[tuple[int, str, int]]:
    """Return (major, name, serial of its module) of every registered driver, by major."""
    found = []
    for major in range(1, MAX_CHRDEV):
        info = registry_cy.chrdev_info(major)
        if info:
            found.append((major, info[0], info[2]))
    return found


def mknod(path: str, major: int, minor: int) -> None:
    """Make the node of a device; raises FileExistsError when there is one of that path."""
    if not 0 <= major <= MAX_CHRDEV or not 0 <= minor < 1 << MINOR_BITS:
        raise OSError(errno.EINVAL, f"no device number {major}:{minor}", path)
    if not registry_cy.claim_node(path, MKDEV(major, minor)):
        raise FileExistsError(errno.EEXIST, "File exists", path)


def lookup(path: str) -> int:
    """Return the device number of a node; raises FileNotFoundError when there is none."""
    nodes = registry_cy.nodes()
    if path in nodes:
        return nodes[path]
    folder, _, leaf = path.rpartition("/")
    if folder == "/dev" and leaf:
        for major, name, _serial in devices():
            minor = leaf.removeprefix(name)
            if leaf == name:
                return MKDEV(major, 0)
            if minor != leaf and minor.isdecimal() and str(int(minor)) == minor:
                if int(minor) < 1 << MINOR_BITS:
                    return MKDEV(major, int(minor))
    raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)


def devices_text() -> str:
    """Return /proc/devices."""
    lines = [f"{major:3d} {name}" for major, name, _serial in devices()]
    return "\n".join(["Character devices:", *lines, "", "Block devices:", ""])
