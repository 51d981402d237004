"""Rows of `context_table`: allocators, pages, access to memory."""

from typing import Any

from smpmm.kernel import *
from tests.smp.context_row import (
    BUG_TEXT,
    IO_PHYS,
    Env,
    Row,
    after_boot,
    everywhere,
    not_in_interrupt,
    sleeps,
    spend,
    unchecked,
)


def free_result(env: Any, address: Any) -> None:
    kfree(address)


def free_page_result(env: Any, address: Any) -> None:
    free_page(address)


def free_block_result(env: Any, address: Any) -> None:
    free_pages(address, 1)


KMALLOC = (
    sleeps("kmalloc", lambda env: kmalloc(64, GFP_KERNEL), free_result, variant="GFP_KERNEL"),
    sleeps("kmalloc", lambda env: kmalloc(64, GFP_USER), free_result, variant="GFP_USER"),
    everywhere(
        "kmalloc", lambda env: kmalloc(64, GFP_ATOMIC), free_result, variant="GFP_ATOMIC"
    ),
    everywhere(
        "kmalloc",
        lambda env: kmalloc(64, GFP_ATOMIC | GFP_DMA),
        free_result,
        variant="GFP_ATOMIC|GFP_DMA",
    ),
    everywhere("kfree", lambda env: spend(env, "buffer", kfree)),
    everywhere("kfree", lambda env: kfree(0), variant="NULL"),
    everywhere("ksize", lambda env: ksize(env.buffer), since=(2, 5, 70)),
    sleeps("kzalloc", lambda env: kzalloc(64, GFP_KERNEL), free_result, since=(2, 6, 14)),
    sleeps("kcalloc", lambda env: kcalloc(4, 16, GFP_KERNEL), free_result, since=(2, 6, 9)),
    sleeps("krealloc", lambda env: krealloc(0, 64, GFP_KERNEL), free_result, since=(2, 6, 22)),
)

SLAB = (
    not_in_interrupt(
        "kmem_cache_create",
        lambda env: kmem_cache_create("context_new", 64, 0, 0, None, None),
        lambda env, cache: kmem_cache_destroy(cache),
    ),
    not_in_interrupt(
        "kmem_cache_destroy", lambda env: spend(env, "spare_cache", kmem_cache_destroy)
    ),
    not_in_interrupt("kmem_cache_shrink", lambda env: kmem_cache_shrink(env.cache)),
    sleeps(
        "kmem_cache_alloc",
        lambda env: kmem_cache_alloc(env.cache, GFP_KERNEL),
        lambda env, address: kmem_cache_free(env.cache, address),
        variant="GFP_KERNEL",
    ),
    everywhere(
        "kmem_cache_alloc",
        lambda env: kmem_cache_alloc(env.cache, GFP_ATOMIC),
        lambda env, address: kmem_cache_free(env.cache, address),
        variant="GFP_ATOMIC",
    ),
    everywhere(
        "kmem_cache_free",
        lambda env: spend(env, "object", lambda address: kmem_cache_free(env.cache, address)),
    ),
    sleeps("kmem_cache_reap", lambda env: kmem_cache_reap(GFP_KERNEL), variant="GFP_KERNEL"),
    everywhere(
        "kmem_cache_reap", lambda env: kmem_cache_reap(GFP_ATOMIC), variant="GFP_ATOMIC"
    ),
    everywhere("kmem_cache_size", lambda env: kmem_cache_size(env.cache)),
)


def allocation(name: str, call: Any, undo: Any, **more: Any) -> tuple[Row, Row]:
    """Return the two rows of an allocating call: it is given GFP_KERNEL, or GFP_ATOMIC."""
    return (
        sleeps(name, lambda env: call(GFP_KERNEL), undo, variant="GFP_KERNEL", **more),
        everywhere(name, lambda env: call(GFP_ATOMIC), undo, variant="GFP_ATOMIC", **more),
    )


PAGES = (
    *allocation("__get_free_page", lambda gfp: __get_free_page(gfp), free_page_result),
    *allocation("__get_free_pages", lambda gfp: __get_free_pages(gfp, 1), free_block_result),
    *allocation("get_free_page", lambda gfp: get_free_page(gfp), free_page_result),
    *allocation("get_zeroed_page", lambda gfp: get_zeroed_page(gfp), free_page_result),
    *allocation("__get_dma_pages", lambda gfp: __get_dma_pages(gfp, 1), free_block_result),
    *allocation(
        "alloc_page", lambda gfp: alloc_page(gfp), lambda env, page: __free_page(page)
    ),
    *allocation(
        "alloc_pages", lambda gfp: alloc_pages(gfp, 1), lambda env, page: __free_pages(page, 1)
    ),
    everywhere("free_page", lambda env: spend(env, "page_addr", free_page)),
    everywhere(
        "free_pages", lambda env: spend(env, "block", lambda addr: free_pages(addr, 1))
    ),
    everywhere("__free_page", lambda env: spend(env, "page", __free_page)),
    everywhere(
        "__free_pages", lambda env: spend(env, "pages", lambda page: __free_pages(page, 1))
    ),
    everywhere("page_address", lambda env: page_address(env.page)),
    everywhere("get_page", lambda env: get_page(env.page), lambda env, _: put_page(env.page)),
    everywhere(
        "put_page", lambda env: put_page(env.page), before=lambda env: get_page(env.page)
    ),
    everywhere("page_count", lambda env: page_count(env.page)),
    everywhere("virt_to_page", lambda env: virt_to_page(env.buffer)),
    everywhere("virt_to_phys", lambda env: virt_to_phys(env.buffer)),
    everywhere("phys_to_virt", lambda env: phys_to_virt(virt_to_phys(env.buffer))),
    everywhere("nr_free_pages", lambda env: nr_free_pages()),
    everywhere("PAGE_ALIGN", lambda env: PAGE_ALIGN(1)),
    not_in_interrupt(
        "kmap", lambda env: kmap(env.high_page), lambda env, addr: kunmap(env.high_page)
    ),
    Row(
        "kunmap",
        ("ok", "bug", "ok", "ok", "bug", "bug"),
        lambda env: kunmap(env.mapped_page),
        lambda env, result: kmap(env.mapped_page),
        error="KernelBug",
        text=BUG_TEXT,
    ),
    everywhere(
        "kmap_atomic",
        lambda env: kunmap_atomic(kmap_atomic(env.high_page, KM_BOUNCE_READ), KM_BOUNCE_READ),
    ),
    everywhere(
        "kunmap_atomic",
        lambda env: kunmap_atomic(
            kmap_atomic(env.high_page, KM_BOUNCE_WRITE), KM_BOUNCE_WRITE
        ),
    ),
)

# vfree and iounmap flush the TLBs of the other CPUs, for which interrupts must be on, and take
# a lock that no interrupt may take; 2.4 looks at neither.
VMALLOC = (
    sleeps("vmalloc", lambda env: vmalloc(PAGE_SIZE), lambda env, addr: vfree(addr)),
    unchecked("vfree", lambda env: spend(env, "area", vfree)),
    sleeps(
        "ioremap",
        lambda env: ioremap(IO_PHYS + PAGE_SIZE, PAGE_SIZE),
        lambda env, addr: iounmap(addr),
    ),
    unchecked("iounmap", lambda env: spend(env, "io", iounmap)),
    everywhere("readb", lambda env: readb(env.area)),
    everywhere("readw", lambda env: readw(env.area)),
    everywhere("readl", lambda env: readl(env.area)),
    everywhere("writeb", lambda env: writeb(1, env.area)),
    everywhere("writew", lambda env: writew(1, env.area)),
    everywhere("writel", lambda env: writel(1, env.area)),
    everywhere("memcpy_fromio", lambda env: memcpy_fromio(env.buffer, env.area, 16)),
    everywhere("memcpy_toio", lambda env: memcpy_toio(env.area, env.buffer, 16)),
    everywhere("virt_to_bus", lambda env: virt_to_bus(env.buffer)),
    everywhere("bus_to_virt", lambda env: bus_to_virt(virt_to_bus(env.buffer))),
    everywhere("memset_io", lambda env: memset_io(env.area, 0, 16)),
)

BOOT = (
    after_boot("alloc_bootmem", lambda env: alloc_bootmem(64)),
    after_boot("alloc_bootmem_low", lambda env: alloc_bootmem_low(64)),
    after_boot("alloc_bootmem_pages", lambda env: alloc_bootmem_pages(PAGE_SIZE)),
    after_boot("alloc_bootmem_low_pages", lambda env: alloc_bootmem_low_pages(PAGE_SIZE)),
    after_boot("__alloc_bootmem", lambda env: __alloc_bootmem(64, 32, 0)),
    after_boot("reserve_bootmem", lambda env: reserve_bootmem(0, PAGE_SIZE)),
    after_boot("free_bootmem", lambda env: free_bootmem(virt_to_phys(env.block), PAGE_SIZE)),
)

BIGPHYSAREA = (
    sleeps("bigphysarea_alloc_pages", lambda env: bigphysarea_alloc_pages(1, 0, GFP_KERNEL)),
    sleeps("bigphysarea_free_pages", lambda env: bigphysarea_free_pages(env.block)),
    sleeps("bigphysarea_alloc", lambda env: bigphysarea_alloc(64)),
    sleeps("bigphysarea_free", lambda env: bigphysarea_free(env.block, 64)),
)

ACCESS = (
    everywhere("memset", lambda env: memset(env.buffer, 0, 16)),
    everywhere("memcpy", lambda env: memcpy(env.buffer, env.page_addr, 16)),
    everywhere("memcmp", lambda env: memcmp(env.buffer, env.page_addr, 16)),
    everywhere("memmove", lambda env: memmove(env.buffer, env.page_addr, 16)),
    everywhere("access_ok", lambda env: access_ok(VERIFY_READ, env.user, 16)),
    everywhere("peek", lambda env: peek(env.buffer, 16)),
    everywhere("poke", lambda env: poke(env.buffer, b"context")),
    everywhere("sizeof", lambda env: sizeof(Env)),
    everywhere("offsetof", lambda env: offsetof(Env, "counter")),
    sleeps("copy_to_user", lambda env: copy_to_user(env.user, env.buffer, 16)),
    sleeps("copy_from_user", lambda env: copy_from_user(env.buffer, env.user, 16)),
    sleeps("clear_user", lambda env: clear_user(env.user, 16)),
    sleeps("strncpy_from_user", lambda env: strncpy_from_user(env.buffer, env.user, 16)),
    sleeps("get_user", lambda env: get_user(env.user)),
    sleeps("put_user", lambda env: put_user(1, env.user)),
)
