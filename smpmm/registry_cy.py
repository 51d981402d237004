"""What is registered with the kernel: the tables, character devices and /proc entries.

`module_table_cy` and `file_table_cy` have the calls on modules and open files. The tables lie
in the control area. A record is claimed and released under `registry_lock`; it becomes
valid by one store of its state, so a process that dies meanwhile leaves a record that is whole
or none. What changes in a live record is a word of its own. Readers take no lock.
"""

import cython
from cython.cimports.cpus import segment_cy
from cython.cimports.cpus.atomic import atomic64_load_acquire, atomic64_store_release
from cython.cimports.cpus.callsite_cy import call_site
from cython.cimports.cpus.percpu_cy import enter, leave
from cython.cimports.cpus.spinlock_cy import (
    CLASS_SPIN,
    RECOVER_NOTHING,
    lock_class_named,
    raw_spin_lock_irqsave,
    raw_spin_unlock_irqrestore,
    spinlock_init,
)
from cython.cimports.libc.string import memset, strcmp, strncpy

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
