"""Buffers as tasks use them (fs/buffer.c of 2.4): getblk, bread, brelse, write-back, sync.

A buffer is known by the kernel address of its data: 4096 bytes that are read and written
through the ordinary access calls, between bread and brelse. What was changed is said by
mark_buffer_dirty; it is written when reclaim wants the page, by bdflush, or by sync.
"""

import cython
from cython.cimports.cpus.callsite_cy import call_site
from cython.cimports.cpus.event_cy import EVENT_WRITEBACK, log_text, trace_event
from cython.cimports.cpus.handle_cy import address_of
from cython.cimports.cpus.kill_cy import KILL_WRITEBACK, kill_point
from cython.cimports.cpus.percpu_cy import (
    call_out,
    come_back,
    enter,
    enter_sleeping,
    leave,
    this_slot,
)
from cython.cimports.cpus.runqueue_cy import schedule_inside
from cython.cimports.cpus.segment_cy import machine_ns
from cython.cimports.cpus.spinlock_cy import raw_spin_lock_irqsave, raw_spin_unlock_irqrestore
from cython.cimports.cpus.task_cy import TASK_UNINTERRUPTIBLE
from cython.cimports.cpus.waitqueue_cy import (
    finish_wait,
    finish_wait_outside,
    prepare_to_wait,
    wake_up_queue,
)
from cython.cimports.libc.stdio import snprintf
from cython.cimports.libc.string import strlen
from cython.cimports.smpmm.mm import buffer_cy
from cython.cimports.smpmm.mm.buffer_cy import (
    BDFLUSH_PERCENT,
    BH_DIRTY,
    BH_LOCK,
    BH_REFERENCED,
    BH_UPTODATE,
    BH_WRITING,
    LIST_ACTIVE,
    LIST_INACTIVE_DIRTY,
    NR_LISTS,
    PICK_WRITE,
    cache,
    cut_off_io,
    find_or_add,
    launder_one,
    lock_for_io,
    lru_add,
    lru_del,
    queue_of,
    start_write,
)
from cython.cimports.smpmm.mm.buffer_users_cy import drop_user, nr_users
from cython.cimports.smpmm.mm.disk_cy import DISK_DEVICE, disk_transfer
from cython.cimports.smpmm.mm.page_alloc_cy import vm
from cython.cimports.smpmm.mm.page_cy import (
    PAGE_BUFFER,
    lowmem_page_address,
    page_native,
    page_to_pfn,
    pfn_to_page,
    truth_kind,
    virt_to_page_checked,
)

from smpmm.mm import page_bug

WAIT_NS = 100000000


def pfn_of_buffer(handle):
    p: cython.pointer[page] = virt_to_page_checked(address_of(handle))
    if p == cython.NULL or truth_kind(p.truth) != PAGE_BUFFER:
        return 0
    return page_to_pfn(p)


def getblk(dev: cython.ulonglong, block: cython.ulonglong, size: cython.ulonglong = 4096):
    """Return the address of a block's buffer, whatever it holds; 0 without memory.

    May sleep. The caller is one more user until brelse.
    """
    site: u32 = call_site()
    if size != 4096:
        raise ValueError(f"a block of {size} bytes: buffers have 4096")
    enter_sleeping(b"getblk")
    pfn: u64 = find_or_add((dev + 1) << 32 | block & 0xFFFFFFFF, site)
    leave()
    return lowmem_page_address(pfn_to_page(pfn)) if pfn != 0 else 0


def bread(dev: cython.ulonglong, block: cython.ulonglong, size: cython.ulonglong = 4096):
    """Return the address of a block's buffer with the block in it; 0: error. May sleep."""
    address: u64 = getblk(dev, block, size)
    if address == 0:
        return 0
    if read_buffer(address) != 0:
        brelse(address)
        return 0
    return address


def read_buffer(bh: object):
    """Read a buffer's block unless it is up to date; 0 or an errno. May sleep."""
    site: u32 = call_site()
    pfn: u64 = pfn_of_buffer(bh)
    if pfn == 0:
        page_bug.no_buffer("read_buffer", address_of(bh))
        return -1
    enter_sleeping(b"wait_on_buffer")
    error: cython.int = 0
    if lock_buffer(pfn, site):
        error = transfer(pfn, False)
    leave()
    return error


def lock_buffer(pfn, site):
    """Lock a buffer for reading, or find it up to date; sleeps while another task has it."""
    b: cython.pointer[buffer_head] = cython.address(buffer_cy.buffer_heads[pfn])
    flags: u64
    locked: cython.int
    waited: cython.bint = False
    while True:
        flags = raw_spin_lock_irqsave(cython.address(cache.lock), site)
        locked = -1
        cut_off_io(b)
        if b.state & BH_UPTODATE:
            locked = 0
        elif b.state & BH_LOCK == 0:
            lock_for_io(b, 0)
            locked = 1
        else:
            prepare_to_wait(queue_of(pfn), TASK_UNINTERRUPTIBLE, False)
        raw_spin_unlock_irqrestore(cython.address(cache.lock), flags)
        if locked >= 0:
            if waited:
                finish_wait(queue_of(pfn))
            return locked
        waited = True
        try:
            # The time-out: whoever has it under IO may be killed.
            schedule_inside(WAIT_NS)
        except BaseException:
            finish_wait_outside(queue_of(pfn))
            raise


def transfer(pfn, write):
    """Move a locked buffer's block between page and disk, outside of the call."""
    error: cython.int
    block: u64 = buffer_cy.buffer_heads[pfn].key & 0xFFFFFFFF
    device: u64 = (buffer_cy.buffer_heads[pfn].key >> 32) - 1
    call_out()
    kill_point(KILL_WRITEBACK)
    error = 6
    if device == DISK_DEVICE:
        error = disk_transfer(block, page_native(pfn_to_page(pfn)), write)
    come_back()
    end_buffer_io(pfn, write, error)
    return error


def end_buffer_io(pfn, write, error):
    """Unlock a buffer after its IO and wake who waits for it."""
    b: cython.pointer[buffer_head] = cython.address(buffer_cy.buffer_heads[pfn])
    text: cython.char[80]
    flags: u64 = raw_spin_lock_irqsave(cython.address(cache.lock), cache.site)
    b.state &= ~cython.cast(u32, BH_LOCK | BH_WRITING)
    b.error = error
    if error != 0:
        b.state &= ~cython.cast(u32, BH_UPTODATE)
    else:
        b.state |= BH_UPTODATE
    if write:
        vm.nr_written += 1
    else:
        cache.nr_reads += 1
    raw_spin_unlock_irqrestore(cython.address(cache.lock), flags)
    if error != 0:
        sector: u64 = (b.key & 0xFFFFFFFF) * 8
        snprintf(text, 80, b"end_request: I/O error, dev 03:00 (hda), sector %llu", sector)
        log_text(text, strlen(text), 4)
    wake_up_queue(queue_of(pfn), 0)


def brelse(bh: object):
    """Give a buffer back; it stays in the cache. Any context; 0 is ignored."""
    if address_of(bh) == 0:
        return
    pfn: u64 = pfn_of_buffer(bh)
    site: u32 = call_site()
    b: cython.pointer[buffer_head]
    free: cython.bint = True
    if pfn != 0:
        enter()
        flags: u64 = raw_spin_lock_irqsave(cython.address(cache.lock), site)
        b = cython.address(buffer_cy.buffer_heads[pfn])
        if b.users != 0:
            b.users = drop_user(b.users, this_slot)
            free = False
        raw_spin_unlock_irqrestore(cython.address(cache.lock), flags)
        leave()
    if free:
        page_bug.no_buffer("brelse", address_of(bh))


def mark_buffer_dirty(bh: object):
    """Say that a buffer's bytes were changed: they are written later. Any context."""
    pfn: u64 = pfn_of_buffer(bh)
    site: u32 = call_site()
    b: cython.pointer[buffer_head]
    wake: cython.bint = False
    if pfn == 0:
        page_bug.no_buffer("mark_buffer_dirty", address_of(bh))
        return
    enter()
    flags: u64 = raw_spin_lock_irqsave(cython.address(cache.lock), site)
    b = cython.address(buffer_cy.buffer_heads[pfn])
    if b.state & BH_DIRTY == 0:
        b.state |= BH_DIRTY | BH_UPTODATE
        b.dirtied_ns = machine_ns()
        cache.nr_dirty += 1
        limit: u64 = vm.nr_buffer_pages * BDFLUSH_PERCENT
        wake = cache.nr_dirty == 1 or cache.nr_dirty * 100 > limit
    raw_spin_unlock_irqrestore(cython.address(cache.lock), flags)
    if wake and buffer_cy.wake_bdflush != cython.NULL:
        buffer_cy.wake_bdflush()
    leave()


def refill_inactive(nr: cython.ulonglong) -> int:
    """Look at up to `nr` of the oldest active pages; unused ones become inactive dirty."""
    moved: u64 = 0
    p: cython.pointer[page]
    b: cython.pointer[buffer_head]
    enter()
    flags: u64 = raw_spin_lock_irqsave(cython.address(cache.lock), cache.site)
    nr = min(nr, cache.lru[LIST_ACTIVE].nr)
    while nr != 0:
        nr -= 1
        p = cache.lru[LIST_ACTIVE].last
        b = cython.address(buffer_cy.buffer_heads[page_to_pfn(p)])
        lru_del(p)
        if b.users != 0 or b.state & BH_REFERENCED:
            b.state &= ~cython.cast(u32, BH_REFERENCED)
            lru_add(p, LIST_ACTIVE)
        else:
            lru_add(p, LIST_INACTIVE_DIRTY)
            moved += 1
    raw_spin_unlock_irqrestore(cython.address(cache.lock), flags)
    leave()
    return moved


def launder(nr: cython.ulonglong, may_write: cython.bint) -> int:
    """Look at up to `nr` of the oldest inactive dirty pages; returns how many became clean.

    With `may_write` dirty ones are written on the way: may sleep.
    """
    what: cython.int
    enter()
    clean: u64 = vm.nr_inactive_clean
    # A page that is written is looked at twice.
    nr = min(nr, 2 * cache.lru[LIST_INACTIVE_DIRTY].nr)
    while nr != 0:
        nr -= 1
        flags: u64 = raw_spin_lock_irqsave(cython.address(cache.lock), cache.site)
        what = launder_one(may_write)
        pfn: u64 = buffer_cy.picked_pfn
        raw_spin_unlock_irqrestore(cython.address(cache.lock), flags)
        if what == PICK_WRITE:
            trace_event(EVENT_WRITEBACK, pfn, 0, 0, cache.site)
            transfer(pfn, True)
        elif what == buffer_cy.PICK_NOTHING:
            break
    clean = vm.nr_inactive_clean - clean if vm.nr_inactive_clean > clean else 0
    leave()
    return clean


def write_dirty(nr: cython.ulonglong, before_ns: cython.ulonglong) -> int:
    """Write up to `nr` buffers that were dirtied before a time, oldest first; may sleep.

    Returns how many were written: what bdflush and sync do.
    """
    written: u64 = 0
    enter_sleeping(b"write_dirty")
    while written < nr:
        flags: u64 = raw_spin_lock_irqsave(cython.address(cache.lock), cache.site)
        pfn: u64 = oldest_dirty(before_ns)
        if pfn != 0:
            start_write(pfn)
        raw_spin_unlock_irqrestore(cython.address(cache.lock), flags)
        if pfn == 0:
            break
        trace_event(EVENT_WRITEBACK, pfn, 1, 0, cache.site)
        transfer(pfn, True)
        written += 1
    leave()
    return written


def oldest_dirty(before_ns):
    """Find the buffer that is dirty longest and not under IO; 0 = none. O(buffers); locked."""
    found: u64 = 0
    pfn: u64
    p: cython.pointer[page]
    b: cython.pointer[buffer_head]
    i: cython.int
    for i in range(1, NR_LISTS):
        p = cache.lru[i].last
        while p != cython.NULL:
            pfn = page_to_pfn(p)
            b = cython.address(buffer_cy.buffer_heads[pfn])
            cut_off_io(b)
            if b.state & BH_DIRTY and b.state & BH_LOCK == 0 and b.dirtied_ns < before_ns:
                before_ns = b.dirtied_ns
                found = pfn
            p = p.lru_prev
    return found


def sync_buffers() -> int:
    """Have everything that is dirty now on the disk; returns how many it wrote. May sleep.

    What others are writing is waited for; some of that may be dirty afterwards: its writer was
    killed, or it was changed meanwhile.
    """
    before: int = uptime_ns()
    written: int = write_dirty(1 << 40, before)
    wait_on_writes()
    while more := write_dirty(1 << 40, before):
        written += more
        wait_on_writes()
    return written


def wait_on_writes() -> None:
    """Wait for each buffer that is being written, once, in the order of pages. May sleep."""
    pfn: u64
    last: u64 = 0
    flags: u64
    enter_sleeping(b"sync_buffers")
    while True:
        flags = raw_spin_lock_irqsave(cython.address(cache.lock), cache.site)
        pfn = next_written(last)
        if pfn != 0:
            prepare_to_wait(queue_of(pfn), TASK_UNINTERRUPTIBLE, False)
        raw_spin_unlock_irqrestore(cython.address(cache.lock), flags)
        if pfn == 0:
            break
        try:
            # The time-out: whoever writes it may be killed.
            schedule_inside(WAIT_NS)
        except BaseException:
            finish_wait_outside(queue_of(pfn))
            raise
        finish_wait(queue_of(pfn))
        last = pfn - 1  # again, if it was woken by the end of another on that queue
    leave()


def next_written(last):
    """Find the first page after `last` whose buffer is being written; 0 = none. O(buffers).

    The lock is held.
    """
    found: u64 = 0
    pfn: u64
    p: cython.pointer[page]
    b: cython.pointer[buffer_head]
    i: cython.int
    for i in range(1, NR_LISTS):
        p = cache.lru[i].last
        while p != cython.NULL:
            pfn = page_to_pfn(p)
            b = cython.address(buffer_cy.buffer_heads[pfn])
            cut_off_io(b)
            if b.state & BH_WRITING and pfn > last and (found == 0 or pfn < found):
                found = pfn
            p = p.lru_prev
    return found


def uptime_ns() -> int:
    """Return the ns since boot."""
    return machine_ns()


def buffer_info(bh: object) -> dict:
    """Return what is known of a buffer: reports and tests."""
    b: cython.pointer[buffer_head] = cython.address(buffer_cy.buffer_heads[pfn_of_buffer(bh)])
    return {
        "device": (b.key >> 32) - 1,
        "block": b.key & 0xFFFFFFFF,
        "count": nr_users(b.users),
        "uptodate": b.state & BH_UPTODATE != 0,
        "dirty": b.state & BH_DIRTY != 0,
        "locked": b.state & BH_LOCK != 0,
        "list": ("none", "active", "inactive dirty", "inactive clean")[b.list],
        "error": b.error,
    }


def cache_info() -> dict:
    """Return the figures of the buffer cache.

    What was dirty is dirty, being written ("writing") or written: these are of one instant.
    """
    pfn: u64
    writing: u64 = 0
    enter()
    flags: u64 = raw_spin_lock_irqsave(cython.address(cache.lock), cache.site)
    pfn = next_written(0)
    while pfn != 0:
        writing += 1
        pfn = next_written(pfn)
    dirty: u64 = cache.nr_dirty
    written: u64 = vm.nr_written
    raw_spin_unlock_irqrestore(cython.address(cache.lock), flags)
    leave()
    return {
        "buffers": vm.nr_buffer_pages,
        "dirty": dirty,
        "writing": writing,
        "reads": cache.nr_reads,
        "hits": cache.nr_hits,
        "misses": cache.nr_misses,
        "written": written,
    }
