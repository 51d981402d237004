"""The buffer cache: blocks of a disk in pages, with LRU lists from which reclaim takes pages.

Models fs/buffer.c and the page lists of mm/vmscan.c of 2.4.5, with one block of 4096 bytes per
page. A buffer is found by its device and block. Its page is on one of three lists: active,
inactive dirty (a candidate, perhaps to be written), inactive clean (given up whenever pages
are short).

Truth: a page whose truth word says PAGE_BUFFER holds the block of its buffer_head's key;
the key is written first. `list` and `state` say where the page belongs and what the block
is. Hash, lists and counters are rebuilt from them when a process dies with the lock.

Departure: buffer heads lie in the control area, one per page frame, not in a slab cache.

Lock order: lru_list_lock, then a zone's lock or the lock of a wait queue.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import compiler_barrier
from cython.cimports.cpus.callsite_cy import enter_site
from cython.cimports.cpus.kill_cy import KILL_BUFFER, kill_point
from cython.cimports.cpus.percpu_cy import (
    enter,
    leave,
    owner_dead,
    this_owner,
    this_slot,
)
from cython.cimports.cpus.spinlock_cy import (
    CLASS_SPIN,
    lock_class_named,
    raw_spin_lock_irqsave,
    raw_spin_unlock_irqrestore,
    register_recovery,
    spinlock_init,
)
from cython.cimports.cpus.waitqueue_cy import init_wait_queue, wait_queue_class
from cython.cimports.smpmm.mm import page_alloc_cy
from cython.cimports.smpmm.mm.buffer_users_cy import add_user, drop_users_of, nr_users
from cython.cimports.smpmm.mm.page_alloc_cy import alloc_pages, gfp_high, gfp_wait, vm
from cython.cimports.smpmm.mm.page_cy import (
    PAGE_ALLOC,
    PAGE_BUFFER,
    PG_LRU,
    page_to_pfn,
    pfn_to_page,
    truth_kind,
    truth_order,
)
from cython.cimports.smpmm.mm.zone_cy import free_block, pfn_zone, set_page_buffer, zone_at

from smpmm.mm import memmap


def regions(config: object) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    memory = memmap.memory_map_of(config)
    return {
        "buffer_cache": cython.sizeof(buffer_cache),
        "buffer_heads": memory.max_low_pfn * cython.sizeof(buffer_head),
    }


def attach(config: object) -> None:
    """Find the cache in the attached segment and register its recovery; the monitor."""
    global cache, buffer_heads, nr_heads
    nr_heads = memmap.memory_map_of(config).max_low_pfn
    cache = cython.cast(cython.pointer[buffer_cache], segment_cy.region_at(b"buffer_cache"))
    buffer_heads = cython.cast(
        cython.pointer[buffer_head], segment_cy.region_at(b"buffer_heads")
    )
    page_alloc_cy.reclaim_clean = reclaim_clean_pages
    register_recovery(RECOVER_BUFFER, recover_buffers)


def init(config: object) -> None:
    """Format an empty cache in a fresh segment; the monitor."""
    i: cython.int
    queue_class: cython.ushort = wait_queue_class(b"b_wait.lock")
    spinlock_init(
        cython.address(cache.lock),
        lock_class_named(b"lru_list_lock", CLASS_SPIN, RECOVER_BUFFER),
    )
    for i in range(NR_BUFFER_QUEUES):
        init_wait_queue(cython.address(cache.queue[i]), queue_class)
    cache.site = enter_site(b"fs/buffer.c", b"grow_buffers", 0)


def hash_of(key):
    # Fibonacci hashing: neighbouring blocks spread over the chains.
    return (key * (cython.cast(u64, 0x9E3779B9) << 32 | 0x7F4A7C15)) >> 52


def lookup(key):
    pfn: u64 = cache.hash[hash_of(key)]
    while pfn != 0 and buffer_heads[pfn].key != key:
        pfn = buffer_heads[pfn].hash_next
    return pfn


def insert(pfn, key):
    """Put a page that is a buffer by its truth into hash, lists and counters."""
    b: cython.pointer[buffer_head] = cython.address(buffer_heads[pfn])
    which: u32 = b.list if b.list != LIST_NONE and b.list < NR_LISTS else LIST_ACTIVE
    b.hash_next = cache.hash[hash_of(key)]
    cache.hash[hash_of(key)] = cython.cast(u32, pfn)
    lru_add(pfn_to_page(pfn), which)
    vm.nr_buffer_pages += 1
    if b.state & BH_DIRTY:
        cache.nr_dirty += 1


def forget(pfn):
    """Take a buffer out of hash, lists and counters; its page is about to be freed."""
    b: cython.pointer[buffer_head] = cython.address(buffer_heads[pfn])
    link: cython.pointer[u32] = cython.address(cache.hash[hash_of(b.key)])
    while link[0] != pfn:
        link = cython.address(buffer_heads[link[0]].hash_next)
    link[0] = b.hash_next
    lru_del(pfn_to_page(pfn))
    vm.nr_buffer_pages -= 1


def lru_add(p, which):
    """Make a page the newest of a list."""
    lru: cython.pointer[lru_list] = cython.address(cache.lru[which])
    buffer_heads[page_to_pfn(p)].list = which
    p.lru_prev = cython.NULL
    p.lru_next = lru.first
    if lru.first != cython.NULL:
        lru.first.lru_prev = p
    else:
        lru.last = p
    lru.first = p
    p.flags |= PG_LRU
    count_list(p, which, 1)


def lru_del(p):
    """Take a page off the list that it is on."""
    which: u32 = buffer_heads[page_to_pfn(p)].list
    lru: cython.pointer[lru_list] = cython.address(cache.lru[which])
    if p.lru_prev != cython.NULL:
        p.lru_prev.lru_next = p.lru_next
    else:
        lru.first = p.lru_next
    if p.lru_next != cython.NULL:
        p.lru_next.lru_prev = p.lru_prev
    else:
        lru.last = p.lru_prev
    p.flags &= ~cython.cast(u32, PG_LRU)
    buffer_heads[page_to_pfn(p)].list = LIST_NONE
    count_list(p, which, -1)


def count_list(p, which, change):
    cache.lru[which].nr += cython.cast(u64, change)
    if which == LIST_ACTIVE:
        vm.nr_active += cython.cast(u64, change)
    elif which == LIST_INACTIVE_DIRTY:
        vm.nr_inactive_dirty += cython.cast(u64, change)
    else:
        vm.nr_inactive_clean += cython.cast(u64, change)
        pfn_zone(page_to_pfn(p)).inactive_clean_pages += cython.cast(u64, change)


def queue_of(pfn):
    return cython.address(cache.queue[pfn % NR_BUFFER_QUEUES])


def find_or_add(key, site):
    """Return the pfn of the block's buffer with one more user; 0: there is no memory for it.

    Inside a call that may sleep. On an exception the call has been left.
    """
    p: cython.pointer[page] = cython.NULL
    b: cython.pointer[buffer_head]
    pfn: u64
    flags: u64
    while True:
        flags = raw_spin_lock_irqsave(cython.address(cache.lock), site)
        pfn = lookup(key)
        if pfn != 0:
            b = cython.address(buffer_heads[pfn])
            b.users = add_user(b.users, this_slot)
            buffer_heads[pfn].state |= BH_REFERENCED
            cache.nr_hits += 1
        elif p != cython.NULL:
            pfn = page_to_pfn(p)
            b = cython.address(buffer_heads[pfn])
            b.state = BH_REFERENCED
            b.users = add_user(0, this_slot)
            b.error = 0
            b.list = LIST_ACTIVE
            b.key = key
            compiler_barrier()
            set_page_buffer(p)
            kill_point(KILL_BUFFER)
            insert(pfn, key)
            cache.nr_misses += 1
            p = cython.NULL
        raw_spin_unlock_irqrestore(cython.address(cache.lock), flags)
        if pfn != 0:
            if p != cython.NULL:
                # Another task was faster while this one slept for its page.
                free_block(p, 0, PAGE_ALLOC, cache.site)
            return pfn
        p = alloc_pages(gfp_wait | gfp_high, 0, cache.site)
        if p == cython.NULL:
            return 0


def may_free(b):
    return b.users == 0 and b.state & (BH_DIRTY | BH_LOCK) == 0


def reclaim_clean_pages(z, nr):
    """Give up to `nr` pages of a zone's inactive clean list to the buddy lists."""
    freed: u64 = 0
    p: cython.pointer[page]
    before: cython.pointer[page]
    b: cython.pointer[buffer_head]
    flags: u64 = raw_spin_lock_irqsave(cython.address(cache.lock), cache.site)
    p = cache.lru[LIST_INACTIVE_CLEAN].last
    while p != cython.NULL and freed < nr:
        before = p.lru_prev
        b = cython.address(buffer_heads[page_to_pfn(p)])
        if pfn_zone(page_to_pfn(p)) == z:
            if b.state & BH_REFERENCED or not may_free(b):
                # Used again since it was laundered.
                lru_del(p)
                lru_add(p, LIST_ACTIVE)
            else:
                forget(page_to_pfn(p))
                kill_point(KILL_BUFFER)
                free_block(p, 0, PAGE_BUFFER, cache.site)
                freed += 1
        p = before
    raw_spin_unlock_irqrestore(cython.address(cache.lock), flags)
    return freed


def lock_for_io(b, kind):
    b.owner = this_owner
    b.state |= BH_LOCK | kind


def launder_one(may_write):
    """Look at the oldest inactive dirty page: back to active, on to clean, or to be written.

    The lock is held. PICK_WRITE: picked_pfn is locked for writing by this process.
    """
    global picked_pfn
    p: cython.pointer[page] = cache.lru[LIST_INACTIVE_DIRTY].last
    b: cython.pointer[buffer_head]
    if p == cython.NULL:
        return PICK_NOTHING
    b = cython.address(buffer_heads[page_to_pfn(p)])
    lru_del(p)
    cut_off_io(b)
    if b.state & BH_REFERENCED or b.users != 0:
        b.state &= ~cython.cast(u32, BH_REFERENCED)
        lru_add(p, LIST_ACTIVE)
        return PICK_MOVED
    if b.state & BH_LOCK:
        lru_add(p, LIST_INACTIVE_DIRTY)
        return PICK_MOVED
    if b.state & BH_DIRTY == 0:
        lru_add(p, LIST_INACTIVE_CLEAN)
        return PICK_MOVED
    lru_add(p, LIST_INACTIVE_DIRTY)
    if not may_write:
        return PICK_MOVED
    start_write(page_to_pfn(p))
    return PICK_WRITE


def start_write(pfn):
    """Lock a dirty buffer for writing: from here on, a change makes it dirty again."""
    global picked_pfn
    b: cython.pointer[buffer_head] = cython.address(buffer_heads[pfn])
    lock_for_io(b, BH_WRITING)
    compiler_barrier()
    b.state &= ~cython.cast(u32, BH_DIRTY)
    cache.nr_dirty -= 1
    picked_pfn = pfn


def recover_buffers(lock):
    """Rebuild hash, lists and counters from the truth; IO of dead processes is cut off."""
    i: cython.int
    for i in range(NR_HASH):
        cache.hash[i] = 0
    for i in range(NR_LISTS):
        cache.lru[i].first = cython.NULL
        cache.lru[i].last = cython.NULL
        cache.lru[i].nr = 0
    for i in range(3):
        zone_at(i).inactive_clean_pages = 0
    vm.nr_buffer_pages = 0
    vm.nr_active = 0
    vm.nr_inactive_dirty = 0
    vm.nr_inactive_clean = 0
    cache.nr_dirty = 0
    for i in range(3):
        recover_zone_buffers(zone_at(i))


def recover_zone_buffers(z):
    """Insert the buffers of a zone; its lock keeps the walk on the heads of blocks."""
    dirty: u64
    flags: u64 = raw_spin_lock_irqsave(cython.address(z.lock), cache.site)
    pfn: u64 = z.zone_start_pfn
    end: u64 = pfn + z.spanned_pages
    while pfn < end:
        if truth_kind(pfn_to_page(pfn).truth) == PAGE_BUFFER:
            dirty = cache.nr_dirty
            cut_off_io(cython.address(buffer_heads[pfn]))
            cache.nr_dirty = dirty
            insert(pfn, buffer_heads[pfn].key)
        pfn += cython.cast(u64, 1) << truth_order(pfn_to_page(pfn).truth)
    raw_spin_unlock_irqrestore(cython.address(z.lock), flags)


def cut_off_io(b):
    """Undo the IO lock of a dead process: what it was writing is dirty."""
    if b.state & BH_LOCK and owner_dead(b.owner):
        if b.state & BH_WRITING and b.state & BH_DIRTY == 0:
            b.state |= BH_DIRTY
            cache.nr_dirty += 1
        b.state &= ~cython.cast(u32, BH_LOCK | BH_WRITING)


def reclaim(index: cython.int, nr: cython.ulonglong) -> int:
    """Give up to `nr` inactive clean pages of a zone to its buddy lists; returns how many."""
    enter()
    freed: u64 = reclaim_clean_pages(zone_at(index), nr)
    leave()
    return freed


def nr_dirty() -> int:
    """Return how many buffers are dirty."""
    return cache.nr_dirty


def own_site() -> int:
    """Return the call site of the pages that the cache itself allocates."""
    return cache.site


def give_up_users(slot: cython.int) -> int:
    """Give up what a dead process had in use; returns how many users that were. O(pages)."""
    given_up: u64 = 0
    pfn: u64
    left: u64
    enter()
    flags: u64 = raw_spin_lock_irqsave(cython.address(cache.lock), cache.site)
    for pfn in range(nr_heads):
        left = drop_users_of(buffer_heads[pfn].users, slot + 1)
        if left != buffer_heads[pfn].users:
            given_up += nr_users(buffer_heads[pfn].users) - nr_users(left)
            buffer_heads[pfn].users = left
    raw_spin_unlock_irqrestore(cython.address(cache.lock), flags)
    leave()
    return given_up


def free_orphan(pfn: cython.ulonglong) -> None:
    """Free a page that a process was killed with on its way into the cache."""
    enter()
    free_block(pfn_to_page(pfn), 0, PAGE_ALLOC, cache.site)
    leave()
