"""A small segment in this process, for unit tests of compiled modules: one CPU, alone."""

import mmap
import os
import traceback
import types

from cpus import callsite_cy, event_cy, host_cy, kill_cy, percpu_cy, segment_cy

KIND_CPU = 1
_keep: list[mmap.mmap] = []


def small_machine(
    *modules, ram_bytes: int = 4 << 20, cpus: int = 1, config=None, **options
) -> types.SimpleNamespace:
    """Make a segment over anonymous shared memory and be its CPU 0.

    `modules` are layer modules with `regions(config)`, `attach(config)` and perhaps
    `init(config)`, beside those that every machine has. Direct-mapped memory starts at
    0xc0000000. Children made by os.fork() share it. Returns the config.
    """
    config = config or types.SimpleNamespace(cpus=cpus, ram_bytes=ram_bytes, **options)
    layers = [percpu_cy, callsite_cy, event_cy, kill_cy, *modules]
    regions = {"window": 1 << 20}
    for layer in layers:
        regions.update(layer.regions(config))
    header_at, offsets, size = segment_cy.layout(ram_bytes, regions)
    memory = mmap.mmap(-1, size)
    _keep.append(memory)
    address = segment_cy.buffer_address(memory)
    segment_cy.format_header(address, ram_bytes, size, header_at, regions, offsets, cpus, 100)
    segment_cy.attach(address, header_at)
    segment_cy.set_windows(0xC0000000, ram_bytes, 0xFF000000, b"window")
    percpu_cy.attach(config)
    percpu_cy.take_slot(0, KIND_CPU, "cpu0", 0)
    percpu_cy.become(0, 0)
    for layer in layers[1:]:
        layer.attach(config)
    for layer in layers:
        if hasattr(layer, "init"):
            layer.init(config)
    return config


def in_child(function, *args, wait: bool = True, expect: int = 0) -> int:
    """Run `function(*args)` in a fork of this process, and end with it; returns its pid.

    With `wait`, the child must end with exit code 0, or by the signal `expect`.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            end_with(parent)
            function(*args)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    if wait:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -expect
    return pid


def end_with(parent: int) -> None:
    """Have this process killed when its parent ends: an interrupted test leaves nothing."""
    host_cy.die_with_parent()
    if os.getppid() != parent:
        os._exit(98)
