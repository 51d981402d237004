"""The page allocator beside a plain model: the same blocks and lists, check() at each step."""

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from cpus import spinlock_cy
from cpus.errors import BadFree
from smpmm.mm import memmap, page_alloc_cy, page_calls_cy, page_check_cy, page_cy, zone_cy
from smpmm.profile import GFP_2_4_0, MIB, profile_for
from tests.support import small_machine

# A name with two underscores is mangled in a class body.
give_back = page_calls_cy.__free_pages

NR_ORDERS = 10
PAGE_OFFSET = 0xC0000000
ZONES = {"DMA": 8 * MIB, "Normal": 4 * MIB, "HighMem": 2 * MIB}
ATOMIC = GFP_2_4_0["GFP_ATOMIC"]
MASKS = {
    "none": ATOMIC,
    "DMA": ATOMIC | GFP_2_4_0["GFP_DMA"],
    "HighMem": ATOMIC | GFP_2_4_0["GFP_HIGHMEM"],
}
ZONELISTS = {"none": (1, 0), "DMA": (0,), "HighMem": (2, 1, 0)}


@dataclass
class ModelZone:
    """A zone as sets: which blocks are free, by order, newest last."""

    start: int
    end: int
    pages_min: int
    free: list[list[int]] = field(default_factory=lambda: [[] for _ in range(NR_ORDERS)])

    def free_pages(self) -> int:
        return sum(len(blocks) << order for order, blocks in enumerate(self.free))

    def take(self, order: int) -> int | None:
        for high in range(order, NR_ORDERS):
            if self.free[high]:
                pfn = self.free[high].pop()
                while high > order:
                    high -= 1
                    self.free[high].append(pfn)
                    pfn += 1 << high
                return pfn
        return None

    def give(self, pfn: int, order: int) -> None:
        while order < NR_ORDERS - 1 and pfn ^ (1 << order) in self.free[order]:
            self.free[order].remove(pfn ^ (1 << order))
            pfn &= ~(1 << order)
            order += 1
        self.free[order].append(pfn)


class ModelPages:
    """All zones, and the order in which an atomic request looks at them."""

    def __init__(self) -> None:
        profile = profile_for("2.4", "i386").memory
        layout = memmap.memory_map(profile, ZONES)
        self.zones = []
        for span, ratio in zip(layout.zones, profile.zone_balance_ratio, strict=True):
            pages = span.end_pfn - span.start_pfn
            mark = min(max(pages // ratio, 10), 255)
            zone = ModelZone(span.start_pfn, span.end_pfn, mark)
            for pfn in range(span.start_pfn, span.end_pfn):
                if not any(first <= pfn < end for first, end in layout.reserved):
                    zone.give(pfn, 0)
            self.zones.append(zone)

    def alloc(self, mask: str, order: int) -> int | None:
        if order >= NR_ORDERS:
            return None
        zones = [self.zones[index] for index in ZONELISTS[mask]]
        rounds = [
            lambda z: z.free_pages() >= 2 * z.pages_min,
            lambda z: z.free_pages() > 3 * z.pages_min,
            lambda z: z.free_pages() > 2 * z.pages_min,
            lambda z: z.free_pages() > z.pages_min,
            lambda z: z.free_pages() >= z.pages_min // 4,
        ]
        for allowed in rounds:
            for zone in zones:
                if allowed(zone) and (pfn := zone.take(order)) is not None:
                    return pfn
        return None

    def free(self, pfn: int, order: int) -> None:
        next(zone for zone in self.zones if zone.start <= pfn < zone.end).give(pfn, order)


class PageMachine(RuleBasedStateMachine):
    """Random allocations, frees and bad frees, on the machine and on the model."""

    blocks = Bundle("blocks")

    def __init__(self) -> None:
        super().__init__()
        small_machine(spinlock_cy, page_alloc_cy, ram_bytes=sum(ZONES.values()), zones=ZONES)
        self.model = ModelPages()
        self.first = int(page_calls_cy.virt_to_page(PAGE_OFFSET))

    def page(self, pfn: int) -> int:
        return self.first + 64 * pfn

    @rule(
        target=blocks,
        mask=st.sampled_from(sorted(MASKS)),
        order=st.integers(0, NR_ORDERS) | st.integers(0, 3),
    )
    def alloc(self, mask: str, order: int):
        page = page_calls_cy.alloc_pages(MASKS[mask], order)
        pfn = self.model.alloc(mask, order)
        assert (None if page is None else page.pfn) == pfn
        if pfn is None:
            return None
        assert pfn % (1 << order) == 0
        return pfn, order

    @rule(target=blocks, mask=st.sampled_from(sorted(MASKS)), n=st.integers(100, 900))
    def drain(self, mask: str, n: int):
        last = None
        for _ in range(n):
            page = page_calls_cy.alloc_pages(MASKS[mask], 0)
            pfn = self.model.alloc(mask, 0)
            assert (None if page is None else page.pfn) == pfn
            if pfn is None:
                break
            last = pfn, 0
        return last

    @rule(block=consumes(blocks))
    def free(self, block) -> None:
        if block is not None:
            give_back(self.page(block[0]), block[1])
            self.model.free(*block)

    @rule(block=consumes(blocks))
    def free_twice(self, block) -> None:
        if block is not None:
            give_back(self.page(block[0]), block[1])
            self.model.free(*block)
            with pytest.raises(BadFree, match="already free"):
                give_back(self.page(block[0]), block[1])

    @rule(block=blocks, order=st.integers(0, NR_ORDERS))
    def free_with_the_wrong_order(self, block, order: int) -> None:
        if block is not None and self.allocated(block) and order != block[1]:
            with pytest.raises(BadFree, match="wrong order"):
                give_back(self.page(block[0]), order)

    @rule(block=blocks, inside=st.integers(1, 511))
    def free_inside(self, block, inside: int) -> None:
        if block is not None and self.allocated(block) and inside < 1 << block[1]:
            with pytest.raises(BadFree, match="not its first page"):
                give_back(self.page(block[0] + inside), 0)

    def allocated(self, block: tuple[int, int]) -> bool:
        return (block[0], block[1]) in self.owned()

    def owned(self) -> set[tuple[int, int]]:
        return {(pfn, order) for pfn, order, _site, _pid in page_cy.pages_of_slot(0)}

    @rule()
    def rebuild(self) -> None:
        zone_cy.rebuild()
        # A rebuilt list is in the order of boot.
        for zone in self.model.zones:
            for blocks in zone.free:
                blocks.sort()

    @invariant()
    def lists_are_those_of_the_model(self) -> None:
        page_check_cy.check_pages()
        for index, zone in enumerate(self.model.zones):
            for order in range(NR_ORDERS):
                assert zone_cy.free_list(index, order) == zone.free[order][::-1]


TestPages = PageMachine.TestCase
TestPages.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
