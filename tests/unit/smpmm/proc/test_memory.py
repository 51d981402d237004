"""/proc/meminfo, buddyinfo and iomem have the columns of Linux."""

import re

import pytest

from cpus import spinlock_cy
from smpmm.mm import page_alloc_cy, zone_cy
from smpmm.proc import memory
from smpmm.profile import MIB
from tests.support import small_machine

IOMEM = """\
00000000-0009fbff : System RAM
0009fc00-0009ffff : reserved
000a0000-000bffff : Video RAM area
000c0000-000c7fff : Video ROM
000f0000-000fffff : System ROM
00100000-01ffffff : System RAM
  00100000-0022c4a7 : Kernel code
  0022c4a8-00284f3f : Kernel data
"""


@pytest.fixture
def machine():
    zones = {"DMA": 16 * MIB, "Normal": 8 * MIB, "HighMem": 8 * MIB}
    return small_machine(spinlock_cy, page_alloc_cy, ram_bytes=32 * MIB, zones=zones)


def test_meminfo_has_the_lines_of_2_4_5(machine) -> None:
    lines = memory.meminfo().splitlines()
    assert lines[0] == "        total:    used:    free:  shared: buffers:  cached:"
    names = [text.split(":")[0] for text in lines[3:]]
    assert (
        names
        == (
            "MemTotal MemFree MemShared Buffers Cached Active Inact_dirty Inact_clean "
            "Inact_target HighTotal HighFree LowTotal LowFree SwapTotal SwapFree"
        ).split()
    )
    assert all(re.fullmatch(r"\w+: +\d+ kB", text) and len(text) == 25 for text in lines[3:])
    assert lines[12] == "HighTotal:        8192 kB"
    total = sum(zone_cy.zone_info(zone)["present_pages"] for zone in range(3))
    assert int(lines[1].split()[1]) == total * 4096


def test_buddyinfo_has_a_column_for_each_of_ten_orders(machine) -> None:
    lines = memory.buddyinfo().splitlines()
    assert lines[2] == "Node 0, zone  HighMem " + "     0 " * 9 + "     4 "
    assert [text.split()[3] for text in lines] == ["DMA", "Normal", "HighMem"]


def test_iomem_shows_the_areas_of_a_pc(machine) -> None:
    assert memory.iomem() == IOMEM
