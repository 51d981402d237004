"""bootmem beside a plain model with a bit for each page, and the facts of its calls."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpus.errors import KernelBug
from smpmm.mm import memmap, setup_arch
from smpmm.mm.bootmem import Bootmem, BootmemFull
from smpmm.profile import MIB, profile_for

PAGE = 4096
NR_PAGES = 96
PROFILE = profile_for("2.4", "i386").memory


class Bits:
    """A map with one bit for each page, gone through page by page as the kernel's."""

    def __init__(self) -> None:
        self.taken = [True] * NR_PAGES
        self.pos, self.offset = -1, 0

    def run_is_free(self, first: int, count: int) -> bool:
        return first + count <= NR_PAGES and not any(self.taken[first : first + count])

    def find(self, count: int, align: int, goal: int) -> int | None:
        starts = [0]
        if goal // PAGE < NR_PAGES:
            starts.insert(0, (goal + align - 1) // align * align // PAGE)
        for start in starts:
            for first in range(start, NR_PAGES, max(1, align // PAGE)):
                if self.run_is_free(first, count):
                    return first
        return None

    def alloc(self, size: int, align: int, goal: int) -> int | None:
        count = (size + PAGE - 1) // PAGE
        first = self.find(count, align, goal)
        if first is None:
            return None
        if align <= PAGE and self.offset and self.pos + 1 == first:
            offset = (self.offset + align - 1) // align * align
            address = self.pos * PAGE + offset
            last = address + size
            for page in range(first, (last + PAGE - 1) // PAGE):
                self.taken[page] = True
            self.pos, self.offset = (last // PAGE, last % PAGE)
            if self.offset == 0:
                self.pos -= 1
            return address
        self.taken[first : first + count] = [True] * count
        self.pos, self.offset = first + count - 1, size % PAGE
        return first * PAGE

    def reserved(self) -> tuple[tuple[int, int], ...]:
        runs, start = [], None
        for page, taken in enumerate([*self.taken, False]):
            if taken and start is None:
                start = page
            if not taken and start is not None:
                runs.append((start, page))
                start = None
        return tuple(runs)


ADDRESSES = st.integers(0, NR_PAGES * PAGE - 1)
SIZES = st.one_of(st.integers(1, 3 * PAGE), st.sampled_from([PAGE, 8 * PAGE, 40 * PAGE]))
STEPS = st.one_of(
    st.tuples(st.just("free"), ADDRESSES, SIZES),
    st.tuples(st.just("reserve"), ADDRESSES, SIZES),
    st.tuples(
        st.just("alloc"), SIZES, st.sampled_from([4, 32, 128, PAGE, 4 * PAGE]), ADDRESSES
    ),
)


@given(st.lists(STEPS, max_size=60))
def test_every_call_does_what_a_map_of_bits_does(steps: list) -> None:
    bootmem, bits = Bootmem(end=NR_PAGES, page=PAGE), Bits()
    bootmem.free(0, NR_PAGES * PAGE)
    bits.taken = [False] * NR_PAGES
    for what, *arguments in steps:
        if what == "alloc":
            expected = bits.alloc(*arguments)
            if expected is None:
                with pytest.raises(BootmemFull):
                    bootmem.alloc(*arguments)
            else:
                assert bootmem.alloc(*arguments) == expected
        else:
            address, size = arguments
            size = min(size, NR_PAGES * PAGE - address)
            if what == "free":
                pages = range(-(-address // PAGE), (address + size) // PAGE)
                if any(not bits.taken[page] for page in pages):
                    with pytest.raises(KernelBug, match="is free"):
                        bootmem.free(address, size)
                    continue
                bootmem.free(address, size)
            else:
                pages = range(address // PAGE, -(-(address + size) // PAGE))
                bootmem.reserve(address, size)
            for page in pages:
                bits.taken[page] = what == "reserve"
        assert bootmem.reserved() == bits.reserved()


def fresh(frames: int = 32) -> Bootmem:
    bootmem = Bootmem(end=frames, page=PAGE)
    bootmem.free(0, frames * PAGE)
    return bootmem


def test_small_requests_share_a_page() -> None:
    bootmem = fresh()
    assert [bootmem.alloc(100, 32, 0) for _ in range(3)] == [0, 128, 256]
    assert bootmem.alloc(PAGE, 32, 0) == 384, "it goes on behind the newest"
    assert bootmem.reserved() == ((0, 2),)
    assert bootmem.alloc(PAGE, PAGE, 0) == 2 * PAGE


def test_a_goal_is_a_wish() -> None:
    bootmem = fresh()
    assert bootmem.alloc(PAGE, PAGE, 30 * PAGE) == 30 * PAGE
    assert bootmem.alloc(4 * PAGE, PAGE, 30 * PAGE) == 0, "from the start when that is full"
    assert bootmem.alloc(PAGE, PAGE, 1000 * PAGE) == 4 * PAGE, "a goal beyond memory is none"


def test_partial_pages_stay_reserved() -> None:
    bootmem = Bootmem(end=8, page=PAGE)
    bootmem.free(100, 3 * PAGE)
    assert bootmem.reserved() == ((0, 1), (3, 8))
    bootmem.reserve(PAGE + 1, 1)
    assert bootmem.reserved() == ((0, 2), (3, 8))


def test_a_page_reserved_twice_is_logged() -> None:
    lines: list[str] = []
    bootmem = Bootmem(end=8, page=PAGE, log=lines.append)
    bootmem.reserve(2 * PAGE, 2 * PAGE)
    assert lines == ["hm, page 00002000 reserved twice.", "hm, page 00003000 reserved twice."]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda b: b.alloc(0, 32, 0), "no bytes"),
        (lambda b: b.alloc(64, 48, 0), "48 is no power of 2"),
        (lambda b: b.free(0, PAGE), "frame 0x0 is free"),
        (lambda b: b.free(0, 0), "no bytes"),
        (lambda b: b.reserve(31 * PAGE, 2 * PAGE), "frame 0x20 of 0x20"),
    ],
)
def test_misuse_is_a_bug_that_names_the_call(call, says: str) -> None:
    with pytest.raises(KernelBug, match=f"kernel BUG at bootmem.c: .*{says}"):
        call(fresh())


def test_full_memory_says_how_much_there_was() -> None:
    with pytest.raises(BootmemFull, match=r"200000 bytes failed! .* has 131072 bytes"):
        fresh().alloc(200_000, PAGE, 0)


def test_the_kernel_takes_its_own_in_order() -> None:
    zones = {"DMA": 16 * MIB, "Normal": 32 * MIB, "HighMem": 16 * MIB}
    memory = memmap.memory_map(PROFILE, zones)
    setup = memmap.set_up(PROFILE, memory.zones)
    assert [str(use) for use in setup.uses[-5:]] == [
        "00004000-00004fff : page table 0 of kmap",
        "01000000-01110043 : mem_map",
        "01110060-011102c3 : bitmaps of DMA",
        "011102e0-01110723 : bitmaps of Normal",
        "01110740-011109a3 : bitmaps of HighMem",
    ]
    assert setup_arch.memory_line(PROFILE, memory) == (
        "Memory: 62476k/65536k available (1201k kernel code, 2672k reserved, 354k data, "
        "0k init, 16384k highmem)"
    )
