"""ioremap and the access to I/O memory (arch/i386/mm/ioremap.c, asm/io.h).

ioremap maps physical addresses at an area of the vmalloc space. The entries are marked as a
device's: a plain access through such an address is an oops here, which names the area, though
i386 would let it pass; readb … writel, memcpy_fromio, memcpy_toio and memset_io go through. At
physical addresses that no device answers at, reads are all ones and writes are lost.

The area of 640 KiB to 1 MiB is not mapped anew: its direct addresses are returned. RAM is
refused unless every page of it is reserved.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import unlikely
from cython.cimports.cpus.callsite_cy import call_site
from cython.cimports.cpus.handle_cy import address_of, int_or_address_of
from cython.cimports.cpus.percpu_cy import (
    enter,
    enter_quietly,
    enter_sleeping,
    leave,
    stand_still_point,
)
from cython.cimports.cpus.whole import whole, whole_count
from cython.cimports.cpus.word_cy import bad_access
from cython.cimports.libc.string import memcpy as host_memcpy
from cython.cimports.libc.string import memset as host_memset
from cython.cimports.smpmm.mm import page_cy
from cython.cimports.smpmm.mm.access_cy import ACCESS_PAGE, span
from cython.cimports.smpmm.mm.iomem_cy import io_native
from cython.cimports.smpmm.mm.page_cy import (
    PAGE_MASK,
    PAGE_RESERVED,
    PAGE_SHIFT,
    PAGE_SIZE,
    pfn_to_page,
    truth_kind,
)
from cython.cimports.smpmm.mm.pgtable_cy import (
    pte_alloc,
    pte_at,
    pte_bytes,
    pte_is_io,
    pte_load,
    pte_of_io,
    pte_pfn,
    pte_present,
    pte_store,
    starts_table,
    vm_bytes,
    vm_start,
)
from cython.cimports.smpmm.mm.vm_area_cy import VM_IOREMAP, area_commit, vm_infos
from cython.cimports.smpmm.mm.vmalloc_cy import NOBODY, get_vm_area, take_apart, vm_site

from smpmm.mm import vmalloc_cy
from smpmm.mm.vmalloc_profile import ISA_END, ISA_START, vmalloc_profile

SPARSE_REGIONS = ()
MOST_ALIGN_PAGES = 128


def regions(config: object) -> dict:
    """Return the regions of the segment that this module needs: none."""
    return {}


def attach(config: object) -> None:
    """Take the version's rules; the monitor, before it forks."""
    global address_mask, loses_page, aligns
    profile = vmalloc_profile(config)
    address_mask = 0xFFFFFFFF if profile.tables.entry_bytes == 4 else 0xFFFFFFFFFFFFFFFF
    loses_page = profile.ioremap_loses_page
    aligns = profile.ioremap_aligns


def ioremap(phys_addr: object, size: object):
    """Map physical addresses of a device; the address to access it by, 0 on failure.

    May sleep. RAM is refused unless it is reserved; an address within a page gives one within
    a page. To be released by iounmap.
    """
    c_phys: u64 = cython.cast(u64, whole(phys_addr, b"ioremap", b"phys_addr")) & address_mask
    c_size: u64 = cython.cast(u64, whole(size, b"ioremap", b"size")) & address_mask
    site: u32 = call_site()
    last: u64 = (c_phys + c_size - 1) & address_mask
    end: u64
    align: u64 = PAGE_SIZE
    number: u32
    address: u64 = 0
    enter_sleeping(b"ioremap")
    if c_size != 0 and last >= c_phys:
        if c_phys >= cython.cast(u64, ISA_START) and last < cython.cast(u64, ISA_END):
            address = segment_cy.direct_start + c_phys
        elif all_reserved(c_phys, last):
            # Before 2.4.24 the last byte's address is rounded up, not the end's.
            end = last if loses_page else last + 1
            end = (end + PAGE_MASK) & ~cython.cast(u64, PAGE_MASK)
            end -= c_phys & ~cython.cast(u64, PAGE_MASK)
            while aligns and align < end and align < MOST_ALIGN_PAGES * PAGE_SIZE:
                align <<= 1
            number = map_io(c_phys & ~cython.cast(u64, PAGE_MASK), end, align, site)
            if number != 0:
                address = vm_infos[number].addr + (c_phys & PAGE_MASK)
    leave()
    return address


def vremap(offset: object, size: object):
    """Map physical addresses of a device (2.0); an address, 0 on failure. May sleep.

    The offset is a whole page's, above RAM. To be released by vfree.
    """
    c_phys: u64 = cython.cast(u64, whole(offset, b"vremap", b"offset")) & address_mask
    c_size: u64 = cython.cast(u64, whole(size, b"vremap", b"size")) & address_mask
    site: u32 = call_site()
    number: u32
    address: u64 = 0
    enter_sleeping(b"vremap")
    c_size = (c_size + PAGE_MASK) & ~cython.cast(u64, PAGE_MASK)
    if (
        c_phys >= page_cy.max_low_pfn << PAGE_SHIFT
        and c_phys & PAGE_MASK == 0
        and c_size != 0
        and c_size - 1 <= address_mask - c_phys
    ):
        number = map_io(c_phys, c_size, PAGE_SIZE, site)
        if number != 0:
            address = vm_infos[number].addr
    leave()
    return address


def all_reserved(phys, last):
    """Whether what of [phys, last] begins in low memory is reserved page by page."""
    pfn: u64 = phys >> PAGE_SHIFT
    if pfn >= page_cy.max_low_pfn:
        return True
    while pfn <= last >> PAGE_SHIFT:
        if pfn >= page_cy.nr_pages or truth_kind(pfn_to_page(pfn).truth) != PAGE_RESERVED:
            return False
        pfn += 1
    return True


def map_io(phys, size, align, site):
    number: u32 = get_vm_area(size, align, VM_IOREMAP, phys, site)
    address: u64
    end: u64
    at: cython.pointer[u8] = cython.NULL
    if number == 0:
        return 0
    address = vm_infos[number].addr
    end = address + size
    try:
        while address < end:
            if at == cython.NULL or starts_table(address):
                at = pte_alloc(address, vm_site)
                if at == cython.NULL:
                    break
            pte_store(at, pte_of_io(phys >> PAGE_SHIFT))
            at += pte_bytes
            address += PAGE_SIZE
            phys += PAGE_SIZE
    except BaseException:
        enter_quietly()
        take_apart(number, NOBODY, site)
        leave()
        raise
    if address < end:
        take_apart(number, NOBODY, site)
        return 0
    area_commit(number)
    return number


def iounmap(addr: object) -> None:
    """Release what ioremap returned; a direct address is ignored. May sleep, as vfree."""
    address: u64 = int_or_address_of(addr)
    if address > segment_cy.direct_end:
        vmalloc_cy.vfree(address & ~cython.cast(u64, PAGE_MASK))
    else:
        enter_sleeping(b"iounmap")
        leave()


# Access. The address is ioremap's, or any other: i386 makes no difference.


def io_span(address, n, at, length):
    """Find the longest piece of [address, address + n) that one thing answers at."""
    entry: u64
    phys: u64
    pte: cython.pointer[u8] = cython.NULL
    if address - vm_start < vm_bytes:
        pte = pte_at(address)
        if pte == cython.NULL:
            return IO_FAULT
        entry = pte_load(pte)
        if not pte_present(entry):
            return IO_FAULT
        n = min(n, PAGE_SIZE - (address & PAGE_MASK))
        if pte_is_io(entry) or pte_pfn(entry) >= page_cy.nr_pages:
            phys = (pte_pfn(entry) << PAGE_SHIFT) + (address & PAGE_MASK)
            if pte_pfn(entry) < page_cy.nr_pages:
                at[0] = segment_cy.ram + phys
                length[0] = n
                return IO_MEMORY
            at[0] = io_native(phys, n, length)
            return IO_NOBODY if at[0] == cython.NULL else IO_MEMORY
    at[0] = span(address, n, length)
    return IO_FAULT if at[0] == cython.NULL else IO_MEMORY


def each_io_piece(what, host, address, value, n):
    done: u64 = 0
    piece: u64 = 0
    found: cython.int
    at: cython.pointer[u8] = cython.NULL
    while done < n:
        found = io_span(
            address + done,
            min(n - done, cython.cast(u64, ACCESS_PAGE)),
            cython.address(at),
            cython.address(piece),
        )
        if found == IO_FAULT:
            break
        if what == IO_READ:
            if found == IO_MEMORY:
                host_memcpy(host + done, at, piece)
            else:
                host_memset(host + done, 0xFF, piece)
        elif found == IO_MEMORY:
            if what == IO_WRITE:
                host_memcpy(at, host + done, piece)
            else:
                host_memset(at, value, piece)
        done += piece
        if unlikely(done < n):
            stand_still_point()
    return done


def io_read(address, n, name):
    value: u64 = 0
    done: u64
    enter()
    done = each_io_piece(
        IO_READ, cython.cast(cython.pointer[u8], cython.address(value)), address, 0, n
    )
    leave()
    if unlikely(done < n):
        bad_access(name, address + done)
    return value


def io_write(address, value, n, name):
    done: u64
    enter()
    done = each_io_piece(
        IO_WRITE, cython.cast(cython.pointer[u8], cython.address(value)), address, 0, n
    )
    leave()
    if unlikely(done < n):
        bad_access(name, address + done)
    return 0


def readb(addr: object):
    """Return the byte of I/O memory at an address. Any context."""
    return io_read(address_of(addr), 1, b"readb")


def readw(addr: object):
    """Return the 16 bits of I/O memory at an address. Any context."""
    return io_read(address_of(addr), 2, b"readw")


def readl(addr: object):
    """Return the 32 bits of I/O memory at an address. Any context."""
    return io_read(address_of(addr), 4, b"readl")


def writeb(b: object, addr: object) -> None:
    """Store the low byte of a number in I/O memory. Any context."""
    io_write(address_of(addr), cython.cast(u64, whole(b, b"writeb", b"b")), 1, b"writeb")


def writew(b: object, addr: object) -> None:
    """Store the low 16 bits of a number in I/O memory. Any context."""
    io_write(address_of(addr), cython.cast(u64, whole(b, b"writew", b"b")), 2, b"writew")


def writel(b: object, addr: object) -> None:
    """Store the low 32 bits of a number in I/O memory. Any context."""
    io_write(address_of(addr), cython.cast(u64, whole(b, b"writel", b"b")), 4, b"writel")


def virt_to_bus(address: object):
    """Return the address by which a device reaches memory; arithmetic, as in C.

    For direct-mapped memory; of a vmalloc address it is garbage. Any context.
    """
    return (address_of(address) - segment_cy.direct_start) & address_mask


def bus_to_virt(address: object):
    """Return the kernel address of a device's address of memory; arithmetic, as in C.

    Any context.
    """
    return (address_of(address) + segment_cy.direct_start) & address_mask


def copy_io(what, io, memory, n, fault):
    """Copy between I/O memory and memory (IO_READ: to memory); the bytes done."""
    done: u64 = 0
    piece: u64 = 0
    moved: u64
    at: cython.pointer[u8]
    while done < n:
        at = span(
            memory + done, min(n - done, cython.cast(u64, ACCESS_PAGE)), cython.address(piece)
        )
        if at == cython.NULL:
            fault[0] = memory + done
            break
        # No safe point before `at` is used up: each piece is a page at most.
        piece = min(piece, ACCESS_PAGE - (io + done) % ACCESS_PAGE)
        moved = each_io_piece(what, at, io + done, 0, piece)
        done += moved
        if moved < piece:
            fault[0] = io + done
            break
        if unlikely(done < n):
            stand_still_point()
    return done


def memcpy_fromio(to: object, from_: object, n: object) -> None:
    """Copy `n` bytes of I/O memory to memory. Any context."""
    c_n: u64 = cython.cast(u64, whole_count(n, b"memcpy_fromio", b"n"))
    target: u64 = address_of(to)
    source: u64 = address_of(from_)
    fault: u64 = 0
    done: u64
    enter()
    done = copy_io(IO_READ, source, target, c_n, cython.address(fault))
    leave()
    if unlikely(done < c_n):
        bad_access(b"memcpy_fromio", fault)


def memcpy_toio(to: object, from_: object, n: object) -> None:
    """Copy `n` bytes of memory to I/O memory. Any context."""
    c_n: u64 = cython.cast(u64, whole_count(n, b"memcpy_toio", b"n"))
    target: u64 = address_of(to)
    source: u64 = address_of(from_)
    fault: u64 = 0
    done: u64
    enter()
    done = copy_io(IO_WRITE, target, source, c_n, cython.address(fault))
    leave()
    if unlikely(done < c_n):
        bad_access(b"memcpy_toio", fault)


def memset_io(addr: object, byte: object, n: object) -> None:
    """Fill `n` bytes of I/O memory with the low 8 bits of `byte`. Any context."""
    c_byte: cython.longlong = whole(byte, b"memset_io", b"byte")
    c_n: u64 = cython.cast(u64, whole_count(n, b"memset_io", b"n"))
    at: u64 = address_of(addr)
    done: u64
    enter()
    done = each_io_piece(IO_FILL, cython.NULL, at, cython.cast(cython.int, c_byte & 0xFF), c_n)
    leave()
    if unlikely(done < c_n):
        bad_access(b"memset_io", at + done)
