"""Mappings of devices: mmap, the page fault, munmap (mm/mmap.c, mm/memory.c of 2.4).

A mapping is a record of an open file of its own: it is a use of the module, has somebody who
must end it, and is ended when he has gone. Its vm_area_struct lies in RAM, and behind it one
word for each page: the frame + 1 that is mapped there, which is one reference to that page.

Locks: the semaphore of a mapping guards its words.
"""

from __future__ import annotations

import errno
import os
from typing import Any, Final

from cpus.handle_cy import address_of
from cpus.semaphore_cy import down, sema_init, up
from smpmm import file_table_cy, files_cy, symbols
from smpmm.file_calls import MAPPING, current_owner, fail, file_of, operate
from smpmm.fops import vm_operations_at
from smpmm.kstruct import KStruct, ptr, sizeof, u32
from smpmm.mm import access_cy, page_calls_cy, slab_cy
from smpmm.sync import semaphore
from smpmm.syscall import system_call

UNMAPPED_BASE: Final = 0x40000000  # where 2.4 on i386 puts mappings in a process
VM_READ, VM_WRITE, VM_SHARED = 1, 2, 8
VM_MAYREAD, VM_MAYWRITE, VM_MAYSHARE = 0x10, 0x20, 0x80
NOPAGE_OOM: Final = 0xFFFFFFFF


class vm_area_struct(KStruct):
    """A mapping, as a driver sees it; what is behind vm_private_data is the kernel's."""

    vm_start: ptr  # user addresses
    vm_end: ptr
    vm_flags: u32
    vm_ops: ptr  # a vm_operations_struct
    vm_pgoff: u32  # of the device, in pages
    vm_file: ptr
    vm_private_data: ptr
    mmap_sem: semaphore
    pages: ptr


@system_call("mmap")
def sys_mmap(
    handle: tuple[int, int], length: int, offset: int, owner: int
) -> tuple[tuple[int, int], bool]:
    """Map a device; returns the mapping's record and whether it can be written to.

    OSError: EACCES when the file is not open for reading, EINVAL for no length or an offset
    that is no page's, ENODEV when the driver has no mmap or refuses, ENOMEM. May sleep.
    """
    file = file_of(handle)
    page = 1 << symbols.resolve("PAGE_SHIFT")
    if length <= 0 or offset < 0 or offset % page:
        fail(errno.EINVAL)
    access = file.f_flags & os.O_ACCMODE
    if access == os.O_WRONLY:
        fail(errno.EACCES)
    opener = current_owner()
    flags = MAPPING | file.f_flags
    i_rdev = file.f_inode.i_rdev
    number = file_table_cy.claim_file(opener, flags, i_rdev, file.f_op, file.serial)
    if number < 0:
        fail(errno.ENFILE if number == -1 else errno.ENODEV)
    mapping = files_cy.File(number)
    try:
        vma = new_area(mapping, -(-length // page), page)
        vma.vm_pgoff = offset // page
        vma.vm_flags = VM_READ | VM_MAYREAD | VM_SHARED | VM_MAYSHARE
        if access == os.O_RDWR:
            vma.vm_flags |= VM_WRITE | VM_MAYWRITE
        result = operate(file, "mmap", file, vma, missing=-errno.ENODEV)
        if result:
            vma.vm_ops = 0  # it was not opened
            fail(result)
    except BaseException:
        free_area(mapping)
        file_table_cy.release_file(number)
        raise
    file_table_cy.pass_file(number, opener, owner)
    return (number, mapping.generation), access == os.O_RDWR


def new_area(mapping: files_cy.File, nr_pages: int, page: int) -> Any:
    """Allocate the area of a mapping and hang it on its record; OSError ENOMEM. May sleep."""
    gfp = symbols.resolve("GFP_KERNEL")
    nr_bytes = sizeof(vm_area_struct)
    address = slab_cy.kmalloc(nr_bytes, gfp)
    if not address:
        fail(errno.ENOMEM)
    access_cy.memset(address, 0, nr_bytes)
    vma = vm_area_struct.at(address)
    sema_init(vma.mmap_sem, 1)
    mapping.private_data = vma
    vma.vm_start, vma.vm_end = UNMAPPED_BASE, UNMAPPED_BASE + nr_pages * page
    words = slab_cy.kmalloc(4 * nr_pages, gfp)
    if not words:
        fail(errno.ENOMEM)
    access_cy.memset(words, 0, 4 * nr_pages)
    vma.pages = words
    return vma


@system_call("page_fault")
def sys_fault(handle: tuple[int, int], index: int, write: bool) -> int:
    """Return the frame that the driver maps at page `index`, -1: none (SIGBUS). May sleep."""
    mapping = file_of(handle)
    vma = vm_area_struct.at(mapping.private_data)
    page = 1 << symbols.resolve("PAGE_SHIFT")
    if not 0 <= index < (vma.vm_end - vma.vm_start) // page:
        fail(errno.EFAULT)
    down(vma.mmap_sem)
    try:
        words = u32.at(vma.pages)
        if not words[index]:
            pfn = no_page(vma, vma.vm_start + index * page, write)
            if pfn < 0:
                return -1
            words[index] = pfn + 1
        return words[index] - 1
    finally:
        up(vma.mmap_sem)


def no_page(vma: Any, address: int, write: bool) -> int:
    """Have the driver say which page lies at a user address; -1: none."""
    nopage = vm_operations_at(vma.vm_ops).nopage if vma.vm_ops else None
    if nopage is None:
        return -1
    files_cy.begin_kernel()
    try:
        found = address_of(nopage(vma, address, int(write)))
    finally:
        files_cy.end_kernel()
    if found == NOPAGE_OOM:
        fail(errno.ENOMEM)
    return page_calls_cy.pfn_of(found) if found else -1


def unmap(mapping: files_cy.File) -> None:
    """End a mapping: its references to pages, then the driver's close. May sleep."""
    address = mapping.private_data
    if not address:
        return
    vma = vm_area_struct.at(address)
    drop_pages(vma)
    close = vm_operations_at(vma.vm_ops).close if vma.vm_ops else None
    if close is not None:
        files_cy.begin_kernel()
        try:
            close(vma)
        finally:
            files_cy.end_kernel()
    free_area(mapping)


def drop_pages(vma: Any) -> None:
    """Drop the reference that each mapped page has."""
    if not vma.pages:
        return
    page = 1 << symbols.resolve("PAGE_SHIFT")
    words = u32.at(vma.pages)
    for index in range((vma.vm_end - vma.vm_start) // page):
        frame = words[index]
        if frame:
            # Cleared first: a CPU that dies here loses a reference, and frees nobody's page.
            words[index] = 0
            page_calls_cy.put_page(page_calls_cy.page_at(frame - 1))


def free_area(mapping: files_cy.File) -> None:
    """Free the area of a mapping's record."""
    address = mapping.private_data
    if address:
        vma = vm_area_struct.at(address)
        mapping.private_data = 0
        slab_cy.kfree(vma.pages)
        slab_cy.kfree(address)
