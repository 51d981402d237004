"""The disk, used through the buffer cache, which takes whatever memory is free.

That gives reclaim something to do; what was written must come back, whether or not the block
was written to the disk and its page given away meanwhile.
"""

import random
import struct
from typing import Any, Final

from smpmm.kernel import *
from smpmm.mm import buffer_io_cy, disk_cy, page_alloc_cy
from smpmm_tools.workload.control import Control, injected

STAMP: Final = struct.Struct("<QQ")  # block, how often it was changed
BLOCK_BYTES: Final = 4096
DISK: Final = 0x300  # device number of hda


def use_disk(address: int, number: int, seed: int) -> dict[str, Any]:
    """Change blocks of this CPU's part of the disk and look at them, until told to stop."""
    control = Control.at(address)
    done = u64.at(control.progress)
    chance = random.Random(seed)
    cpu = smp_processor_id()
    share = disk_cy.disk_size() // control.nr_cpus
    changes = [0] * share
    nr_blocks = nr_refused = 0
    errors: list[str] = []
    while not control.stop:
        index = int(share * chance.random() ** 2)  # some blocks are wanted more often
        block = cpu * share + index
        buffer = buffer_io_cy.getblk(DISK, block)
        if not buffer:
            nr_refused += 1
            continue
        error = buffer_io_cy.read_buffer(buffer)
        if error:
            raise OSError(error, f"disk block {block} cannot be read")
        errors += look_at_block(buffer, block, changes[index])
        if chance.random() < 0.6:
            changes[index] += 1
            stamp = STAMP.pack(block, changes[index])
            poke(buffer, stamp)
            poke(buffer + BLOCK_BYTES - STAMP.size, stamp)
            buffer_io_cy.mark_buffer_dirty(buffer)
        buffer_io_cy.brelse(buffer)
        nr_blocks += 1
        done[number] = nr_blocks
    return {
        "kind": "disk", "cpu": cpu, "pid": current().pid, "blocks": nr_blocks,
        "refused": nr_refused, "faults": injected(), "errors": errors[:20],
    }  # fmt: skip


def reclaim_figures() -> dict[str, int]:
    """Return what reclaim has done since boot, and how the disk's buffers were used."""
    return {**page_alloc_cy.vm_counters(), **buffer_io_cy.cache_info()}


def look_at_block(buffer: int, block: int, changes: int) -> list[str]:
    """Compare a block with what was last written to it."""
    expected = STAMP.pack(block, changes) if changes else bytes(STAMP.size)
    for offset in (0, BLOCK_BYTES - STAMP.size):
        found = peek(buffer + offset, STAMP.size)
        if found != expected:
            text = f"disk block {block} changed {changes} times, at {offset:#x}: {found.hex()}"
            return [text]
    return []
