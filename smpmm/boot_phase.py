"""The boot phase: what runs before the page allocator has the memory.

The monitor is the only CPU. The kernel takes its tables from bootmem, then each function of
`Machine(boot=[…])` runs, as the drivers that are linked into a kernel do, and may take memory
that no allocator could give later: large, contiguous, for good. What is not ready yet cannot
be called.
"""

from __future__ import annotations

from typing import Any, Final

from cpus import event_cy, late, ship
from cpus.errors import KernelBug, MachineError
from smpmm import symbols
from smpmm.mm import bigphysarea, memmap, setup_arch
from smpmm.mm.setup_arch import Setup

KERN_WARNING: Final = 4
KERN_INFO: Final = 6
KERN_DEBUG: Final = 7

# What the functions returned, shipped; the machine's user gets it.
values: bytes = b""


def regions(config: Any) -> dict[str, int]:
    """Return the regions of the segment that this layer needs: none."""
    return {}


def attach(config: Any) -> None:
    """Nothing is shared."""


def init(config: Any) -> None:
    """Set bootmem up and run the functions of `boot=`; the monitor, as CPU 0."""
    global values
    memory = memmap.memory_map_of(config)
    profile = memmap.memory_profile(config)
    setup = memmap.set_up(profile, memory.zones)
    log_layout(config, memory, setup)
    setup.bootmem.log = lambda text: event_cy.log(text, KERN_WARNING)
    setup_arch.begin(setup)
    nr_own = len(setup.uses)
    bigphysarea.setup(config)
    results = []
    functions = config.option("boot") if hasattr(config, "option") else None
    if functions:
        late.settle()  # what the functions import may need the modules that wait
        symbols.set_boot_phase(True)
        try:
            results = [call(function) for function in ship.loads(functions)]
        finally:
            symbols.set_boot_phase(False)
    for use in setup.uses[nr_own:]:
        event_cy.log(f"bootmem: {use}", KERN_INFO)
    values = ship.dumps(results)


def log_layout(config: Any, memory: memmap.MemoryMap, setup: Setup) -> None:
    """Write what the machine's memory is, and who has what of it, to the log."""
    event_cy.log("BIOS-provided physical RAM map:", KERN_INFO)
    for start, end, name in memmap.e820(memory):
        event_cy.log(f" BIOS-e820: {start:016x} - {end:016x} ({name})", KERN_INFO)
    if config.installed_bytes > config.ram_bytes:
        event_cy.log(
            f"mem={config.ram_bytes >> 10}k: RAM from {config.ram_bytes:08x} to "
            f"{config.installed_bytes - 1:08x} is left alone",
            KERN_INFO,
        )
    event_cy.log(f"On node 0 totalpages: {memory.nr_pages}", KERN_DEBUG)
    for number, zone in enumerate(memory.zones):
        event_cy.log(f"zone({number}): {zone.end_pfn - zone.start_pfn} pages.", KERN_DEBUG)
    for use in setup.uses:
        event_cy.log(f"bootmem: {use}", KERN_DEBUG)


def call(function: Any) -> Any:
    """Run a boot function; the machine does not boot when it fails."""
    name = getattr(function, "__qualname__", repr(function))
    try:
        return function()
    except MachineError:
        raise
    except KernelBug as error:
        raise MachineError(f"boot function {name}: {error}") from error
