"""What the kernel takes from bootmem for itself before anybody else (setup_arch, paging_init).

Models 2.4 on i386 (arch/i386/kernel/setup.c, arch/i386/mm/init.c, mm/page_alloc.c): the BIOS
areas, the kernel's image and bootmem's own bitmap are reserved; the trampoline of the other
processors, page tables of the fixed mappings, mem_map and the bitmaps of the buddy allocator
are taken in this order. Pure arithmetic.

Departure: mem_map is not moved to a multiple of its entries' size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from smpmm.mm.bootmem import Bootmem

if TYPE_CHECKING:
    from smpmm.mm.memmap import MemoryMap, ZoneSpan
    from smpmm.profile import MemoryProfile

EBDA_START: Final = 0x9FC00  # extended BIOS data: the last KiB below 640 KiB
BIOS_END: Final = 0x100000  # from EBDA_START to here there is no RAM
HIGHMEM: Final = "HighMem"
PGDIR_BYTES: Final = 4 << 20  # mapped by one page table


def low_end(spans: Sequence[ZoneSpan]) -> int:
    """Return the first frame behind low memory."""
    return max(span.end_pfn for span in spans if span.name != HIGHMEM)


@dataclass(frozen=True)
class BootUse:
    """A range of physical memory that was taken at boot. Bytes."""

    start: int
    size: int
    what: str

    def __str__(self) -> str:
        return f"{self.start:08x}-{self.start + self.size - 1:08x} : {self.what}"


class Setup:
    """A boot up to where drivers may take memory: bootmem, and who has what of it."""

    def __init__(
        self, profile: MemoryProfile, spans: Sequence[ZoneSpan], kernel_end: int
    ) -> None:
        self.page = 1 << profile.page_shift
        self.profile = profile
        self.bootmem = Bootmem(end=low_end(spans), page=self.page)
        self.uses: list[BootUse] = []
        self._setup_memory(kernel_end)
        self._paging_init(spans)

    def alloc(self, size: int, align: int, goal: int, what: str) -> int:
        """Take memory for `what`; returns its physical address."""
        start = self.bootmem.alloc(size, align, goal)
        self.uses.append(BootUse(start, size, what))
        return start

    def reserve(self, start: int, size: int, what: str) -> None:
        """Keep a range of physical memory for `what`."""
        self.bootmem.reserve(start, size)
        self.uses.append(BootUse(start, size, what))

    def use(self, what: str) -> BootUse:
        """Return what was taken for `what`."""
        return next(use for use in self.uses if use.what == what)

    def _setup_memory(self, kernel_end: int) -> None:
        bootmem, page = self.bootmem, self.page
        bitmap = -(-kernel_end // page) * page
        nr_bytes = -(-bootmem.end // 8)
        low, start = bootmem.end * page, self.profile.kernel_start
        if self.profile.has_bios_areas:
            bootmem.free(0, min(EBDA_START, low))
            if low > BIOS_END:
                bootmem.free(BIOS_END, low - BIOS_END)
        else:
            bootmem.free(0, low)
        # The kernel's own sum reserves a page more than the bitmap fills.
        end = min(bitmap + nr_bytes + page - 1, low)
        if end > start:
            bootmem.reserve(start, end - start)
        self.uses.append(BootUse(start, kernel_end - start, "kernel"))
        self.uses.append(BootUse(bitmap, nr_bytes, "bootmem bitmap"))
        bootmem.reserve(0, page)
        bootmem.reserve(page, page)  # the trampoline needs it to be left alone
        self.uses.append(BootUse(0, 2 * page, "BIOS data"))
        self.alloc(page, page, 0, "trampoline")

    def _paging_init(self, spans: Sequence[ZoneSpan]) -> None:
        page, cache = self.page, self.profile.smp_cache_bytes
        self.alloc(page, page, 0, "page table of the fixed mappings")
        for number in range(-(-self.profile.nr_pkmaps * page // PGDIR_BYTES)):
            self.alloc(page, page, 0, f"page table {number} of kmap")
        goal = self.profile.max_dma_bytes
        # One entry more than there are frames.
        nr_bytes = (spans[-1].end_pfn + 1) * self.profile.sizeof_struct_page
        self.alloc(nr_bytes, cache, goal, "mem_map")
        for span in spans:
            sizes = list(bitmaps(self.profile, span.end_pfn - span.start_pfn))
            starts = [self.bootmem.alloc(size, cache, goal) for size in sizes]
            if sizes:
                nr_bytes = starts[-1] + sizes[-1] - starts[0]
                self.uses.append(BootUse(starts[0], nr_bytes, f"bitmaps of {span.name}"))

    def free_all(self) -> tuple[tuple[int, int], ...]:
        """Give up the bitmap and return the frames that stay reserved: free_all_bootmem."""
        bitmap = self.use("bootmem bitmap")
        self.bootmem.free(bitmap.start, -(-bitmap.size // self.page) * self.page)
        return self.bootmem.reserved()


# The boot that goes on in this process: bootmem is there until the page allocator is.
booting: Setup | None = None


def begin(setup: Setup) -> None:
    """Make `setup` the boot that goes on; the monitor."""
    global booting
    booting = setup


def hand_over(memory: MemoryMap) -> MemoryMap:
    """End bootmem: return `memory` with the frames that stay reserved; the monitor.

    Without a boot phase those are what the kernel itself took.
    """
    global booting
    if booting is not None:
        memory = replace(memory, reserved=booting.free_all())
        booting = None
    return memory


def bitmaps(profile: MemoryProfile, nr_pages: int) -> Iterator[int]:
    """Return the bytes of a zone's buddy bitmaps by order: a bit for each pair, whole words.

    The largest order has none; a zone without pages has none at all. Later versions keep the
    order in the struct page instead.
    """
    word = 8 if profile.page_offset >> 32 else 4
    if nr_pages and profile.has_bitmaps:
        for order in range(profile.nr_orders - 1):
            nr_bytes = ((nr_pages - 1) >> (order + 4)) + 1
            yield -(-nr_bytes // word) * word


def memory_line(profile: MemoryProfile, memory: MemoryMap) -> str:
    """Return what mem_init says of memory: what is free, what is there, what took the rest.

    Frames that are no RAM, below 1 MiB, are neither available nor reserved.
    """
    kib = (1 << profile.page_shift) // 1024
    kept = sum(last - first for first, last in memory.reserved)
    hole = (BIOS_END >> profile.page_shift) - (EBDA_START >> profile.page_shift)
    if not profile.has_bios_areas:
        hole = 0
    high = memory.nr_pages - memory.max_low_pfn
    return (
        f"Memory: {(memory.nr_pages - kept) * kib}k/{memory.nr_pages * kib}k available "
        f"({profile.kernel_code_bytes >> 10}k kernel code, {(kept - hole) * kib}k reserved, "
        f"{profile.kernel_data_bytes >> 10}k data, 0k init, {high * kib}k highmem)"
    )
