"""The records of modules: their states, their use counts, their static data.

A module is COMING or GOING while one process loads or unloads it, and LIVE between the two.
Its use count is its open files, counted where they are, and what its own calls add.
"""

import cython
from cython.cimports.cpus.atomic import (
    atomic64_cmpxchg,
    atomic64_load,
    atomic64_load_acquire,
    atomic64_store,
    atomic64_store_release,
)
from cython.cimports.cpus.callsite_cy import call_site
from cython.cimports.cpus.percpu_cy import enter, leave, owner_dead, this_owner
from cython.cimports.cpus.spinlock_cy import raw_spin_lock_irqsave, raw_spin_unlock_irqrestore
from cython.cimports.libc.string import memset, strcmp, strncpy
from cython.cimports.smpmm.registry_cy import (
    MOD_USED_ONCE,
    NR_CHUNKS,
    NR_FILES,
    NR_MODULES,
    RECORD_COMING,
    RECORD_FREE,
    RECORD_GOING,
    RECORD_LIVE,
    module_record,
    modules,
    open_files,
    registry,
)

COMING: int = RECORD_COMING
LIVE: int = RECORD_LIVE
GOING: int = RECORD_GOING
USED_ONCE: int = MOD_USED_ONCE


def claim_module(name: str, file: str) -> int:
    """Take a module record in state COMING; its serial, 0: the name is taken, -1: full."""
    name_bytes: bytes = name.encode()[:63]
    file_bytes: bytes = file.encode()
    file_bytes = file_bytes[max(0, len(file_bytes) - 255) :]
    name_text: cython.p_const_char = name_bytes
    file_text: cython.p_const_char = file_bytes
    i: cython.int
    at: cython.int = -1
    serial: cython.longlong = -1
    m: cython.pointer[module_record]
    enter()
    flags: u64 = raw_spin_lock_irqsave(cython.address(registry.lock), call_site())
    for i in range(NR_MODULES):
        m = cython.address(modules[i])
        if m.state == RECORD_FREE:
            at = i if at < 0 else at
        elif strcmp(m.name, name_text) == 0:
            serial = 0
    if at >= 0 and serial != 0:
        m = cython.address(modules[at])
        memset(m, 0, cython.sizeof(module_record))
        m.owner = this_owner
        serial = registry.next_serial
        registry.next_serial += 1
        m.serial = serial
        strncpy(m.name, name_text, 63)
        strncpy(m.file, file_text, 255)
        atomic64_store_release(cython.address(m.state), RECORD_COMING)
    raw_spin_unlock_irqrestore(cython.address(registry.lock), flags)
    leave()
    return serial


def set_module_state(serial: int, state: int, code: int = -1, size: int = -1) -> None:
    """Commit a module's state; with its snapshot's number and its size where given."""
    m: cython.pointer[module_record] = module_of(cython.cast(u64, serial))
    if m == cython.NULL:
        return
    if code >= 0:
        m.code = code
    if size >= 0:
        m.size = size
    atomic64_store_release(cython.address(m.state), cython.cast(u64, state))


def begin_unload(serial: int) -> int:
    """Take a live module down: 0, or its use count when it is in use, or -1 when it is not
    live.

    From then on no open succeeds: `claim_file` commits its file first and looks at the state
    then.
    """
    m: cython.pointer[module_record] = module_of(cython.cast(u64, serial))
    result: cython.longlong
    if m == cython.NULL:
        return -1
    enter()
    if atomic64_cmpxchg(cython.address(m.state), RECORD_LIVE, RECORD_GOING) != RECORD_LIVE:
        result = -1
    else:
        m.owner = this_owner
        result = nr_uses(m)
        if result != 0:
            atomic64_store(cython.address(m.state), RECORD_LIVE)
    leave()
    return result


def module_get(serial: int) -> bool:
    """Count one more use of a live module; false when it is not live. Any context."""
    enter()
    m: cython.pointer[module_record] = module_of(cython.cast(u64, serial))
    live: cython.bint = False
    if m != cython.NULL:
        # Pairs with begin_unload: it stores the state, then looks at the count.
        add_uses(m, 1)
        live = atomic64_load(cython.address(m.state)) == RECORD_LIVE
        if live:
            m.flags = m.flags | MOD_USED_ONCE
        else:
            add_uses(m, -1)
    leave()
    return live or serial == 0


def module_put(serial: int) -> None:
    """Count one use less, never below 0. Any context."""
    enter()
    m: cython.pointer[module_record] = module_of(cython.cast(u64, serial))
    if m != cython.NULL:
        add_uses(m, -1)
    leave()


def module_uses(serial: int) -> int:
    """Return the use count of a module."""
    m: cython.pointer[module_record] = module_of(cython.cast(u64, serial))
    return 0 if m == cython.NULL else nr_uses(m)


def set_module_uses(serial: int, count: int) -> None:
    """Set the use count of a module: what a driver does that forgets its opens."""
    m: cython.pointer[module_record] = module_of(cython.cast(u64, serial))
    wanted: s64 = max(count, 0)
    enter()
    if m != cython.NULL:
        atomic64_store(
            cython.cast(cython.pointer[u64], cython.address(m.usecount)),
            cython.cast(u64, wanted - nr_files_of(m.serial)),
        )
    leave()


def release_module(serial: int) -> None:
    """Free a module's record."""
    m: cython.pointer[module_record] = module_of(cython.cast(u64, serial))
    if m != cython.NULL:
        atomic64_store_release(cython.address(m.state), RECORD_FREE)


def module_info(serial: int):
    """Return what is known of a module, None when it is gone."""
    m: cython.pointer[module_record] = module_of(cython.cast(u64, serial))
    if m == cython.NULL:
        return None
    return {
        "serial": m.serial,
        "state": m.state,
        "name": m.name.decode("utf-8", "replace"),
        "file": m.file.decode("utf-8", "replace"),
        "usecount": nr_uses(m),
        "flags": m.flags,
        "size": m.size,
        "code": m.code,
        "owner_dead": owner_dead(cython.cast(u32, m.owner)),
        "chunks": [
            (m.chunks[i].address, m.chunks[i].order, m.chunks[i].used)
            for i in range(NR_CHUNKS)
            if m.chunks[i].address != 0
        ],
    }


def module_code(serial: int) -> int:
    """Return the text entry + 1 of a module's snapshot, 0 when there is none."""
    m: cython.pointer[module_record] = module_of(cython.cast(u64, serial))
    return 0 if m == cython.NULL else m.code


def module_serials() -> list:
    """Return the serial numbers of all modules, newest first."""
    found: list = [
        modules[i].serial
        for i in range(NR_MODULES)
        if atomic64_load_acquire(cython.address(modules[i].state)) != RECORD_FREE
    ]
    return sorted(found, reverse=True)


def serial_of_struct(address: int) -> int:
    """Return the serial number of the module whose struct lies at `address`, 0 = none."""
    at: u64 = address
    i: cython.int
    for i in range(NR_MODULES):
        if modules[i].state != RECORD_FREE and modules[i].chunks[0].address == at:
            return modules[i].serial
    return 0


def add_chunk(serial: int, address: int, order: int) -> bool:
    """Note pages of a module's static data; false when it has as many as it can."""
    m: cython.pointer[module_record] = module_of(cython.cast(u64, serial))
    i: cython.int
    if m == cython.NULL:
        return False
    for i in range(NR_CHUNKS):
        if m.chunks[i].address == 0:
            m.chunks[i].order = order
            m.chunks[i].used = 0
            m.chunks[i].address = address
            return True
    return False


def take_chunk(serial: int, nr_bytes: int) -> int:
    """Hand out static data of a module, 8-aligned; 0 when no chunk has room."""
    m: cython.pointer[module_record] = module_of(cython.cast(u64, serial))
    need: u32 = (nr_bytes + 7) & ~7
    i: cython.int
    address: u64 = 0
    if m == cython.NULL:
        return 0
    enter()
    flags: u64 = raw_spin_lock_irqsave(cython.address(registry.lock), call_site())
    for i in range(NR_CHUNKS):
        room: u64 = cython.cast(u64, 4096) << m.chunks[i].order
        if m.chunks[i].address != 0 and m.chunks[i].used + need <= room:
            address = m.chunks[i].address + m.chunks[i].used
            m.chunks[i].used += need
            break
    raw_spin_unlock_irqrestore(cython.address(registry.lock), flags)
    leave()
    return address


def module_of(serial):
    i: cython.int
    if serial == 0:
        return cython.NULL
    for i in range(NR_MODULES):
        if modules[i].serial == serial and modules[i].state != RECORD_FREE:
            return cython.address(modules[i])
    return cython.NULL


def may_open(serial):
    """Whether files of a module may be opened: it is there, and nobody removes it."""
    m: cython.pointer[module_record] = module_of(serial)
    if serial == 0:
        return True
    if m == cython.NULL or atomic64_load(cython.address(m.state)) != RECORD_LIVE:
        return False
    m.flags = m.flags | MOD_USED_ONCE
    return True


def nr_uses(m):
    """A module's use count: its open files, and what its own calls have added."""
    word: cython.pointer[u64] = cython.cast(cython.pointer[u64], cython.address(m.usecount))
    count: s64 = nr_files_of(m.serial) + cython.cast(s64, atomic64_load(word))
    return count if count > 0 else 0


def nr_files_of(serial):
    """Count the open files of a module: each is a use of it."""
    i: cython.int
    found: s64 = 0
    for i in range(NR_FILES):
        if open_files[i].serial == serial and open_files[i].state == RECORD_LIVE:
            found += 1
    return found


def add_uses(m, change):
    """Change what a module's own calls have added; the use count never goes below 0."""
    word: cython.pointer[u64] = cython.cast(cython.pointer[u64], cython.address(m.usecount))
    files: s64 = nr_files_of(m.serial)
    old: u64
    new: s64
    while True:
        old = atomic64_load(word)
        new = cython.cast(s64, old) + change
        if new < -files:
            new = -files
        if atomic64_cmpxchg(word, old, cython.cast(u64, new)) == old:
            return
