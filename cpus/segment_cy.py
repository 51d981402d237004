"""The shared segment of one machine: its map, its clock, its address windows.

The segment is mapped at one address in every process of the machine, so that a native pointer
is valid everywhere. RAM lies at offset 0, the control area (header, regions) behind it. A
kernel address is seen through one of two windows of constant offset, direct-mapped memory and
the handle window, or through the hook that the memory management registers.

Everything here is set once, by the monitor, before it forks; the children inherit it.
"""

import cython
from cython.cimports.cpus.atomic import clock_ns, clock_ticks
from cython.cimports.cpython.buffer import (
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cython.cimports.libc.string import memset, strcmp, strncpy

SEGMENT_MAGIC = 0x736D706D6D303031
PAGE = 4096


def layout(ram_size: int, regions: dict) -> tuple:
    """Place `regions` (name → bytes) behind `ram_size` bytes of RAM, each on a host page.

    Returns (offset of the header, {name: offset}, size of the segment), in bytes.
    """
    header_at = (ram_size + PAGE - 1) // PAGE * PAGE
    at = header_at + (cython.sizeof(segment_header) + PAGE - 1) // PAGE * PAGE
    offsets = {}
    for name, size in regions.items():
        offsets[name] = at
        at += (size + PAGE - 1) // PAGE * PAGE
    return header_at, offsets, at


def format_header(
    address: cython.ulonglong,
    ram_size: cython.ulonglong,
    size: cython.ulonglong,
    header_at: cython.ulonglong,
    regions: dict,
    offsets: dict,
    nr_cpus: cython.ulonglong,
    hz: cython.ulonglong,
) -> None:
    """Write the header of a fresh segment at `address`, and calibrate its clock (1 ms)."""
    h: cython.pointer[segment_header] = cython.cast(
        cython.pointer[segment_header], address + header_at
    )
    if len(regions) > NR_REGIONS:
        raise ValueError(f"{len(regions)} regions, at most {NR_REGIONS}")
    memset(h, 0, cython.sizeof(segment_header))
    h.size = size
    h.ram_size = ram_size
    h.nr_cpus = nr_cpus
    h.hz = hz
    i: cython.int = 0
    for name, length in regions.items():
        encoded: bytes = name.encode()
        strncpy(h.regions[i].name, encoded, 23)
        h.regions[i].offset = offsets[name]
        h.regions[i].size = length
        i += 1
    h.nr_regions = len(regions)
    calibrate(h)
    h.magic = SEGMENT_MAGIC


def calibrate(h):
    """Set the clock of a header: two readings of both clocks, CALIBRATE_NS apart.

    Wherever the host takes the processor away, a reading stays true (the tightest of several
    is taken), and the time between the two only grows.
    """
    ticks: u64
    ns: u64
    read_clocks(cython.address(h.boot_ticks), cython.address(h.boot_ns))
    while clock_ns() - h.boot_ns < CALIBRATE_NS:
        pass
    read_clocks(cython.address(ticks), cython.address(ns))
    # In double precision: a long absence of the processor would overflow 32.32.
    h.ns_per_tick = cython.cast(
        u64,
        cython.cast(cython.double, ns - h.boot_ns)
        / cython.cast(cython.double, ticks - h.boot_ticks)
        * 4294967296.0,
    )


def read_clocks(ticks, ns):
    """Read both clocks at one moment: of several readings the one that took least ticks."""
    best: u64 = ~cython.cast(u64, 0)
    before: u64
    after: u64
    at: u64
    _turn: cython.int
    for _turn in range(READINGS):
        before = clock_ticks()
        at = clock_ns()
        after = clock_ticks()
        if after - before < best:
            best = after - before
            ticks[0] = before + best // 2
            ns[0] = at


def attach(address: cython.ulonglong, header_at: cython.ulonglong) -> None:
    """Make the segment mapped at `address` this process's machine."""
    global header, ram
    header = cython.cast(cython.pointer[segment_header], address + header_at)
    if header.magic != SEGMENT_MAGIC:
        raise ValueError(f"no smpmm segment at {address:#x}: magic {header.magic:#x}")
    ram = cython.cast(cython.pointer[u8], address)


def set_windows(
    direct: cython.ulonglong,
    direct_size: cython.ulonglong,
    handles: cython.ulonglong,
    region: bytes,
) -> None:
    """Map RAM from `direct` on, and the region named `region` from `handles` on."""
    global direct_start, direct_end, window_start, window_end, window
    direct_start = direct
    direct_end = direct + direct_size
    window = cython.cast(cython.pointer[u8], region_at(region))
    window_start = handles
    window_end = handles + region_size(region)


def region_at(name):
    i: cython.int
    for i in range(cython.cast(cython.int, header.nr_regions)):
        if strcmp(header.regions[i].name, name) == 0:
            return cython.cast(
                cython.pointer[cython.void],
                cython.cast(cython.ulonglong, ram) + header.regions[i].offset,
            )
    raise KeyError(name.decode())


def region_size(name):
    i: cython.int
    for i in range(cython.cast(cython.int, header.nr_regions)):
        if strcmp(header.regions[i].name, name) == 0:
            return header.regions[i].size
    return 0


def region_address(name: str) -> int:
    """Return the native address of a region."""
    return cython.cast(cython.ulonglong, region_at(name.encode()))


def native(address, len):
    # Differences, not sums: address + len of a wild pointer wraps around to a small number.
    offset: u64 = address - direct_start
    size: u64 = direct_end - direct_start
    if offset < size and len <= size - offset:
        return ram + offset
    offset = address - window_start
    size = window_end - window_start
    if offset < size and len <= size - offset:
        return window + offset
    if translate_further != cython.NULL:
        return translate_further(address, len)
    return cython.NULL


def kernel_address(pointer):
    p: cython.pointer[u8] = cython.cast(cython.pointer[u8], pointer)
    if ram <= p and p < ram + (direct_end - direct_start):
        return direct_start + cython.cast(u64, p - ram)
    if window <= p and p < window + (window_end - window_start):
        return window_start + cython.cast(u64, p - window)
    return 0


def ticks_to_ns(ticks):
    # Split: 64-bit ticks times a 32.32 factor would overflow after four seconds.
    low: u64 = cython.cast(u32, ticks)
    factor_low: u64 = cython.cast(u32, header.ns_per_tick)
    return (
        (ticks >> 32) * header.ns_per_tick
        + ((low * factor_low) >> 32)
        + low * (header.ns_per_tick >> 32)
    )


def machine_ns():
    return clock_ns() - header.boot_ns


def buffer_address(buffer: object) -> int:
    """Return the native address of a writable buffer."""
    view: Py_buffer
    PyObject_GetBuffer(buffer, cython.address(view), PyBUF_WRITABLE)
    address: cython.ulonglong = cython.cast(cython.ulonglong, view.buf)
    PyBuffer_Release(cython.address(view))
    return address


def native_address(address: cython.ulonglong, length: cython.ulonglong = 1) -> int:
    """Return where a kernel address lies in this process, 0 when nothing is mapped there."""
    return cython.cast(cython.ulonglong, native(address, length))


def native_word32(at: cython.ulonglong) -> int:
    """Return the 32-bit word at a native address, for reports."""
    return cython.cast(cython.pointer[u32], at)[0]


def kernel_address_of(at: cython.ulonglong) -> int:
    """Return the kernel address of a native one, 0 when it is in no window."""
    return kernel_address(cython.cast(cython.p_void, at))


def nr_cpus() -> int:
    """Return how many processors this machine has."""
    return header.nr_cpus


def uptime_ns() -> int:
    """Return the ns since boot."""
    return machine_ns()


def nanoseconds(ticks: cython.ulonglong) -> int:
    """Convert a difference of clock ticks to ns."""
    return ticks_to_ns(ticks)


def set_header(on_bug: cython.ulonglong, seed: cython.ulonglong) -> None:
    """Store what every process reads: `on_bug` (0 raise, 1 continue) and the seed."""
    header.on_bug = on_bug
    header.seed = seed


def on_bug_continue() -> bool:
    """Return whether a breach does what Linux does instead of raising."""
    return header.on_bug != 0


def seed() -> int:
    """Return the machine's seed."""
    return header.seed


def power_off() -> None:
    """Tell every process that the machine ends."""
    header.powered_off = 1


def powered_off() -> bool:
    """Return whether the machine ends."""
    return header.powered_off != 0
