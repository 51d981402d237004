"""The boot of a machine: what the monitor does before its first fork.

The user's program starts a fresh interpreter with `main`. It makes the segment, lays out the
regions of every layer, maps it at the machine's address, initialises the layers as CPU 0, and
forks.
"""

import gc
import importlib
import os
import pickle
import socket
import sys
import traceback
from types import ModuleType
from typing import Any, Final

import posix_ipc

from cpus import (
    channel,
    event_cy,
    host_cy,
    late,
    late_site,
    monitor,
    percpu_cy,
    relay,
    sched,
    segment_cy,
    task_cy,
    worker,
)
from cpus.errors import MachineError
from smpmm import boot_phase, scratch
from smpmm.config import RESERVED_BYTES, Config
from smpmm.mm import window_cy

SEGMENT_BASE: Final = 0x2000_0000_0000
SEGMENT_STRIDE: Final = 64 << 30  # one machine's slot of the address range
NR_SEGMENT_SLOTS: Final = 256

# Dotted names of the layers, in the order in which they are attached and initialised. Each has
# `regions(config) -> {name: bytes}`, `attach(config)`, and perhaps `init(config)`;
# `on_start(monitor, config)`, if it has one, is called when the CPUs run. `SPARSE_REGIONS`
# names regions that are full of holes: the layer itself backs what it uses, by
# `host_cy.segment_reserve`.
LAYERS: Final = (
    "cpus.percpu_cy",
    "cpus.callsite_cy",
    "cpus.event_cy",
    "cpus.kill_cy",
    "cpus.spinlock_cy",
    "cpus.task_cy",
    "cpus.runqueue_cy",
    "cpus.service_cy",
    "cpus.waitqueue_cy",
    "smpmm.boot_phase",
    "smpmm.mm.page_alloc_cy",
    "smpmm.mm.highmem_cy",
    "cpus.choice_cy",
    "smpmm.mm.cache_cy",
    "smpmm.mm.vmalloc_cy",
    "smpmm.mm.iomem_cy",
    "smpmm.mm.ioremap_cy",
    "smpmm.fault_cy",
    "smpmm.mm.disk_cy",
    "smpmm.mm.buffer_cy",
    "smpmm.mm.reclaim",
    "interrupts.irq_cy",
    "interrupts.softirq_cy",
    "interrupts.tasklet_cy",
    "interrupts.timer_cy",
    "interrupts.tqueue_cy",
    "interrupts.setup",
    "smpmm.promise_cy",
    "smpmm.driver_side",
)
# Imported before the forks so that the CPUs share them; nothing is called.
SHARED_MODULES: Final = (
    "cpus.asleep",
    "cpus.recovery",
    "cpus.outside",
    "cpus.sysrq",
    "smpmm.kernel",
    "smpmm.files",
)


def make_segment(size: int, reserved: tuple[tuple[int, int], ...]) -> tuple[int, str]:
    """Make an unlinked segment of `size` bytes; returns its descriptor and what it is.

    The `reserved` ranges (offset, bytes) have host memory afterwards, or OSError is raised:
    the host would end us by SIGBUS later.
    """
    try:
        shared = posix_ipc.SharedMemory(None, posix_ipc.O_CREX, size=0)
        shared.unlink()
        fd, what = shared.fd, "/dev/shm"
        reserve(fd, size, reserved)
    except (OSError, posix_ipc.Error):
        fd, what = os.memfd_create("smpmm", os.MFD_CLOEXEC), "a memfd"
        reserve(fd, size, reserved)
    return fd, what


def reserve(fd: int, size: int, ranges: tuple[tuple[int, int], ...]) -> None:
    """Give a descriptor its size, and host memory to `ranges`."""
    os.ftruncate(fd, size)
    for offset, length in ranges:
        os.posix_fallocate(fd, offset, length)


def map_segment(fd: int, size: int) -> int:
    """Map the segment into a free slot of the machines' address range; returns the address."""
    for slot in range(NR_SEGMENT_SLOTS):
        address = SEGMENT_BASE + slot * SEGMENT_STRIDE
        try:
            host_cy.map_at(address, size, fd)
            return address
        except FileExistsError:
            continue
    raise MachineError(f"all {NR_SEGMENT_SLOTS} places for a machine are taken")


def layers() -> list[ModuleType]:
    """Import every layer, in order."""
    return [importlib.import_module(name) for name in LAYERS]


def boot(config: Config) -> tuple[int, dict[str, Any]]:
    """Make the machine's memory and initialise its layers in this process, as CPU 0."""
    modules = layers()
    regions: dict[str, int] = {}
    for module in modules:
        regions.update(module.regions(config))
    sparse = [name for module in modules for name in getattr(module, "SPARSE_REGIONS", ())]
    # Holes last: what is reserved at boot is one range.
    regions = {name: regions[name] for name in sorted(regions, key=sparse.__contains__)}
    header_at, offsets, size = segment_cy.layout(config.installed_bytes, regions)
    end = min([offsets[name] for name in sparse], default=size)
    # What RAM there is above the kernel's gets host memory when it is mapped.
    low = ((0, config.ram_bytes),) if config.ram_bytes <= RESERVED_BYTES else ()
    fd, what = make_segment(size, (*low, (header_at, end - header_at)))
    address = map_segment(fd, size)
    host_cy.keep_segment(fd)
    segment_cy.format_header(
        address, config.ram_bytes, size, header_at, regions, offsets, config.cpus, config.hz
    )
    segment_cy.attach(address, header_at)
    segment_cy.set_header(config.on_bug == "continue", config.seed)
    # The monitor is CPU 0 until that CPU's own process exists.
    percpu_cy.attach(config)
    percpu_cy.take_slot(0, monitor.KIND_CPU, "boot", 0)
    percpu_cy.become(0, os.getpid())
    # Before those of the layers: what a dead task had is told by its absence.
    monitor.register_recovery("cpus.recovery:tasks")
    for module in modules:
        module.attach(config)
    percpu_cy.set_semaphores([make_semaphore() for _ in range(config.cpus)])
    event_cy.log(f"Linux version {config.kernel} (smpmm), {config.cpus} CPUs, {what}", 6)
    for borrowed in config.profile.borrowed:
        event_cy.log(f"smpmm: kernel {config.kernel}: {borrowed}", 5)
    for module in modules:
        if hasattr(module, "init"):
            module.init(config)
    task_cy.set_handles(window_cy.window_alloc(task_cy.handles_bytes()))
    sched.begin_services()
    percpu_cy.set_cpu_state(0, monitor.CPU_OFFLINE)
    percpu_cy.take_slot(0, monitor.KIND_MONITOR, "monitor", 0)
    percpu_cy.become(0, os.getpid())
    layout = {"address": address, "size": size, "header_at": header_at, "regions": offsets}
    return fd, layout


def make_semaphore() -> posix_ipc.Semaphore:
    """Make the semaphore that a halted CPU waits on; it has no name any more."""
    semaphore = posix_ipc.Semaphore(None, posix_ipc.O_CREX, initial_value=0)
    semaphore.unlink()
    return semaphore


def run_directory() -> str:
    """Make the directory of the machine's socket, for this user only."""
    parent = os.environ.get("XDG_RUNTIME_DIR")
    if not parent or not os.access(parent, os.W_OK):
        parent = None
    return scratch.make_directory("smpmm-", parent)


def main(control_fd: int, user_pid: int, hooked: dict[str, str]) -> None:
    """Be the monitor of a machine: the whole life of its process.

    `hooked` are modules of the user's program that are not on the path: name → file.
    """
    late_site.hooked.update(hooked)
    monitor.silence()
    host_cy.set_name("smpmm/monitor")
    control = socket.socket(fileno=control_fd)
    if os.getppid() != user_pid:
        return
    try:
        machine = start(control, user_pid)
    except BaseException as error:
        text = failure_text(error).encode()
        control.setblocking(True)
        try:
            control.sendall(channel.frame(channel.pack(channel.FAILED, text)))
        except (BrokenPipeError, ConnectionResetError):
            pass  # the program has ended meanwhile, which may be what the boot failed by
        return
    machine.run()


def failure_text(error: BaseException) -> str:
    """Return why a boot failed: of what is no fault of the host's also where."""
    text = "".join(traceback.format_exception_only(error)).strip()
    if not isinstance(error, (MachineError, OSError, MemoryError)):
        text += "\n" + "".join(traceback.format_exception(error))
    return text


def start(control: socket.socket, user_pid: int) -> monitor.Monitor:
    """Boot from the configuration that the user's program sends; the CPUs run on return."""
    config = read_config(control)
    fd, layout = boot(config)
    for name in SHARED_MODULES:
        importlib.import_module(name)
    late.settle()
    machine = monitor.Monitor(config.cpus, user_pid)
    switchboard = relay.Relay(machine, control, run_directory())
    try:
        switchboard.listen()
        switchboard.segment_fd = fd
        late_site.install()
        monitor.register_child_main("cpu", sched.cpu_main)
        worker.prepare()
        host_cy.map_copy(layout["address"], layout["size"], fd)
        sched.rehearse()
        host_cy.map_shared(layout["address"], layout["size"], fd)
        gc.freeze()  # the collector would write to pages that the processes share
        gc.collect()  # what is left to free: lists of free tuples, spread over those pages
        host_cy.trim_heap()
        gc.enable()
        each = [(f"cpu{cpu}", cpu, (cpu,)) for cpu in range(config.cpus)]
        machine.fork_all("cpu", monitor.KIND_CPU, each)
        for module in layers():
            if hasattr(module, "on_start"):
                module.on_start(machine, config)
    except BaseException as error:
        machine.end(failure_text(error))
        machine.power_off()
        raise
    switchboard.greet(layout, config, boot_values=boot_phase.values, segment_fd=fd)
    return machine


def read_config(control: socket.socket) -> Config:
    """Read the first message: the configuration."""
    data = bytearray()
    while (bounds := channel.frame_bounds(data)) is None:
        chunk = control.recv(1 << 16)
        if not chunk:
            sys.exit(0)
        data += chunk
    message = channel.unpack(bytes(data[bounds[0] : bounds[1]]))
    return pickle.loads(message.payload)
