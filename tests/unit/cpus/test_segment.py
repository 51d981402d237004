"""The segment: its map, its clock, what address lies where."""

import mmap
import time

import pytest

from cpus import segment_cy
from tests.support import small_machine

RAM = 4 << 20
DIRECT = 0xC0000000
HANDLES = 0xFF000000


@pytest.fixture(autouse=True)
def machine():
    small_machine(ram_bytes=RAM)


def test_regions_lie_behind_ram_and_do_not_overlap():
    sizes = {"a": 1, "b": 4096, "c": 10_000, "d": 0}
    header_at, offsets, size = segment_cy.layout(RAM + 5, sizes)
    assert header_at >= RAM + 5
    spans = sorted((offsets[name], offsets[name] + sizes[name]) for name in sizes)
    assert all(at % 4096 == 0 for at, _ in spans)
    assert all(end <= at for (_, end), (at, _) in zip(spans, spans[1:], strict=False))
    assert spans[-1][1] <= size


def test_too_many_regions_are_refused():
    regions = {f"r{n}": 1 for n in range(65)}
    header_at, offsets, size = segment_cy.layout(4096, regions)
    memory = mmap.mmap(-1, size)
    at = segment_cy.buffer_address(memory)
    with pytest.raises(ValueError, match="65 regions, at most 64"):
        segment_cy.format_header(at, 4096, size, header_at, regions, offsets, 1, 100)


def test_no_segment_is_refused():
    memory = mmap.mmap(-1, 1 << 16)
    with pytest.raises(ValueError, match="no smpmm segment"):
        segment_cy.attach(segment_cy.buffer_address(memory), 0)
    small_machine(ram_bytes=RAM)


def test_unknown_region_is_named():
    with pytest.raises(KeyError, match="nothing"):
        segment_cy.region_address("nothing")


@pytest.mark.parametrize(
    ("address", "length", "mapped"),
    [
        (DIRECT, 1, True),
        (DIRECT + RAM - 1, 1, True),
        (DIRECT + RAM - 1, 2, False),
        (DIRECT, RAM, True),
        (DIRECT, RAM + 1, False),
        (DIRECT - 1, 1, False),
        (0, 1, False),
        (HANDLES, 1 << 20, True),
        (HANDLES + (1 << 20), 1, False),
        (2**64 - 1, 1, False),
        (2**64 - 8, 16, False),
        (DIRECT, 2**64 - 1, False),
    ],
)
def test_addresses_are_mapped_to_the_byte(address, length, mapped):
    assert bool(segment_cy.native_address(address, length)) == mapped


def test_kernel_addresses_come_back():
    for address in (DIRECT, DIRECT + RAM - 1, HANDLES, HANDLES + 4095):
        assert segment_cy.kernel_address_of(segment_cy.native_address(address)) == address
    assert segment_cy.kernel_address_of(0) == 0


def test_clock_runs_with_the_host():
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC), segment_cy.uptime_ns()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC), segment_cy.uptime_ns()
    assert 0 <= after[1] - before[1]
    assert before[1] - before[0] == pytest.approx(after[1] - after[0], abs=1e9)


def test_calibrations_agree():
    """Ten of them, on a host that takes the processor away as it likes: within 0.1 %."""
    ticks = 1 << 34
    rates = []
    for _ in range(10):
        small_machine(ram_bytes=4096)
        rates.append(segment_cy.nanoseconds(ticks))
    assert max(rates) - min(rates) < min(rates) / 1000


def test_ticks_are_converted_without_overflow():
    one = segment_cy.nanoseconds(1 << 20)
    assert segment_cy.nanoseconds(1 << 50) == pytest.approx(one << 30, rel=1e-5)
    assert segment_cy.nanoseconds(0) == 0
