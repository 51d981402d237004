"""What the tasks of `smpmm stress` do, inside the machine.

    copy_files   writes real files into a device, reads them back, compares digests
    write_shared the same on one device for all CPUs, each in its own range: its semaphore is
                 fought over
    churn        allocates objects, pages and cache objects of mixed sizes and hands them to
                 another CPU, which frees them
    read_records reads what the interrupt handler of `short` has made
    follow       writes the events of one CPU to a file

Everything that two tasks share lies in the machine's RAM: `Control` and what hangs on it. A
task looks at `Control.stop` between two steps, ends by itself, and returns what it counted.
"""

import errno
import hashlib
import json
import random
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import smpmm
from cpus import callsite_cy, event_cy, segment_cy
from smpmm.kernel import *

CHUNK_BYTES: Final = 64 << 10  # per call of the file object
CACHE_SIZES: Final = (48, 200, 1500)  # bytes, of the caches of our own
MOST_RETRIES: Final = 2000  # of one call for lack of memory
SHORT_TEXT_BYTES: Final = 16

# What a parcel is: how it was allocated says how it is freed.
KMALLOC: Final = 0
CACHE: Final = 1
PAGES: Final = 2
HIGH_PAGE: Final = 3
MARK: Final = struct.Struct("<IIQI")  # kind, argument, payload (a page), number


class Exchange(KStruct):
    """Parcels on their way to one CPU."""

    lock: spinlock_t
    parcels: list_head  # guarded by lock
    nr_parcels: u32  # guarded by lock


class Control(KStruct):
    """What the tasks of a run share."""

    stop: u32
    nr_cpus: u32
    exchanges: ptr  # of each CPU
    caches: ptr * 3
    progress: ptr  # a u64 for each task: bytes copied, or parcels sent


class Parcel(KStruct):
    """The head of an allocation that is handed over; MARK follows."""

    link: list_head


class Refused(Exception):
    """The machine had no memory for a call however often it was repeated."""


def set_up(nr_cpus: int, nr_tasks: int) -> int:
    """Make what the tasks share; returns its address."""
    control = Control.at(zeroed(sizeof(Control)))
    control.nr_cpus = nr_cpus
    control.exchanges = zeroed(nr_cpus * sizeof(Exchange))
    for cpu in range(nr_cpus):
        exchange = exchange_of(control, cpu)
        spin_lock_init(exchange.lock)
        INIT_LIST_HEAD(exchange.parcels)
    for n, size in enumerate(CACHE_SIZES):
        cache = kmem_cache_create(f"stress-{size}", size, 0, SLAB_HWCACHE_ALIGN, None, None)
        control.caches[n] = int(cache)
    control.progress = zeroed(nr_tasks * 8)
    return int(control)


def zeroed(size: int) -> int:
    address = kmalloc(size, GFP_KERNEL)
    if not address:
        raise Refused(f"no memory for {size} bytes of the stress itself")
    memset(address, 0, size)
    return address


def exchange_of(control: Any, cpu: int) -> Any:
    return Exchange.at(control.exchanges + cpu * sizeof(Exchange))


def stop(address: int) -> None:
    """Have every task end."""
    Control.at(address).stop = 1


def progress(address: int, nr_tasks: int) -> list[int]:
    """Return how far each task is."""
    words = u64.at(Control.at(address).progress)
    return [words[n] for n in range(nr_tasks)]


def tear_down(address: int) -> list[str]:
    """Free what `set_up` made and what is still on its way; returns what went wrong."""
    control = Control.at(address)
    errors = []
    for cpu in range(control.nr_cpus):
        while (parcel := take_parcel(exchange_of(control, cpu))) is not None:
            errors += check_and_free(control, parcel)
    for n, size in enumerate(CACHE_SIZES):
        if kmem_cache_destroy(control.caches[n]):
            errors.append(f"cache stress-{size} still has objects after all were freed")
    kfree(control.progress)
    kfree(control.exchanges)
    kfree(control)
    return errors


def injected() -> int:
    """Return how many injected failures this task got so far."""
    return current().nr_faults


class Calls:
    """Makes the driver calls of a task; keeps what became of those that met an injected fault.

    `faulted` has a tuple for each: begin, end (ns since boot), what was called, its ending.
    """

    def __init__(self) -> None:
        self.nr_calls = 0
        self.nr_retries = 0
        self.faulted: list[tuple[int, int, str, str]] = []

    def call(self, what: str, function: Callable, *args: Any, whole: int | None = None) -> Any:
        """Call, and call again while there is no memory; returns what the call returned.

        A write may do less than `whole`: that is an ending of its own.
        """
        for attempt in range(MOST_RETRIES):
            before, began = injected(), segment_cy.uptime_ns()
            ending = "done all the same"
            self.nr_calls += 1
            try:
                result = function(*args)
                if whole is not None and result != whole:
                    ending = "short, the rest written again"
                return result
            except OSError as error:
                ending = f"{errno.errorcode.get(error.errno or 0, error.errno)}, repeated"
                if error.errno != errno.ENOMEM:
                    raise
            finally:
                if injected() != before:
                    self.faulted.append((began, segment_cy.uptime_ns(), what, ending))
            self.nr_retries += 1
            if attempt:
                wait_a_tick()
        raise Refused(f"{what}: ENOMEM {MOST_RETRIES} times in a row")

    def counts(self) -> dict[str, Any]:
        return {"calls": self.nr_calls, "retries": self.nr_retries, "faulted": self.faulted}


def wait_a_tick() -> None:
    set_current_state(TASK_INTERRUPTIBLE)
    schedule_timeout(1)


def write_all(calls: Calls, device: Any, name: str, data: bytes) -> None:
    """Write `data` in chunks; what a call leaves is written by the next."""
    position = 0
    while position < len(data):
        chunk = data[position : position + CHUNK_BYTES]
        position += calls.call(f"{name} write", device.write_whole, chunk, whole=len(chunk))


def read_digest(calls: Calls, device: Any, name: str, length: int) -> str:
    """Read `length` bytes and return their digest."""
    digest = hashlib.blake2b(digest_size=16)
    left = length
    while left:
        part = calls.call(f"{name} read", device.read_whole, min(left, CHUNK_BYTES))
        if not part:
            break
        digest.update(part)
        left -= len(part)
    return digest.hexdigest()


def copy_files(
    address: int, number: int, path: str, files: tuple[str, ...], seed: int
) -> dict[str, Any]:
    """Copy files through the device at `path`, this task's alone, until told to stop."""
    control = Control.at(address)
    done = u64.at(control.progress)
    calls, mismatches = Calls(), []
    nr_files = nr_bytes = 0
    for source in endless(files, seed):
        if control.stop:
            break
        with open(source, "rb") as file:
            data = file.read()
        if copy_one(calls, path, data) != digest_of(data):
            mismatches.append(source)
        nr_files += 1
        nr_bytes += len(data)
        done[number] = nr_bytes
    return {
        "kind": "copy", "device": path, "cpu": smp_processor_id(), "pid": current().pid,
        "files": nr_files, "bytes": nr_bytes, "mismatches": mismatches, **calls.counts(),
    }  # fmt: skip


def endless(files: tuple[str, ...], seed: int) -> Iterator[str]:
    """Yield the files in an order of the seed, again and again."""
    order = list(files)
    random.Random(seed).shuffle(order)
    while True:
        yield from order


def digest_of(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def copy_one(calls: Calls, path: str, data: bytes) -> str:
    """Write `data` into the device and return the digest of what it gives back."""
    name = path.removeprefix("/dev/").rstrip("0123456789")
    with calls.call(f"{name} open", smpmm.open, path, "wb", 0) as device:
        write_all(calls, device, name, data)
    with calls.call(f"{name} open", smpmm.open, path, "rb", 0) as device:
        return read_digest(calls, device, name, len(data))


def write_shared(
    address: int, number: int, path: str, offset: int, length: int, seed: int
) -> dict[str, Any]:
    """Write and read bytes at `offset` of a device that other CPUs use as well."""
    control = Control.at(address)
    done = u64.at(control.progress)
    calls, mismatches = Calls(), []
    name = path.removeprefix("/dev/").rstrip("0123456789")
    chance = random.Random(seed)
    nr_rounds = nr_bytes = 0
    with calls.call(f"{name} open", smpmm.open, path, "r+b", 0) as device:
        while not control.stop:
            data = chance.randbytes(length)
            calls.call(f"{name} seek", device.seek, offset)
            write_all(calls, device, name, data)
            calls.call(f"{name} seek", device.seek, offset)
            if read_digest(calls, device, name, length) != digest_of(data):
                mismatches.append(f"{path} at {offset:#x}, round {nr_rounds}")
            nr_rounds += 1
            nr_bytes += length
            done[number] = nr_bytes
    return {
        "kind": "shared", "device": path, "cpu": smp_processor_id(), "pid": current().pid,
        "files": nr_rounds, "bytes": nr_bytes, "mismatches": mismatches, **calls.counts(),
    }  # fmt: skip


# The churn


def churn(address: int, number: int, limit: int, seed: int) -> dict[str, Any]:
    """Send parcels to the next CPU and free those that arrive, until told to stop.

    `limit` is how many may be waiting at a CPU; above it this task frees first.
    """
    control = Control.at(address)
    done = u64.at(control.progress)
    chance = random.Random(seed)
    cpu = smp_processor_id()
    own = exchange_of(control, cpu)
    target = exchange_of(control, (cpu + 1) % control.nr_cpus)
    counts: Counter[str] = Counter()
    errors: list[str] = []
    while not control.stop:
        for _ in range(32):
            parcel = make_parcel(control, chance, counts) if target.nr_parcels < limit else 0
            if parcel:
                send_parcel(target, parcel)
            if chance.random() < own.nr_parcels / limit:
                arrived = take_parcel(own)
                if arrived is not None:
                    counts["freed"] += 1
                    errors += check_and_free(control, arrived)
        done[number] = counts["sent"]
    return {
        "kind": "churn", "cpu": cpu, "pid": current().pid, "counts": dict(counts),
        "faults": injected(), "errors": errors[:20],
    }  # fmt: skip


def make_parcel(control: Any, chance: random.Random, counts: Counter[str]) -> int:
    """Allocate something of a mixed size; returns its address, 0 without memory."""
    flags = GFP_KERNEL if chance.random() < 0.8 else GFP_ATOMIC
    kind = chance.choices((KMALLOC, CACHE, PAGES, HIGH_PAGE), (12, 5, 2, 1))[0]
    payload = 0
    if kind == KMALLOC:
        argument = min(int(chance.paretovariate(0.7) * 48), 32768)
        address = kmalloc(argument, flags)
    elif kind == CACHE:
        argument = chance.randrange(len(CACHE_SIZES))
        address = kmem_cache_alloc(control.caches[argument], flags)
    elif kind == PAGES:
        argument = chance.choice((0, 0, 0, 1, 2, 3))
        address = __get_free_pages(flags, argument)
    else:
        argument = 64
        address, payload = make_high_page(argument, flags)
    counts["tried"] += 1
    if not address:
        counts["refused"] += 1
        return 0
    counts["sent"] += 1
    number = counts["sent"]
    parcel = Parcel.at(address)
    poke(int(parcel.link) + sizeof(Parcel), MARK.pack(kind, argument, payload, number))
    poke(address + size_of(kind, argument) - 4, number.to_bytes(4, "little"))
    return address


def make_high_page(size: int, flags: int) -> tuple[int, int]:
    """Return a parcel that carries a high page, and the page; (0, 0) without memory."""
    page = alloc_page(flags | __GFP_HIGHMEM)
    if not page:
        return 0, 0
    address = kmalloc(size, flags)
    if not address:
        __free_page(page)
        return 0, 0
    return address, int(page)


def size_of(kind: int, argument: int) -> int:
    """Return how many bytes a parcel has."""
    if kind == CACHE:
        return CACHE_SIZES[argument]
    return PAGE_SIZE << argument if kind == PAGES else argument


def send_parcel(exchange: Any, address: int) -> None:
    parcel = Parcel.at(address)
    spin_lock(exchange.lock)
    list_add_tail(parcel.link, exchange.parcels)
    exchange.nr_parcels += 1
    spin_unlock(exchange.lock)


def take_parcel(exchange: Any) -> Any:
    """Return the oldest parcel of an exchange, or None."""
    spin_lock(exchange.lock)
    link = 0 if list_empty(exchange.parcels) else exchange.parcels.next
    if link:
        list_del(link)
        exchange.nr_parcels -= 1
    spin_unlock(exchange.lock)
    return list_entry(link, Parcel, "link") if link else None


def check_and_free(control: Any, parcel: Any) -> list[str]:
    """Free what a parcel is; returns what was wrong with it."""
    address = int(parcel)
    head = peek(int(parcel.link) + sizeof(Parcel), MARK.size)
    kind, argument, payload, number = MARK.unpack(head)
    if kind > HIGH_PAGE:
        return [f"parcel at {address:#x}: kind {kind:#x}, its head was overwritten"]
    last = int.from_bytes(peek(address + size_of(kind, argument) - 4, 4), "little")
    errors = []
    if last != number:
        errors.append(f"parcel {number} at {address:#x} ends with {last:#x}: overwritten")
    if kind == CACHE:
        kmem_cache_free(control.caches[argument], address)
    elif kind == PAGES:
        free_pages(address, argument)
    else:
        if kind == HIGH_PAGE:
            __free_page(payload)
        kfree(address)
    return errors


# Interrupts and events


def read_records(address: int, number: int, path: str) -> dict[str, Any]:
    """Read the records of the interrupt handler and look for damage, until told to stop."""
    control = Control.at(address)
    done = u64.at(control.progress)
    nr_records, errors = 0, []
    try:
        with smpmm.open(path, "rb", 0) as device:
            while not control.stop:
                record = device.read(4096)
                nr_records += 1
                done[number] = nr_records
                low_byte = int(record[:8]) & 0xFF
                if record[SHORT_TEXT_BYTES:].strip(bytes((low_byte,))):
                    errors.append(f"record {record[:8]!r} of the handler is damaged")
    except InterruptedError:
        pass
    return {
        "kind": "records", "cpu": smp_processor_id(), "pid": current().pid,
        "records": nr_records, "errors": errors[:20],
    }  # fmt: skip


KEPT_EVENTS: Final = frozenset(
    ("fault", "bug", "contention", "reclaim", "writeback", "process_died")
)


def follow(address: int, cpu: int, path: str) -> dict[str, Any]:
    """Write the events of a CPU to a host file; of the frequent kinds only the number."""
    control = Control.at(address)
    counts: Counter[str] = Counter()
    since = lost = 0
    with open(path, "w") as file:
        while True:
            ending = control.stop
            for event in event_cy.read_events(cpu, since):
                lost += event["number"] - since
                since = event["number"] + 1
                counts[event["type"]] += 1
                if event["type"] in KEPT_EVENTS:
                    event["where"] = callsite_cy.site_text(event["site"])
                    file.write(json.dumps(event) + "\n")
            if ending:
                break
            wait_a_tick()
    return {"kind": "events", "cpu": cpu, "counts": dict(counts), "lost": lost}
