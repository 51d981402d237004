"""ioremap and I/O memory: what is mapped, what is refused, who answers, how it is accessed."""

import pytest

from cpus import ship
from cpus.errors import ConfigError, Oops
from smpmm import Machine
from smpmm.kernel import *

ship.register_by_value("tests")

FB = 0xF0000000
FB_BYTES = 0x10000
NOBODY = 0xE0000000
PAGE = 4096


@pytest.fixture(scope="module")
def machine():
    with Machine(cpus=2, iomem={"fb": (FB, "64K"), "card": (0xF8000000, PAGE)}) as booted:
        yield booted
        booted.check()


def fill(phys: int, data: bytes) -> bytes:
    """Write through one mapping and read through another, byte by byte and in blocks."""
    buffer = kmalloc(len(data), GFP_KERNEL)
    poke(buffer, data)
    there = ioremap(phys, len(data))
    again = ioremap(phys, len(data))
    memcpy_toio(there, buffer, len(data))
    memset(buffer, 0, len(data))
    memcpy_fromio(buffer, again, len(data))
    found = peek(buffer, len(data))
    assert [readb(again + n) for n in range(16)] == list(found[:16])
    iounmap(there)
    iounmap(again)
    kfree(buffer)
    return found


def test_a_devices_memory_is_the_same_through_every_mapping(machine) -> None:
    data = bytes(n % 251 for n in range(3 * PAGE + 5))
    assert machine.run(fill, FB + 7, data, cpu=0) == data
    assert machine.run(read_back, FB + 7, 20, cpu=1) == data[:20]


def read_back(phys: int, n: int) -> bytes:
    at = ioremap(phys, n)
    found = bytes(readb(at + i) for i in range(n))
    iounmap(at)
    return found


def words() -> list[int]:
    at = ioremap(FB, PAGE)
    memset_io(at, 0x11, 16)
    writeb(0x1FF, at)
    writew(0x12345, at + 4)
    writel(-2, at + 8)
    found = [readb(at), readw(at), readl(at), readl(at + 4), readl(at + 8), readw(at + 9)]
    iounmap(at)
    return found


def test_words_of_each_size(machine) -> None:
    assert machine.run(words) == [
        0xFF, 0x11FF, 0x111111FF, 0x11112345, 0xFFFFFFFE, 0xFFFF,
    ]  # fmt: skip


def at_nobody() -> list[int]:
    at = ioremap(NOBODY, PAGE)
    writel(0, at)
    memset_io(at, 0, PAGE)
    found = [readb(at), readl(at)]
    iounmap(at)
    # The last page of the card, and what lies behind it.
    at = ioremap(0xF8000000 + PAGE - 2, PAGE)
    writel(0, at)
    found.append(readl(at))
    iounmap(at)
    return found


def test_where_no_device_answers_reads_are_all_ones(machine) -> None:
    assert machine.run(at_nobody) == [0xFF, 0xFFFFFFFF, 0xFFFF0000]


def results(pairs: list[tuple[int, int]]) -> list[int]:
    found = []
    for phys, size in pairs:
        at = ioremap(phys, size)
        found.append(at)
        iounmap(at)
    return found


def test_sizes_wraps_ram_and_the_isa_hole(machine) -> None:
    pairs = [
        (FB, 0),
        (FB, 0x10000001),  # beyond 4 GiB
        (0x800000, PAGE),  # RAM that can be allocated
        (0x100000, PAGE),  # the kernel's image: reserved
        (0xA0000, 0x20000),
        (0xFF000, 0x1001),  # not only the hole
        (FB + 0x123, 2 * PAGE),
    ]
    zero, wrap, ram, image, hole, across, inside = machine.run(results, pairs)
    assert (zero, wrap, ram) == (0, 0, 0)
    assert image >= 0xC3800000 and across >= 0xC3800000
    assert hole == 0xC00A0000
    assert inside % PAGE == 0x123


def areas(phys: int, size: int) -> list[int]:
    from smpmm.mm import vm_state_cy

    at = ioremap(phys, size)
    found = [area["size"] for area in vm_state_cy.all_areas()]
    iounmap(at)
    return found


@pytest.mark.parametrize(
    "kernel, size, pages",
    [("2.4.5", PAGE + 1, 1), ("2.4.5", 1, 0), ("2.4.5", PAGE, 1), ("2.4.24", PAGE + 1, 2)],
)
def test_the_last_page_that_versions_before_2_4_24_lose(kernel, size, pages) -> None:
    with Machine(cpus=1, kernel=kernel) as booted:
        assert booted.run(areas, FB, size) == [(pages + 1) * PAGE]


def plain(phys: int) -> None:
    at = ioremap(phys, PAGE)
    try:
        peek(at, 1)
    finally:
        iounmap(at)


def test_a_plain_access_is_an_oops_that_says_how(machine) -> None:
    with pytest.raises(Oops) as caught:
        machine.run(plain, FB)
    assert "0 bytes into ioremap area" in caught.value.report
    assert "readb() … writel()" in caught.value.report


def after_iounmap() -> int:
    at = ioremap(FB, PAGE)
    iounmap(at)
    return readb(at)


def test_after_iounmap_it_is_an_oops(machine) -> None:
    with pytest.raises(Oops):
        machine.run(after_iounmap)


def of_vmalloc() -> list[int]:
    area = vmalloc(2 * PAGE)
    writel(0x01020304, area + PAGE - 2)
    found = [readw(area + PAGE - 2), readw(area + PAGE)]
    iounmap(area)  # 2.4: vfree
    return found


def test_the_calls_work_on_other_memory_as_on_i386(machine) -> None:
    assert machine.run(of_vmalloc) == [0x0304, 0x0102]


def bus_addresses() -> list[int]:
    page = __get_dma_pages(GFP_KERNEL, 0)
    found = [virt_to_bus(page), bus_to_virt(virt_to_bus(page)) - page, page]
    free_page(page)
    return found


@pytest.mark.parametrize("kernel, arch", [("2.4.5", "i386"), ("2.6.11", "x86_64")])
def test_bus_addresses_are_physical_ones(kernel, arch) -> None:
    with Machine(cpus=1, kernel=kernel, arch=arch) as booted:
        bus, difference, page = booted.run(bus_addresses)
        assert bus < 16 << 20 and difference == 0 and page % PAGE == bus % PAGE


def test_proc_iomem_has_the_devices(machine) -> None:
    assert "f0000000-f000ffff : fb\n" in machine.proc("iomem")


def keep_two() -> list[int]:
    return [vmalloc(3 * PAGE), ioremap(FB, PAGE)]


def give_back(area: int, io: int) -> None:
    vfree(area)
    iounmap(io)


def test_proc_vmallocinfo(machine) -> None:
    area, io = machine.run(keep_two)
    first, second = machine.proc("vmallocinfo").splitlines()
    assert first.startswith(f"0x{area:08x}-0x{area + 4 * PAGE:08x}   16384 keep_two+0x")
    assert first.endswith(" pages=3 vmalloc")
    assert second.startswith(f"0x{io:08x}-0x{io + 2 * PAGE:08x}    8192 keep_two+0x")
    assert second.endswith(" phys=f0000000 ioremap")
    machine.run(give_back, area, io)
    assert machine.proc("vmallocinfo") == ""


def remap_2_0() -> list[int]:
    from smpmm.kernel import vremap

    good = vremap(FB, 100)
    writeb(7, good)
    found = [readb(good), vremap(FB + 1, PAGE), vremap(0x800000, PAGE), vremap(FB, 0)]
    vfree(good)
    return found


def test_vremap_of_2_0() -> None:
    with Machine(cpus=1, kernel="2.0", iomem=f"fb@{FB:#x}+64K") as booted:
        assert booted.run(remap_2_0) == [7, 0, 0, 0]
        booted.check()


def aligned() -> list[int]:
    vmalloc(PAGE)
    found = []
    for pages in (1, 3, 16, 200):
        found.append(ioremap(FB, pages * PAGE))
        vmalloc(PAGE)
    return found


def test_2_6_aligns_to_a_power_of_two_of_at_most_128_pages() -> None:
    with Machine(cpus=1, kernel="2.6", iomem=f"fb@{FB:#x}+1M") as booted:
        places = booted.run(aligned)
        for at, pages in zip(places, (1, 4, 16, 128), strict=True):
            assert at % (pages * PAGE) == 0
        booted.check()


@pytest.mark.parametrize(
    "iomem", ["fb", "fb@0x1000+64K", "a@0xf0000000+8K,b@0xf0001000+4K", "fb@0xf0000001+4K"]
)
def test_a_bad_region_is_a_configuration_error(iomem) -> None:
    with pytest.raises(ConfigError, match="iomem"):
        Machine(cpus=1, iomem=iomem)


LEAKY = """
from smpmm.kernel import *

@module_init
def leaky_init():
    ioremap(0xF0000000, PAGE_SIZE)
    return 0

@module_exit
def leaky_exit():
    pass
"""


def test_a_mapping_that_a_module_keeps_is_a_leak(tmp_path) -> None:
    path = tmp_path / "leaky.py"
    path.write_text(LEAKY)
    with Machine(cpus=1) as booted:
        booted.insmod(str(path))
        assert "1 area of ioremap from leaky_init" in str(booted.rmmod("leaky"))
