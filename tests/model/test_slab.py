"""The slab allocator beside a plain model: a dict of what each cache has handed out."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from cpus import segment_cy
from cpus.errors import BadFree, KernelBug
from smpmm.mm import (
    cache_cy,
    page_check_cy,
    shrink_cy,
    slab_check,
    slab_cy,
    slab_recover_cy,
    slab_state_cy,
    slabinfo,
)
from tests.unit.smpmm.mm.slab_support import GFP_ATOMIC, GFP_DMA, slab_machine

SIZES = st.sampled_from([1, 32, 33, 100, 256, 500, 1000, 2048, 4096, 5000, 20000])


class SlabModel(RuleBasedStateMachine):
    objects = Bundle("objects")
    caches = Bundle("caches")

    def __init__(self) -> None:
        super().__init__()
        slab_machine(16 << 20)
        self.size: dict[int, int] = {}  # address → bytes it may use
        self.cache: dict[int, str] = {}  # address → name of its cache, "" = kmalloc
        self.live: dict[str, object] = {}
        self.born = 0

    def handed_out(self, address: int, nr_bytes: int, cache: str) -> int:
        end = address + nr_bytes
        for other, length in self.size.items():
            assert end <= other or other + length <= address, "objects overlap"
        self.size[address] = nr_bytes
        self.cache[address] = cache
        at = segment_cy.native_address(address, nr_bytes)
        assert at
        return address

    @rule(target=objects, size=SIZES, dma=st.booleans(), n=st.integers(1, 40))
    def kmalloc(self, size, dma, n):
        for _ in range(n):
            address = slab_cy.kmalloc(size, GFP_ATOMIC | (GFP_DMA if dma else 0))
            if not address:
                return 0
            self.handed_out(address, slab_cy.ksize(address), "")
            assert slab_cy.ksize(address) >= size
        return address

    @rule(target=caches, size=st.integers(4, 6000), flags=st.sampled_from([0, 0x2000, 0x5000]))
    def create(self, size, flags):
        self.born += 1
        name = f"cache{self.born}"
        made = cache_cy.kmem_cache_create(name, size, 0, flags, None, None)
        if made is None:
            return ""
        self.live[name] = made
        return name

    @rule(target=objects, name=caches, n=st.integers(1, 40))
    def cache_alloc(self, name, n):
        address = 0
        for _ in range(n if name in self.live else 0):
            address = slab_cy.kmem_cache_alloc(self.live[name], GFP_ATOMIC)
            if not address:
                break
            objsize = slab_state_cy.object_info(address)["objsize"]
            self.handed_out(address, objsize, name)
        return address

    @rule(address=consumes(objects))
    def free(self, address):
        if address not in self.size:
            return
        if self.cache[address]:
            slab_cy.kmem_cache_free(self.live[self.cache[address]], address)
        else:
            slab_cy.kfree(address)
        del self.size[address], self.cache[address]

    @rule()
    def free_half(self):
        for address in list(self.size)[::2]:
            slab_cy.kfree(address)
            del self.size[address], self.cache[address]

    @rule(address=objects, offset=st.integers(1, 31))
    def bad_free(self, address, offset):
        if address in self.size and offset < self.size[address]:
            self.refused(address + offset)
        elif address and address not in self.size:
            self.refused(address)

    def refused(self, address: int) -> None:
        if address in self.size:
            return
        try:
            slab_cy.kfree(address)
        except BadFree:
            return
        raise AssertionError(f"kfree({address:#x}) was not refused")

    @rule(name=caches)
    def destroy(self, name):
        if name not in self.live:
            return
        has = name in self.cache.values()
        assert shrink_cy.kmem_cache_destroy(self.live[name]) == int(has)
        if not has:
            gone = self.live.pop(name)
            try:
                slab_cy.kmem_cache_alloc(gone, GFP_ATOMIC)
            except KernelBug:
                return
            raise AssertionError("a destroyed cache gave an object")

    @rule(name=caches)
    def shrink(self, name):
        if name in self.live:
            has = name in self.cache.values()
            assert shrink_cy.kmem_cache_shrink(self.live[name]) == int(has)

    @rule()
    def reap(self):
        shrink_cy.reap(GFP_ATOMIC)

    @rule()
    def rebuild(self):
        slab_recover_cy.rebuild()

    @rule(limit=st.integers(0, 60))
    def tune(self, limit):
        assert slabinfo.slabinfo_write(f"size-128 {limit} {(limit + 1) // 2}") > 0

    @invariant()
    def the_truth_is_the_model(self):
        slab_check.check_slabs()
        page_check_cy.check_pages()
        allocated = {o["address"]: o["objsize"] for o in slab_state_cy.allocated_objects()}
        assert allocated == self.size


SlabModel.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestSlabModel = SlabModel.TestCase
