"""What the CPUs of a machine do while a test kills them: every task ends when told to.

churn  allocates objects, cache objects and pages and hands them to another CPU, which frees
       them; each is full of its own number, so one that is given twice is seen
turns  fights over one semaphore
copy   writes and reads a scull device: its own, or its own range of one that all share
read   takes the records of `short`'s interrupt handler
pairs  allocates and frees in a compiled loop: nearly always in a call
locks  fights over an rwlock, maps high pages, writes to the log
blocks writes and reads blocks of the disk through the buffer cache
make_caches creates, uses, destroys, shrinks and tunes caches
"""

import random
import struct
from collections import Counter
from typing import Any

import smpmm
from smpmm.kernel import *

NR_SLOTS = 16  # parcels on their way to a CPU
CACHE_SIZES = (200, 1500)
KINDS = ("kmalloc", "cache", "pages", "vmalloc")
HDA = 0x300
MARK = "<III"  # kind, argument, number


class Mailbox(KStruct):
    """Parcels on their way to one CPU."""

    lock: spinlock_t
    slots: ptr * NR_SLOTS  # guarded by lock; each changes by one store


class Control(KStruct):
    """What the tasks share."""

    stop: u32
    nr_cpus: u32
    caches: ptr * 2
    mailboxes: ptr  # of each CPU
    turn: semaphore
    gate: rwlock_t


def set_up(nr_cpus: int) -> int:
    """Make what the tasks share; returns its address."""
    control = Control.at(zeroed(sizeof(Control)))
    control.nr_cpus = nr_cpus
    control.mailboxes = zeroed(nr_cpus * sizeof(Mailbox))
    for cpu in range(nr_cpus):
        spin_lock_init(mailbox_of(control, cpu).lock)
    for n, size in enumerate(CACHE_SIZES):
        flags = SLAB_HWCACHE_ALIGN if n else 0
        control.caches[n] = int(kmem_cache_create(f"kill-{size}", size, 0, flags, None, None))
    sema_init(control.turn, 1)
    rwlock_init(control.gate)
    return int(control)


def zeroed(size: int) -> int:
    address = kmalloc(size, GFP_KERNEL)
    memset(address, 0, size)
    return address


def mailbox_of(control: Any, cpu: int) -> Any:
    return Mailbox.at(control.mailboxes + cpu * sizeof(Mailbox))


def stop(address: int) -> None:
    """Have every task end."""
    Control.at(address).stop = 1


# Parcels


def make_parcel(control: Any, dice: random.Random, number: int) -> int:
    """Allocate something and fill it with its number; 0 without memory."""
    kind = dice.choice((0, 0, 0, 1, 1, 2, 3))
    flags = dice.choice((GFP_KERNEL, GFP_ATOMIC))
    if kind == 0:
        argument = dice.choice((32, 100, 256, 2000, 8192))
        address = kmalloc(argument, flags)
    elif kind == 1:
        argument = dice.randrange(len(CACHE_SIZES))
        address = kmem_cache_alloc(control.caches[argument], flags)
    elif kind == 2:
        argument = dice.choice((0, 0, 1, 2))
        address = __get_free_pages(flags, argument)
    else:
        argument = dice.choice((1000, 5000, 40000))
        address = vmalloc(argument)
    if address:
        poke(address, parcel_text(kind, argument, number))
    return address


def parcel_text(kind: int, argument: int, number: int) -> bytes:
    mark = struct.pack(MARK, kind, argument, number)
    size = parcel_size(kind, argument)
    return (mark * (size // len(mark) + 1))[:size]


def parcel_size(kind: int, argument: int) -> int:
    if kind == 1:
        return CACHE_SIZES[argument]
    return 4096 << argument if kind == 2 else argument


def free_parcel(control: Any, address: int) -> list[str]:
    """Look whether a parcel is as it was made, and free it; returns what was wrong."""
    kind, argument, number = struct.unpack(MARK, peek(address, struct.calcsize(MARK)))
    if kind >= len(KINDS):
        return [f"parcel at {address:#x} begins with {kind:#x}: it was given twice"]
    text = parcel_text(kind, argument, number)
    errors = []
    if peek(address, len(text)) != text:
        errors.append(
            f"{KINDS[kind]} {argument} number {number} at {address:#x} was given twice"
        )
    if kind == 0:
        kfree(address)
    elif kind == 1:
        kmem_cache_free(control.caches[argument], address)
    elif kind == 2:
        free_pages(address, argument)
    else:
        vfree(address)
    return errors


def reach_new_table() -> None:
    """Have an area that is too wide for one page table."""
    vfree(vmalloc(5 << 20))


def send(mailbox: Any, address: int) -> int:
    """Put a parcel into a free slot; returns what must be freed instead: it, or 0."""
    slots = mailbox.slots
    spin_lock(mailbox.lock)
    for n in range(NR_SLOTS):
        if not slots[n]:
            slots[n] = address
            address = 0
            break
    spin_unlock(mailbox.lock)
    return address


def take(mailbox: Any, n: int) -> int:
    """Take the parcel of a slot, 0 = none."""
    slots = mailbox.slots
    spin_lock(mailbox.lock)
    address = slots[n]
    if address:
        slots[n] = 0
    spin_unlock(mailbox.lock)
    return address


# Tasks


def churn(address: int, seed: int) -> dict[str, Any]:
    """Send parcels to other CPUs and free those that arrive."""
    control = Control.at(address)
    dice = random.Random(seed)
    own = mailbox_of(control, smp_processor_id())
    counts: Counter[str] = Counter()
    errors: list[str] = []
    while not control.stop:
        parcel = make_parcel(control, dice, dice.randrange(1 << 32))
        if parcel:
            target = dice.randrange(control.nr_cpus)
            counts["sent"] += 1
            if send(mailbox_of(control, target), parcel):
                errors += free_parcel(control, parcel)
        else:
            counts["refused"] += 1
        # What waits at a dead CPU is taken by who comes along.
        box = (
            own
            if dice.random() < 0.7
            else mailbox_of(control, dice.randrange(control.nr_cpus))
        )
        arrived = take(box, dice.randrange(NR_SLOTS))
        if arrived:
            errors += free_parcel(control, arrived)
    return {"counts": dict(counts), "errors": errors[:5]}


def turns(address: int) -> dict[str, Any]:
    """Take the semaphore that everybody wants, and allocate under it."""
    control = Control.at(address)
    counts: Counter[str] = Counter()
    while not control.stop:
        down(control.turn)
        kfree(kmalloc(128, GFP_KERNEL))
        up(control.turn)
        counts["turns"] += 1
    return {"counts": dict(counts), "errors": []}


def copy(address: int, path: str, offset: int, seed: int) -> dict[str, Any]:
    """Write random bytes at `offset` of a device and read them back."""
    control = Control.at(address)
    dice = random.Random(seed)
    counts: Counter[str] = Counter()
    errors: list[str] = []
    while not control.stop:
        data = dice.randbytes(dice.choice((100, 5000, 20000)))
        try:
            with smpmm.open(path, "r+b", 0) as device:
                device.seek(offset)
                written = device.write_whole(data)
                device.seek(offset)
                if device.read_whole(written) != data[:written]:
                    errors.append(
                        f"{path} at {offset}: {written} bytes are not what was written"
                    )
            counts["copies"] += 1
        except OSError as error:
            if error.errno != ENOMEM:
                raise
            counts["ENOMEM"] += 1
    return {"counts": dict(counts), "errors": errors[:5]}


def read(address: int) -> dict[str, Any]:
    """Take the records of the interrupt handler, until told to stop or interrupted."""
    control = Control.at(address)
    counts: Counter[str] = Counter()
    errors: list[str] = []
    try:
        with smpmm.open("/dev/short0", "rb", 0) as device:
            while not control.stop:
                record = device.read(4096)
                counts["records"] += 1
                if record[16:].strip(bytes((int(record[:8]) & 0xFF,))):
                    errors.append(f"record {record[:8]!r} is damaged")
    except InterruptedError:
        pass
    return {"counts": dict(counts), "errors": errors[:5]}


def pairs(address: int) -> dict[str, Any]:
    """Allocate and free in a compiled loop."""
    from smpmm_tools import bench_cy

    control = Control.at(address)
    counts: Counter[str] = Counter()
    while not control.stop:
        bench_cy.kmalloc_loop(1000, 256, GFP_ATOMIC)
        counts["pairs"] += 1000
    return {"counts": dict(counts), "errors": []}


def locks(address: int) -> dict[str, Any]:
    """Read and write under an rwlock; map high pages; log."""
    control = Control.at(address)
    counts: Counter[str] = Counter()
    while not control.stop:
        for _ in range(20):
            read_lock(control.gate)
            read_unlock(control.gate)
            write_lock(control.gate)
            write_unlock(control.gate)
        page = alloc_page(GFP_HIGHUSER)
        if page:
            at = kmap(page)
            poke(at, b"mapped")
            kunmap(page)
            __free_page(page)
        if counts["rounds"] % 50 == 0:
            printk(f"CPU {smp_processor_id()} goes on\n")
        counts["rounds"] += 1
    return {"counts": dict(counts), "errors": []}


def blocks(address: int, first: int, seed: int) -> dict[str, Any]:
    """Write blocks of the disk that are this task's alone, and read them back.

    In between it reads any block: the disk is larger than RAM, so that buffers are reclaimed
    however few of these tasks are left.
    """
    from smpmm.mm.buffer_io_cy import bread, brelse, mark_buffer_dirty
    from smpmm.mm.disk_cy import disk_size

    control = Control.at(address)
    dice = random.Random(seed)
    counts: Counter[str] = Counter()
    errors: list[str] = []
    texts: dict[int, bytes] = {}
    while not control.stop:
        at = bread(HDA, dice.randrange(disk_size()))
        if at:
            brelse(at)
        block = first + dice.randrange(1000)
        at = bread(HDA, block)
        if not at:
            counts["refused"] += 1
            continue
        if peek(at, 8) != texts.get(block, peek(at, 8)):
            errors.append(f"block {block} is not what was written")
        texts[block] = dice.randbytes(8)
        poke(at, texts[block])
        mark_buffer_dirty(at)
        brelse(at)
        counts["blocks"] += 1
    return {"counts": dict(counts), "errors": errors[:5]}


def make_caches(address: int) -> dict[str, Any]:
    """Create, use and destroy caches; shrink the others, and resize their arrays."""
    control = Control.at(address)
    dice = random.Random(smp_processor_id())
    counts: Counter[str] = Counter()
    name = f"own-{smp_processor_id()}"
    while not control.stop:
        cache = kmem_cache_create(name, 700, 0, 0, None, None)
        objects = [kmem_cache_alloc(cache, GFP_KERNEL) for _ in range(30)]
        for each in objects:
            if each:
                kmem_cache_free(cache, each)
        kmem_cache_destroy(cache)
        kmem_cache_shrink(control.caches[0])
        try:
            limit = dice.choice((0, 5, 120))
            with smpmm.open("/proc/slabinfo", "w") as slabinfo:
                slabinfo.write(f"kill-{CACHE_SIZES[0]} {limit} {(limit + 1) // 2}")
        except OSError as error:
            if error.errno != ENOMEM:
                raise
        counts["caches"] += 1
    return {"counts": dict(counts), "errors": []}


# The end


def tear_down(address: int) -> tuple[list[str], list[str]]:
    """Free what is on its way and the caches that are empty.

    Returns what was wrong with the parcels, and what is still allocated, which only the dead
    can have had in hand.
    """
    control = Control.at(address)
    errors = []
    for cpu in range(control.nr_cpus):
        for n in range(NR_SLOTS):
            parcel = take(mailbox_of(control, cpu), n)
            if parcel:
                errors += free_parcel(control, parcel)
    return errors, in_hand()


def in_hand() -> list[str]:
    """Return what the functions of this file have allocated and not freed."""
    from cpus import callsite_cy
    from smpmm import pages_by_site_cy
    from smpmm.mm import slab_state_cy

    left = Counter(
        callsite_cy.site_text(each["site"]) for each in slab_state_cy.allocated_objects()
    )
    for (site, _order), number in pages_by_site_cy.allocated_blocks().items():
        left[callsite_cy.site_text(site)] += number
    names = ("make_parcel", "turns", "make_caches", "pairs", "locks")
    return [text for text in left.elements() if text.split()[0] in names]
