"""The vmalloc space beside a plain model: first fit, contents, tables, check() at each."""

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from smpmm.mm import access_cy, page_calls_cy, pgtable_cy, vm_check_cy, vm_state_cy, vmalloc_cy
from tests.unit.smpmm.mm.vmalloc_support import MIB, PAGE, vmalloc_machine


class Areas(RuleBasedStateMachine):
    """Random vmalloc and vfree; the model is a sorted list of (start, pages, byte)."""

    areas = Bundle("areas")
    kernel = "2.4.5"
    exact = False

    def __init__(self) -> None:
        super().__init__()
        vmalloc_machine(4 * MIB, 1 * MIB, self.kernel)
        self.live: dict[int, tuple[int, int]] = {}
        self.free = page_calls_cy.nr_free_pages()
        self.next_byte = 0

    def first_fit(self, nr_pages: int) -> int:
        size = (nr_pages + 1) * PAGE
        at = vmalloc_cy.vmalloc_start()
        for start in sorted(self.live):
            if at + size < start or (self.exact and at + size == start):
                break
            at = start + (self.live[start][0] + 1) * PAGE
        return at

    @rule(target=areas, nr_pages=st.integers(1, 9))
    def vmalloc(self, nr_pages: int) -> int:
        expected = self.first_fit(nr_pages)
        address = vmalloc_cy.vmalloc(nr_pages * PAGE - self.next_byte % PAGE)
        if address == 0:
            assert page_calls_cy.nr_free_pages() < nr_pages + 40
            return 0
        assert address == expected
        self.next_byte = (self.next_byte + 1) % 251
        access_cy.memset(address, self.next_byte, nr_pages * PAGE)
        self.live[address] = (nr_pages, self.next_byte)
        return address

    @rule(address=consumes(areas))
    def vfree(self, address: int) -> None:
        vmalloc_cy.vfree(address)
        self.live.pop(address, None)

    @invariant()
    def sound(self) -> None:
        vm_check_cy.check_vmalloc()

    @invariant()
    def contents_and_tables_are_as_in_the_model(self) -> None:
        seen = set()
        for address, (nr_pages, byte) in self.live.items():
            assert access_cy.peek(address, nr_pages * PAGE) == bytes([byte]) * nr_pages * PAGE
            for i in range(nr_pages):
                entry = pgtable_cy.walk(address + i * PAGE)
                assert entry["present"] and entry["pfn"] not in seen
                seen.add(entry["pfn"])
            assert not pgtable_cy.walk(address + nr_pages * PAGE)["present"]
        listed = [(area["addr"], area["size"]) for area in vm_state_cy.all_areas()]
        assert listed == [(a, (n + 1) * PAGE) for a, (n, _) in sorted(self.live.items())]

    def teardown(self) -> None:
        for address in list(self.live):
            vmalloc_cy.vfree(address)
        kept = self.free - page_calls_cy.nr_free_pages()
        assert kept - pgtable_cy.nr_tables() <= 1  # a slab of vm_structs


class ExactAreas(Areas):
    """The same with the gap rule of 2.4.22 and later."""

    kernel = "2.4.31"
    exact = True


@pytest.mark.parametrize("machine", [Areas, ExactAreas])
def test_areas_are_as_in_the_model(machine) -> None:
    case = machine.TestCase
    case.settings = settings(
        max_examples=40,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    case("runTest").runTest()
