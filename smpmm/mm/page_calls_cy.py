"""The page calls of a driver (mm/page_alloc.c, asm/page.h), under their kernel names.

Addresses are integers, failure is 0 or None. Requests with the WAIT bit may sleep;
everything else here runs in any context.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import likely, unlikely
from cython.cimports.cpus.callsite_cy import call_site
from cython.cimports.cpus.handle_cy import Handle, address_of, int_or_address_of
from cython.cimports.cpus.percpu_cy import enter, leave
from cython.cimports.cpus.whole import whole
from cython.cimports.libc.string import memset
from cython.cimports.smpmm.mm import page_alloc_cy, page_cy, zone_cy
from cython.cimports.smpmm.mm.page_alloc_cy import (
    alloc_pages_call,
    free_pages_call,
    gfp_dma,
)
from cython.cimports.smpmm.mm.page_cy import (
    PAGE_SHIFT,
    PAGE_SIZE,
    lowmem_page_address,
    page_to_pfn,
    virt_to_page_checked,
)

from smpmm.mm import page_bug


class Page(Handle):
    """A handle of a struct page."""

    @property
    def pfn(self) -> int:
        """The page frame number."""
        return page_to_pfn(page_of(self))

    @property
    def count(self) -> int:
        """The references to the page."""
        return page_of(self).count

    @property
    def virtual(self) -> int:
        """The kernel address of the page's bytes, 0 when it has none now."""
        return page_address(self)


def page_struct_address(p):
    return page_cy.mem_map_address + page_to_pfn(p) * page_cy.struct_page_bytes


def handle_of(p):
    return Page.handle_at(page_struct_address(p))


def page_of(handle):
    offset: u64 = address_of(handle) - page_cy.mem_map_address
    bytes_: u64 = page_cy.struct_page_bytes
    pfn: u64
    if likely(bytes_ == cython.sizeof(page)):
        pfn = offset // cython.sizeof(page)
    else:
        pfn = offset // bytes_
    if pfn * bytes_ != offset or pfn >= page_cy.nr_pages:
        return cython.NULL
    return page_cy.mem_map + pfn


def page_at(pfn: cython.ulonglong):
    """Return the handle of a page frame; the caller knows that there is one."""
    return handle_of(page_cy.mem_map + pfn)


def pfn_of(address: cython.ulonglong) -> int:
    """Return the frame of the struct page at a kernel address; a report when it is none."""
    p: cython.pointer[page] = page_of(Page.handle_at(address))
    if p == cython.NULL:
        page_bug.no_page("nopage", address)
        return -1
    return page_to_pfn(p)


def get_block(gfp, order, site, name):
    """Allocate a block and return its address; what has none goes back with a report."""
    p: cython.pointer[page] = alloc_pages_call(gfp, order, site, name)
    if p == cython.NULL:
        return 0
    if unlikely(page_to_pfn(p) >= page_cy.max_low_pfn):
        free_pages_call(p, order, site)
        page_bug.no_address(name.decode(), gfp)
        return 0
    return lowmem_page_address(p)


def __get_free_pages(gfp_mask: object, order: object):
    """Allocate 2**order contiguous pages; their kernel address, 0 on failure.

    May sleep with the WAIT bit, else any context. An order beyond the version's limit fails.
    """
    c_gfp_mask: u64 = cython.cast(u64, whole(gfp_mask, b"__get_free_pages", b"gfp_mask"))
    c_order: u64 = cython.cast(u64, whole(order, b"__get_free_pages", b"order"))
    return get_block(c_gfp_mask, c_order, call_site(), b"__get_free_pages")


def __get_free_page(gfp_mask: object):
    """Allocate one page; its kernel address, 0 on failure.

    May sleep if the mask has __GFP_WAIT.
    """
    c_gfp_mask: u64 = cython.cast(u64, whole(gfp_mask, b"__get_free_page", b"gfp_mask"))
    return get_block(c_gfp_mask, 0, call_site(), b"__get_free_page")


def __get_dma_pages(gfp_mask: object, order: object):
    """Allocate 2**order contiguous pages below 16 MiB; their kernel address, 0 on failure.

    May sleep if the mask has __GFP_WAIT.
    """
    c_gfp_mask: u64 = cython.cast(u64, whole(gfp_mask, b"__get_dma_pages", b"gfp_mask"))
    c_order: u64 = cython.cast(u64, whole(order, b"__get_dma_pages", b"order"))
    return get_block(c_gfp_mask | gfp_dma, c_order, call_site(), b"__get_dma_pages")


def get_zeroed_page(gfp_mask: object):
    """Allocate one page filled with zeroes; its kernel address, 0 on failure.

    May sleep if the mask has __GFP_WAIT.
    """
    c_gfp_mask: u64 = cython.cast(u64, whole(gfp_mask, b"get_zeroed_page", b"gfp_mask"))
    address: u64 = get_block(c_gfp_mask, 0, call_site(), b"get_zeroed_page")
    if address != 0:
        enter()
        memset(segment_cy.ram + (address - segment_cy.direct_start), 0, PAGE_SIZE)
        leave()
    return address


def alloc_pages(gfp_mask: object, order: object):
    """Allocate 2**order contiguous pages of the zones of the mask; a handle or None.

    May sleep if the mask has __GFP_WAIT.
    """
    c_gfp_mask: u64 = cython.cast(u64, whole(gfp_mask, b"alloc_pages", b"gfp_mask"))
    c_order: u64 = cython.cast(u64, whole(order, b"alloc_pages", b"order"))
    p: cython.pointer[page] = alloc_pages_call(
        c_gfp_mask, c_order, call_site(), b"alloc_pages"
    )
    return handle_of(p) if p != cython.NULL else None


def alloc_page(gfp_mask: object):
    """Allocate one page of the zones of the mask; a handle or None.

    May sleep if the mask has __GFP_WAIT.
    """
    c_gfp_mask: u64 = cython.cast(u64, whole(gfp_mask, b"alloc_page", b"gfp_mask"))
    p: cython.pointer[page] = alloc_pages_call(c_gfp_mask, 0, call_site(), b"alloc_page")
    return handle_of(p) if p != cython.NULL else None


def give_back(p, address, order, site):
    """Free a block, or report why the truth forbids it."""
    if unlikely(p == cython.NULL):
        enter()
        leave()
        page_bug.bad_address(address, order)
    elif unlikely(free_pages_call(p, order, site) != 0):
        page_bug.bad_free(order)
    return 0


def free_pages(addr: object, order: object):
    """Free 2**order pages by their kernel address; 0 is ignored. Any context."""
    c_order: u64 = cython.cast(u64, whole(order, b"free_pages", b"order"))
    address: u64 = int_or_address_of(addr)
    if address != 0:
        give_back(virt_to_page_checked(address), address, c_order, call_site())


def free_page(addr: object):
    """Free one page by its kernel address; 0 is ignored. Any context."""
    address: u64 = int_or_address_of(addr)
    if address != 0:
        give_back(virt_to_page_checked(address), address, 0, call_site())


def __free_pages(page_: object, order: object):
    """Drop a reference to a block of 2**order pages; the last one frees it. Any context."""
    c_order: u64 = cython.cast(u64, whole(order, b"__free_pages", b"order"))
    give_back(page_of(page_), address_of(page_), c_order, call_site())


def __free_page(page_: object):
    """Drop a reference to a page; the last one frees it. Any context."""
    give_back(page_of(page_), address_of(page_), 0, call_site())


def put_page(page_: object):
    """Drop a reference to a page; the last one frees it. Any context."""
    give_back(page_of(page_), address_of(page_), 0, call_site())


def get_page(page_: object):
    """Take one more reference to an allocated page. Any context."""
    p: cython.pointer[page] = page_of(page_)
    site: u32 = call_site()
    taken: cython.bint = False
    enter()
    if p != cython.NULL:
        taken = zone_cy.get_page(p, site)
    leave()
    if not taken:
        page_bug.no_page("get_page", address_of(page_))


def page_count(page_: object):
    """Return the references to a page; 0 when it is free. Any context."""
    p: cython.pointer[page] = page_of(page_)
    count: u64 = 0
    enter()
    if p != cython.NULL:
        count = p.count
    leave()
    if p == cython.NULL:
        page_bug.no_page("page_count", address_of(page_))
    return count


def page_address(page_: object):
    """Return the kernel address of a page's bytes, 0 for a high page that is not kmapped.

    Any context.
    """
    p: cython.pointer[page] = page_of(page_)
    address: u64 = 0
    enter()
    if p != cython.NULL:
        address = p.virtual
        if page_to_pfn(p) < page_cy.max_low_pfn:
            address = lowmem_page_address(p)
    leave()
    if p == cython.NULL:
        page_bug.no_page("page_address", address_of(page_))
    return address


def virt_to_page(addr: object):
    """Return the page of a direct-mapped address as a handle; None when it has none.

    Any context.
    """
    p: cython.pointer[page] = virt_to_page_checked(address_of(addr))
    return handle_of(p) if p != cython.NULL else None


def virt_to_phys(addr: object):
    """Return the physical address of a direct-mapped one; unchecked arithmetic, as in C.

    Any context.
    """
    return (address_of(addr) - segment_cy.direct_start) & 0xFFFFFFFF


def phys_to_virt(phys: object):
    """Return the kernel address of a physical one; unchecked arithmetic, as in C.

    Any context.
    """
    return (address_of(phys) + segment_cy.direct_start) & 0xFFFFFFFF


def nr_free_pages():
    """Return how many pages are free. Any context."""
    enter()
    n: u64 = page_alloc_cy.nr_free_pages()
    leave()
    return n


def high_memory():
    """Return the kernel address of the end of direct-mapped memory. Any context."""
    return segment_cy.direct_start + (page_cy.max_low_pfn << PAGE_SHIFT)
