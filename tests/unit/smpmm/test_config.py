"""A bad option is one clear error, before any process starts."""

import pytest

from cpus.errors import ConfigError, MachineError
from smpmm import config
from smpmm.config import MIB, check_host, make_config, parse_cmdline

GOOD_SIZES = {"64M": 64 * MIB, "512k": 512 << 10, "4096": 4096, 4096: 4096, "0x10M": 16 * MIB}


def test_the_default_machine_has_the_zones_of_the_facts():
    made = make_config()
    assert made.cpus == 4
    assert made.zones == {"DMA": 16 * MIB, "Normal": 32 * MIB, "HighMem": 16 * MIB}
    assert made.ram_bytes == 64 * MIB
    assert (made.kernel, made.arch, made.hz) == ("2.4.5", "i386", 100)


def test_mem_alone_has_no_high_memory_below_896_mib():
    assert "HighMem" not in {n for n, size in make_config(mem="64M").zones.items() if size}


@pytest.mark.parametrize("text", GOOD_SIZES)
def test_sizes_have_units(text):
    assert config.parse_bytes("mem", text) == GOOD_SIZES[text]


@pytest.mark.parametrize(
    "options",
    [
        {"cpus": 0},
        {"cpus": 65},
        {"cpus": "many"},
        {"cpus": True},
        {"mem": "lots"},
        {"mem": "-1M"},
        {"mem": 1000},
        {"mem": "64M", "highmem": "64M"},
        {"mem": "64M", "zones": {"DMA": "16M"}},
        {"zones": [1, 2]},
        {"kernel": "9.9"},
        {"arch": "pdp11"},
        {"on_bug": "shrug"},
        {"seed": -1},
        {"failslab": "100,5"},
        {"failslab": "1,500,0,-1"},
        {"no_such_option": 1},
        {"cmdline": "no_such_option=1"},
        {"cmdline": "mem=lots"},
        {"cmdline": 5},
        {"slabinfo": "3.0"},
        {"cmdline": "slab_statistics=perhaps"},
    ],
    ids=str,
)
def test_a_bad_option_is_a_config_error_that_names_it(options):
    with pytest.raises(ConfigError) as caught:
        make_config(**options)
    assert isinstance(caught.value, ValueError)
    name = next(iter(options))
    assert name in str(caught.value) or str(options[name]).partition("=")[0] in str(
        caught.value
    )


def test_a_keyword_wins_over_the_command_line():
    made = make_config(mem="32M", cmdline="mem=64M maxcpus=2 failslab=100,5,0,-1 scull.x=7")
    assert made.ram_bytes == 32 * MIB
    assert made.cpus == 2
    assert made.option("failslab")["times"] == -1
    assert made.option("scull.x") == "7"
    assert made.option("nothing", 3) == 3


def test_words_of_a_command_line_without_value_are_switches():
    assert parse_cmdline("slab_statistics panic_on_oops=off") == {
        "slab_statistics": True,
        "panic_on_oops": False,
    }


def test_a_host_without_room_is_told_before_any_process_starts(monkeypatch):
    monkeypatch.setattr(config, "available_bytes", lambda: 20 * MIB)
    with pytest.raises(MachineError, match="the host has 20 MiB available"):
        check_host(make_config())
