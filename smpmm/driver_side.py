"""The layer that drivers stand on: kernel text, modules, devices, open files, /proc.

Wires the tables of the segment, and tells the layers below what only this one knows: how a
function gets an address in the kernel's text, and how an address becomes a function.
"""

from __future__ import annotations

from typing import Any

from cpus import event_cy, monitor, relay, sched
from interrupts import callbacks
from smpmm import (
    fault_log_cy,
    file_calls,
    module,
    namespace,
    registry_cy,
    static,
    symbols,
    text,
    text_cy,
)
from smpmm.mm import cache_cy, slab_grow_cy
from smpmm.proc import registry

TABLES = (text_cy, registry_cy)


def regions(config: Any) -> dict[str, int]:
    """Return the regions of the segment that this layer needs, name → bytes."""
    return {name: size for table in TABLES for name, size in table.regions(config).items()}


def attach(config: Any) -> None:
    """Find the regions, make this process part of a machine, register hooks."""
    symbols.enter_machine(getattr(config, "kernel", "2.4.5"), config)
    for table in TABLES:
        table.attach(config)
    callbacks.register_text(text.load, text.register)
    slab_grow_cy.register_text(text.call)
    cache_cy.register_text_address(text.register)
    namespace.set_find_hook(module.find)
    text.set_refresh_hook(module.refresh)

    sched.task_end_hooks.append(task_ended)
    monitor.register_recovery("smpmm.file_calls:recover")
    monitor.register_client_exit("smpmm.file_calls:client_exit")
    monitor.register_recovery("smpmm.mm.owners:recover")
    relay.register_query("dmesg", lambda relay, args: event_cy.dmesg())
    relay.register_query("proc", lambda relay, name: registry.read_outside(name))


def init(config: Any) -> None:
    """Format the regions of a fresh segment; bind every name before the CPUs are forked."""
    for table in TABLES:
        table.init(config)
    namespace.kernel_globals()


def task_ended(at: int) -> None:
    """Give back what the task that ends left open or had as static data: in its greenlet."""
    file_calls.task_exit()
    static.task_exit()
    fault_log_cy.end_task(at, sched.ending(at).encode())
