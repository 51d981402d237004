"""What is registered with the kernel: modules, character devices, open files, /proc entries.

Tables in the control area. A record is claimed and released under `registry_lock`; it becomes
valid by one store of its state, so a process that dies meanwhile leaves a record that is whole
or none. What changes in a live record is a word of its own. Readers take no lock.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import (
    atomic64_cmpxchg,
    atomic64_fetch_add,
    atomic64_load,
    atomic64_load_acquire,
    atomic64_store,
    atomic64_store_release,
    atomic64_xchg,
)
from cython.cimports.cpus.callsite_cy import call_site
from cython.cimports.cpus.kill_cy import KILL_FILE_CLAIMED, kill_point
from cython.cimports.cpus.percpu_cy import enter, leave, owner_dead, this_owner
from cython.cimports.cpus.spinlock_cy import (
    CLASS_SPIN,
    RECOVER_NOTHING,
    lock_class_named,
    raw_spin_lock_irqsave,
    raw_spin_unlock_irqrestore,
    spinlock_init,
)
from cython.cimports.libc.string import memset, strcmp, strncpy

COMING: int = RECORD_COMING
LIVE: int = RECORD_LIVE
GOING: int = RECORD_GOING
USED_ONCE: int = MOD_USED_ONCE
LAST_MAJOR: int = NR_MAJORS - 1


def regions(config: object = None) -> dict:
    """Return the regions of the segment that this module needs, name → bytes."""
    return {
        "registry": cython.sizeof(registry_header),
        "modules": NR_MODULES * cython.sizeof(module_record),
        "chrdevs": NR_MAJORS * cython.sizeof(chrdev_record),
        "open_files": NR_FILES * cython.sizeof(file_record),
        "procs": NR_PROC * cython.sizeof(proc_record),
        "nodes": NR_NODES * cython.sizeof(node_record),
    }


def attach(config: object = None) -> None:
    """Find this module's regions in the attached segment."""
    global registry, modules, chrdevs, open_files, procs, dev_nodes
    registry = cython.cast(cython.pointer[registry_header], segment_cy.region_at(b"registry"))
    modules = cython.cast(cython.pointer[module_record], segment_cy.region_at(b"modules"))
    chrdevs = cython.cast(cython.pointer[chrdev_record], segment_cy.region_at(b"chrdevs"))
    open_files = cython.cast(cython.pointer[file_record], segment_cy.region_at(b"open_files"))
    procs = cython.cast(cython.pointer[proc_record], segment_cy.region_at(b"procs"))
    dev_nodes = cython.cast(cython.pointer[node_record], segment_cy.region_at(b"nodes"))


def init(config: object = None) -> None:
    """Format the regions of a fresh segment."""
    memset(registry, 0, cython.sizeof(registry_header))
    spinlock_init(
        cython.address(registry.lock),
        lock_class_named(b"registry_lock", CLASS_SPIN, RECOVER_NOTHING),
    )
    registry.next_serial = 1


def claim_module(name: str, file: str) -> int:
    """Take a module record in state COMING; its serial, 0: the name is taken, -1: full."""
    name_bytes: bytes = name.encode()[:63]
    file_bytes: bytes = file.encode()[-255:]
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


def module_of(serial):
    i: cython.int
    if serial == 0:
        return cython.NULL
    for i in range(NR_MODULES):
        if modules[i].serial == serial and modules[i].state != RECORD_FREE:
            return cython.address(modules[i])
    return cython.NULL


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


def nr_files_of(serial):
    """Count the open files of a module: each is a use of it."""
    i: cython.int
    found: s64 = 0
    for i in range(NR_FILES):
        if open_files[i].serial == serial and open_files[i].state == RECORD_LIVE:
            found += 1
    return found


def nr_uses(m):
    """A module's use count: its open files, and what its own calls have added."""
    word: cython.pointer[u64] = cython.cast(cython.pointer[u64], cython.address(m.usecount))
    count: s64 = nr_files_of(m.serial) + cython.cast(s64, atomic64_load(word))
    return count if count > 0 else 0


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


def serial_of_struct(address: int) -> int:
    """Return the serial number of the module whose struct lies at `address`, 0 = none."""
    at: u64 = address
    i: cython.int
    for i in range(NR_MODULES):
        if modules[i].state != RECORD_FREE and modules[i].chunks[0].address == at:
            return modules[i].serial
    return 0


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


def claim_chrdev(major: int, name: str, fops: int, serial: int) -> int:
    """Register a major; 0 takes the highest free one below 255. The major, or 0: taken."""
    name_bytes: bytes = name.encode()[:31]
    name_text: cython.p_const_char = name_bytes
    c_fops: u64 = fops
    c_serial: u64 = serial
    found: cython.int = 0
    i: cython.int = major
    d: cython.pointer[chrdev_record]
    enter()
    flags: u64 = raw_spin_lock_irqsave(cython.address(registry.lock), call_site())
    if i != 0:
        found = i if chrdevs[cython.cast(u32, i)].state == RECORD_FREE else 0
    else:
        for i in range(NR_MAJORS - 2, 0, -1):
            if chrdevs[i].state == RECORD_FREE:
                found = i
                break
    if found != 0:
        d = cython.address(chrdevs[found])
        d.fops = c_fops
        d.serial = c_serial
        memset(d.name, 0, 32)
        strncpy(d.name, name_text, 31)
        atomic64_store_release(cython.address(d.state), RECORD_LIVE)
    raw_spin_unlock_irqrestore(cython.address(registry.lock), flags)
    leave()
    return found


def release_chrdev(major: int, name: str) -> bool:
    """Take a major away; false when it is not registered under `name`."""
    name_bytes: bytes = name.encode()[:31]
    name_text: cython.p_const_char = name_bytes
    d: cython.pointer[chrdev_record] = cython.address(chrdevs[cython.cast(u32, major)])
    done: cython.bint = False
    enter()
    flags: u64 = raw_spin_lock_irqsave(cython.address(registry.lock), call_site())
    if d.state == RECORD_LIVE and strcmp(d.name, name_text) == 0:
        atomic64_store_release(cython.address(d.state), RECORD_FREE)
        done = True
    raw_spin_unlock_irqrestore(cython.address(registry.lock), flags)
    leave()
    return done


def chrdev_info(major: int):
    """Return (name, address of its operations, serial of its module) of a major, or None."""
    d: cython.pointer[chrdev_record] = cython.address(chrdevs[cython.cast(u32, major)])
    if atomic64_load_acquire(cython.address(d.state)) != RECORD_LIVE:
        return None
    return d.name.decode("utf-8", "replace"), d.fops, d.serial


def claim_file(owner: int, f_flags: int, i_rdev: int, fops: int, serial: int) -> int:
    """Take a file record, a use of its module: its number, -1 full, -2 no module."""
    c_owner: u64 = owner
    c_flags: u64 = f_flags
    c_rdev: u64 = i_rdev
    c_fops: u64 = fops
    c_serial: u64 = serial
    number: cython.int = -1
    start: cython.int
    i: cython.int
    f: cython.pointer[file_record]
    enter()
    flags: u64 = raw_spin_lock_irqsave(cython.address(registry.lock), call_site())
    start = cython.cast(cython.int, atomic64_fetch_add(cython.address(registry.nr_opens), 1))
    for i in range(NR_FILES):
        f = cython.address(open_files[(start + i) & (NR_FILES - 1)])
        if f.state == RECORD_FREE:
            number = (start + i) & (NR_FILES - 1)
            f.owner = c_owner
            f.f_pos = 0
            f.f_flags = c_flags
            f.private_data = 0
            f.i_rdev = c_rdev
            f.fops = c_fops
            f.serial = c_serial
            f.generation += 1
            # Pairs with begin_unload: it stores the module's state, then looks for files.
            atomic64_xchg(cython.address(f.state), RECORD_LIVE)
            kill_point(KILL_FILE_CLAIMED)
            if not may_open(c_serial):
                atomic64_store_release(cython.address(f.state), RECORD_FREE)
                number = -2
            break
    raw_spin_unlock_irqrestore(cython.address(registry.lock), flags)
    leave()
    return number


def may_open(serial):
    """Whether files of a module may be opened: it is there, and nobody removes it."""
    m: cython.pointer[module_record] = module_of(serial)
    if serial == 0:
        return True
    if m == cython.NULL or atomic64_load(cython.address(m.state)) != RECORD_LIVE:
        return False
    m.flags = m.flags | MOD_USED_ONCE
    return True


def release_file(number: int) -> None:
    """Free a file record: its use of the module ends."""
    f: cython.pointer[file_record] = cython.address(
        open_files[cython.cast(cython.int, number)]
    )
    m: cython.pointer[module_record] = module_of(f.serial)
    enter()
    if atomic64_cmpxchg(cython.address(f.state), RECORD_LIVE, RECORD_FREE) == RECORD_LIVE:
        if m != cython.NULL and m.usecount < 0:
            add_uses(m, 0)
    leave()


def pass_file(number: int, owner: int, to: int) -> bool:
    """Make an open file of `owner` that of `to`; false when it is not his any more."""
    c_owner: u64 = owner
    c_to: u64 = to
    f: cython.pointer[file_record] = cython.address(
        open_files[cython.cast(cython.int, number)]
    )
    return atomic64_cmpxchg(cython.address(f.owner), c_owner, c_to) == c_owner


def file_generation(number: int) -> int:
    """Return how often a live file record has been used, 0 when it is free."""
    f: cython.pointer[file_record] = cython.address(
        open_files[cython.cast(cython.int, number)]
    )
    if atomic64_load_acquire(cython.address(f.state)) != RECORD_LIVE:
        return 0
    return f.generation


def open_files_info() -> list:
    """Return (number, generation, owner) of every open file."""
    return [
        (i, open_files[i].generation, open_files[i].owner)
        for i in range(NR_FILES)
        if open_files[i].state == RECORD_LIVE
    ]


def claim_proc(name: str, read_proc: int, data: int, mode: int, serial: int) -> int:
    """Make a /proc entry; its number, -1 when the name is taken, -2 when the table is full."""
    name_bytes: bytes = name.encode()[:63]
    name_text: cython.p_const_char = name_bytes
    c_read: u64 = read_proc
    c_data: u64 = data
    c_mode: u64 = mode
    c_serial: u64 = serial
    number: cython.int = -2
    i: cython.int
    p: cython.pointer[proc_record]
    enter()
    flags: u64 = raw_spin_lock_irqsave(cython.address(registry.lock), call_site())
    for i in range(NR_PROC):
        if procs[i].state == RECORD_FREE:
            number = i if number == -2 else number
        elif strcmp(procs[i].name, name_text) == 0:
            number = -1
            break
    if number >= 0:
        p = cython.address(procs[number])
        p.read_proc = c_read
        p.data = c_data
        p.mode = c_mode
        p.serial = c_serial
        memset(p.name, 0, 64)
        strncpy(p.name, name_text, 63)
        atomic64_store_release(cython.address(p.state), RECORD_LIVE)
    raw_spin_unlock_irqrestore(cython.address(registry.lock), flags)
    leave()
    return number


def release_proc(name: str) -> bool:
    """Remove a /proc entry; false when there is none of this name."""
    name_bytes: bytes = name.encode()[:63]
    name_text: cython.p_const_char = name_bytes
    i: cython.int
    done: cython.bint = False
    enter()
    flags: u64 = raw_spin_lock_irqsave(cython.address(registry.lock), call_site())
    for i in range(NR_PROC):
        if procs[i].state == RECORD_LIVE and strcmp(procs[i].name, name_text) == 0:
            atomic64_store_release(cython.address(procs[i].state), RECORD_FREE)
            done = True
    raw_spin_unlock_irqrestore(cython.address(registry.lock), flags)
    leave()
    return done


def proc_entries() -> dict:
    """Return the entries of drivers: name → (text address, data, mode, module's serial)."""
    return {
        procs[i].name.decode("utf-8", "replace"): (
            procs[i].read_proc,
            procs[i].data,
            procs[i].mode,
            procs[i].serial,
        )
        for i in range(NR_PROC)
        if atomic64_load_acquire(cython.address(procs[i].state)) == RECORD_LIVE
    }


def claim_node(path: str, i_rdev: int) -> bool:
    """Make a device node; false when the path is taken. OverflowError when it is full."""
    path_bytes: bytes = path.encode()
    if len(path_bytes) > 111:
        raise ValueError(f"the path of a device node has at most 111 bytes: {path}")
    path_text: cython.p_const_char = path_bytes
    c_rdev: u64 = i_rdev
    at: cython.int = -1
    taken: cython.bint = False
    i: cython.int
    enter()
    flags: u64 = raw_spin_lock_irqsave(cython.address(registry.lock), call_site())
    for i in range(NR_NODES):
        if dev_nodes[i].state == RECORD_FREE:
            at = i if at < 0 else at
        elif strcmp(dev_nodes[i].path, path_text) == 0:
            taken = True
    if at >= 0 and not taken:
        memset(dev_nodes[at].path, 0, 112)
        strncpy(dev_nodes[at].path, path_text, 111)
        dev_nodes[at].i_rdev = c_rdev
        atomic64_store_release(cython.address(dev_nodes[at].state), RECORD_LIVE)
    raw_spin_unlock_irqrestore(cython.address(registry.lock), flags)
    leave()
    if at < 0 and not taken:
        raise OverflowError(f"all {NR_NODES} device nodes are taken")
    return not taken


def nodes() -> dict:
    """Return the nodes that were made: path → device number."""
    return {
        dev_nodes[i].path.decode("utf-8", "replace"): dev_nodes[i].i_rdev
        for i in range(NR_NODES)
        if atomic64_load_acquire(cython.address(dev_nodes[i].state)) == RECORD_LIVE
    }
