"""A machine's configuration: keyword arguments and a kernel command line, checked before boot.

Pure arithmetic on the user's side: a bad value, an impossible layout or a host without room is
one ConfigError that names it, before any process starts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cpus.errors import ConfigError, MachineError
from smpmm.mm import iomem, memmap
from smpmm.profile import Profile, profile_for

MAX_CPUS: Final = 64
MIB: Final = 1 << 20
DISK_BLOCK_BYTES: Final = 4096
DEFAULT_MEM: Final = 64 * MIB
DEFAULT_HIGHMEM: Final = 16 * MIB
UNITS: Final = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
# RAM up to here is reserved at boot; more is backed when it is first handed out.
RESERVED_BYTES: Final = 256 * MIB
MIN_CONTROL_BYTES: Final = 16 * MIB  # for the control area, in the judgement of a host's room


@dataclass(frozen=True)
class Config:
    """What a machine is made of. Sizes in bytes."""

    cpus: int
    ram_bytes: int
    zones: Mapping[str, int]
    kernel: str
    arch: str
    hz: int
    seed: int
    on_bug: str
    cmdline: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def profile(self) -> Profile:
        """The kernel version on its architecture, as data."""
        return profile_for(self.kernel, self.arch)

    @property
    def installed_bytes(self) -> int:
        """How much RAM is there: what lies above the kernel's, it leaves alone."""
        return self.options.get("ram") or self.ram_bytes

    @property
    def disk(self) -> str | None:
        """The host file behind /dev/hda; without one it is empty and ends with the machine."""
        return self.options.get("disk")

    def option(self, name: str, default: Any = None) -> Any:
        """Return a parsed option of the command line or the keywords, `default` without it."""
        return self.options.get(name, default)


def parse_bytes(name: str, value: Any) -> int:
    """Return a size: a number of bytes, or text with K, M or G behind it."""
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        match = re.fullmatch(r"\s*(\d+|0x[0-9a-fA-F]+)\s*([kKmMgGbB]?)[bB]?\s*", str(value))
        if match is None:
            raise ConfigError(
                f"{name}={value!r}: not a size; write 64M, 512K or a number of bytes"
            )
        size = int(match[1], 0) * UNITS[match[2].lower()]
    if size < 0:
        raise ConfigError(f"{name}={value!r}: a size cannot be negative")
    return size


def parse_int(name: str, value: Any, least: int = 0, most: int | None = None) -> int:
    """Return a whole number within [least, most]."""
    try:
        number = value if isinstance(value, int) else int(str(value), 0)
    except ValueError:
        number = None
    if number is None or isinstance(value, bool):
        raise ConfigError(f"{name}={value!r}: not a whole number")
    if number < least or (most is not None and number > most):
        bound = f"at least {least}" if most is None else f"{least} to {most}"
        raise ConfigError(f"{name}={value!r}: must be {bound}")
    return number


def parse_flag(name: str, value: Any) -> bool:
    """Return a switch; a word without a value turns it on."""
    if value in (True, 1, None, "", "1", "on", "y", "yes"):
        return True
    if value in (False, 0, "0", "off", "n", "no"):
        return False
    raise ConfigError(f"{name}={value!r}: write on or off")


# Attributes of fault injection: file → least and most value. Of one kind only: see below.
FAULT_LIMITS: Final = {
    "probability": (0, 100), "interval": (0, None), "times": (-1, None), "space": (0, None),
    "verbose": (0, None), "task-filter": (0, 1), "ignore-gfp-wait": (0, 1),
    "ignore-gfp-highmem": (0, 1), "min-order": (0, None), "cache-filter": (0, 1),
}  # fmt: skip
FAULT_OF_ONE: Final = {
    "cache-filter": "failslab",
    "ignore-gfp-highmem": "fail_page_alloc",
    "min-order": "fail_page_alloc",
}
FAULT_MOST: Final = (1 << 31) - 1


def parse_fault(name: str, value: Any) -> dict[str, int]:
    """Return attributes of a fault: of a mapping, or of the kernel's four numbers as text."""
    if not isinstance(value, Mapping):
        parts = list(value) if isinstance(value, (tuple, list)) else str(value).split(",")
        if len(parts) != 4:
            raise ConfigError(
                f"{name}={value!r}: write interval,probability,space,times, for example "
                "100,5,0,-1"
            )
        value = dict(zip(("interval", "probability", "space", "times"), parts, strict=True))
    found = {}
    for given, number in value.items():
        file = str(given).replace("_", "-")
        if file not in FAULT_LIMITS or FAULT_OF_ONE.get(file, name) != name:
            known = sorted(f for f in FAULT_LIMITS if FAULT_OF_ONE.get(f, name) == name)
            raise ConfigError(f"{name}: unknown attribute {given!r}; there are {known}")
        least, most = FAULT_LIMITS[file]
        if isinstance(number, bool):
            number = int(number)
        most = FAULT_MOST if most is None else most
        found[file] = parse_int(f"{name}/{file}", number, least, most)
    return found


SLABINFO_LAYOUTS: Final = ("1.1", "2.1")


def parse_slab_debug(name: str, value: Any) -> bool:
    """Return whether slabs are debugged: a switch, or the letters of later kernels, of which
    this one has all or none."""
    if isinstance(value, str) and re.fullmatch("[FZPUT]+", value):
        return True
    return parse_flag(name, value)


def parse_layout(name: str, value: Any) -> str:
    """Return the layout of /proc/slabinfo: the version's own, or 2.1, which tools read."""
    if str(value) not in SLABINFO_LAYOUTS:
        raise ConfigError(f"{name}={value!r}: there are {' and '.join(SLABINFO_LAYOUTS)}")
    return str(value)


def parse_disk(name: str, value: Any) -> str:
    """Return the whole path of a host file that can be a disk: at least one block of 4096."""
    path = os.path.abspath(os.fspath(value or ""))
    try:
        with open(path, "r+b") as file:
            size = file.seek(0, os.SEEK_END)
    except OSError as error:
        raise ConfigError(f"{name}={value!r}: {error.strerror}") from None
    if size < DISK_BLOCK_BYTES:
        raise ConfigError(
            f"{name}={value!r}: {size} bytes, less than a block of {DISK_BLOCK_BYTES}"
        )
    return path


# What a command line or a keyword may say, beside the machine's own parameters.
OPTIONS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "mem": parse_bytes,
    "ram": parse_bytes,
    "highmem": parse_bytes,
    "maxcpus": lambda name, value: parse_int(name, value, 1, MAX_CPUS),
    "disk": parse_disk,
    "failslab": parse_fault,
    "fail_page_alloc": parse_fault,
    "iomem": iomem.parse,
    "bigphysarea": lambda name, value: parse_int(name, value, 0),
    "slab_debug": parse_slab_debug,
    "slab_statistics": parse_flag,
    "slabinfo": parse_layout,
    "panic_on_oops": parse_flag,
    "hz": lambda name, value: parse_int(name, value, 10, 1000),
    "timer": parse_flag,
    "exact_hold_times": parse_flag,
}


def parse_cmdline(text: str) -> dict[str, Any]:
    """Return the options of a kernel command line; `module.parameter=value` stays text."""
    found: dict[str, Any] = {}
    if not isinstance(text, str):
        raise ConfigError(f"cmdline={text!r}: not a text")
    for word in text.split():
        name, equals, value = word.partition("=")
        if "." in name:
            found[name] = value
        elif name in OPTIONS:
            found[name] = OPTIONS[name](name, value if equals else None)
        else:
            raise ConfigError(
                f"cmdline: unknown option {name!r}; there are {', '.join(sorted(OPTIONS))}"
            )
    return found


def parse_zones(zones: Any) -> dict[str, int]:
    """Return zone sizes in bytes: {"DMA": "16M", …}."""
    if not isinstance(zones, Mapping):
        raise ConfigError(f'zones={zones!r}: write {{"DMA": "16M", "Normal": "32M"}}')
    return {str(name): parse_bytes(f"zones[{name!r}]", size) for name, size in zones.items()}


def zones_of(
    profile: Profile, mem: int | None, highmem: int | None, zones: Any
) -> dict[str, int]:
    """Divide RAM into zones as `mem`, `highmem` and `zones` ask for; all in bytes."""
    if zones is not None:
        sizes = parse_zones(zones)
        total = sum(sizes.values())
        if mem is not None and mem != total:
            raise ConfigError(f"mem={mem} and zones={zones!r}, which has {total} bytes")
        return sizes
    if mem is None:
        mem = DEFAULT_MEM
        if highmem is None and profile.memory.zone_names[-1] == memmap.HIGHMEM:
            highmem = DEFAULT_HIGHMEM
    page = 1 << profile.memory.page_shift
    if mem % page or (highmem or 0) % page:
        raise ConfigError(f"mem={mem}, highmem={highmem}: not whole pages of {page} bytes")
    if highmem is not None and highmem >= mem:
        raise ConfigError(
            f"highmem={highmem}: leaves nothing of mem={mem} for the other zones"
        )
    return memmap.default_zones(profile.memory, mem, highmem)


def parse_boot(boot: Any) -> bytes:
    """Return the functions of the boot phase, shipped; nothing when there are none."""
    # The monitor reads configurations too, and has no use for these.
    from cpus import ship
    from smpmm import frozen

    if callable(boot) or not isinstance(boot, Iterable):
        raise ConfigError(f"boot={boot!r}: not a list of functions")
    functions = list(boot)
    for function in functions:
        if not callable(function):
            raise ConfigError(f"boot: {function!r} is no function")
        frozen.warn_spawned(function)
    return ship.dumps(functions) if functions else b""


def make_config(
    cpus: Any = 4,
    mem: Any = None,
    kernel: str = "2.4",
    arch: str = "i386",
    cmdline: str = "",
    seed: int | None = None,
    on_bug: str = "raise",
    highmem: Any = None,
    zones: Any = None,
    boot: Any = (),
    **options: Any,
) -> Config:
    """Check everything that `Machine` was given and return the configuration."""
    parsed = parse_cmdline(cmdline)
    given = {"mem": mem, "highmem": highmem, **options}
    for name, value in given.items():
        if value is None:
            continue
        if name not in OPTIONS:
            raise ConfigError(
                f"Machine({name}=…): unknown option; there are {', '.join(sorted(OPTIONS))}"
            )
        parsed[name] = OPTIONS[name](name, value)
    if on_bug not in ("raise", "continue"):
        raise ConfigError(f"on_bug={on_bug!r}: 'raise' or 'continue'")
    try:
        profile = profile_for(str(kernel), arch)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    ram = parsed.get("ram")
    mem = parsed.get("mem", ram)
    sizes = zones_of(profile, mem, parsed.get("highmem"), zones)
    if ram is not None and ram < sum(sizes.values()):
        raise ConfigError(f"ram={ram}: less than the {sum(sizes.values())} bytes of mem")
    try:
        memmap.memory_map(profile.memory, sizes)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if functions := parse_boot(boot):
        parsed["boot"] = functions
    nr_cpus = min(parse_int("cpus", cpus, 1, MAX_CPUS), parsed.get("maxcpus", MAX_CPUS))
    if seed is None:
        seed = int.from_bytes(os.urandom(4), "little")
    config = Config(
        cpus=nr_cpus,
        ram_bytes=sum(sizes.values()),
        zones=sizes,
        kernel=profile.version,
        arch=arch,
        hz=parsed.get("hz", profile.hz),
        seed=parse_int("seed", seed, 0, (1 << 64) - 1),
        on_bug=on_bug,
        cmdline=cmdline,
        options=parsed,
    )
    iomem.io_regions(config)
    return config


def check_host(config: Config) -> None:
    """Raise when this host has no room for the machine's RAM and processes."""
    needed = min(config.ram_bytes, RESERVED_BYTES) + MIN_CONTROL_BYTES
    available = available_bytes()
    if needed > available:
        raise MachineError(
            f"mem={config.ram_bytes >> 20}M: the host has {available >> 20} MiB available, "
            f"{needed >> 20} MiB are needed at boot"
        )


def available_bytes() -> int:
    """Return how much memory the host can give, in bytes."""
    with open("/proc/meminfo") as file:
        for text in file:
            if text.startswith("MemAvailable:"):
                return int(text.split()[1]) << 10
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
