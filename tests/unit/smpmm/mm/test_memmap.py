"""The boot layout is arithmetic: zones in address order, what 2.4 reserves, what cannot be."""

import pytest

from cpus.errors import ConfigError
from smpmm.mm import memmap
from smpmm.profile import MIB, profile_for

PROFILE = profile_for("2.4", "i386").memory
DEFAULT = {"DMA": 16 * MIB, "Normal": 32 * MIB, "HighMem": 16 * MIB}


def test_default_machine_has_three_zones_and_mem_map_above_the_dma_zone() -> None:
    memory = memmap.memory_map(PROFILE, DEFAULT)
    assert [(z.name, z.start_pfn, z.end_pfn) for z in memory.zones] == [
        ("DMA", 0, 0x1000),
        ("Normal", 0x1000, 0x3000),
        ("HighMem", 0x3000, 0x4000),
    ]
    assert memory.max_low_pfn == 0x3000
    assert memory.mem_map_start == 16 * MIB
    assert memory.mem_map_bytes == 0x4001 * 68
    # BIOS, trampoline, two page tables; EBDA, BIOS and kernel image in one run; the frame that
    # is reserved behind bootmem's bitmap; mem_map and the bitmaps of the zones
    assert memory.reserved == ((0, 5), (0x9F, 0x285), (0x286, 0x287), (0x1000, 0x1111))


def test_mem_map_of_a_small_machine_is_as_low_as_it_fits() -> None:
    memory = memmap.memory_map(PROFILE, {"DMA": 4 * MIB})
    assert memory.mem_map_start == 0x5000
    assert memory.reserved == ((0, 0x17), (0x9F, 0x285), (0x286, 0x287))
    memory = memmap.memory_map(PROFILE, {"DMA": 4 * MIB, "HighMem": 60 * MIB})
    assert memory.mem_map_start == 0x287000, "640 KiB do not hold it"


def test_default_zones_put_what_cannot_be_direct_mapped_into_highmem() -> None:
    assert memmap.default_zones(PROFILE, 1024 * MIB) == {
        "DMA": 16 * MIB,
        "Normal": 880 * MIB,
        "HighMem": 128 * MIB,
    }
    assert memmap.default_zones(PROFILE, 8 * MIB) == {
        "DMA": 8 * MIB,
        "Normal": 0,
        "HighMem": 0,
    }
    assert memmap.default_zones(PROFILE, 64 * MIB, 16 * MIB) == DEFAULT


@pytest.mark.parametrize(
    ("zones", "says"),
    [
        ({"DMA": 16 * MIB, "Movable": MIB}, "Movable"),
        ({"DMA": 4095}, "4095"),
        ({"Normal": 16 * MIB}, "no DMA"),
        ({"DMA": 17 * MIB}, "17825792"),
        ({"DMA": 16 * MIB, "Normal": 1024 * MIB}, "direct-mapped"),
        ({"DMA": 4 * MIB, "HighMem": 1024 * MIB}, "mem_map"),
        ({"DMA": 2 * MIB, "HighMem": MIB}, "the kernel, which ends at 0x284f40"),
    ],
)
def test_impossible_layout_is_one_clear_error(zones: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        memmap.memory_map(PROFILE, zones)
