"""scullc: scull with its quanta in a cache of its own (the book's, for 2.4).

All quanta of all devices come from one kmem_cache "scullc", created when the module is loaded
for objects of `scullc_quantum` bytes, and are cleared when they are new. The rest is scull: a
linked list of items, the first of which is the device struct; an array of pointers in each; a
device takes the module's values over when it is trimmed, at open for write only.

The cache's objects do not grow: an ioctl may make the quantum smaller than it was at load, and
bigger is -EINVAL. No ioctl asks for a capability. `vmas` counts mappings as in the book, where
a mapped device is not trimmed; there is no mmap here.

Apart from the book: quantum, qset and the device's size are read with its semaphore held, a
list item that cannot be allocated is -ENOMEM, and a quantum or qset below 1 is -EINVAL.

Locks: the semaphore of a device guards all its fields, its items and their quanta.
"""

from smpmm.drivers.ioctl import *
from smpmm.kernel import *

SCULLC_DEVS = 4
SCULLC_QUANTUM = 4000  # bytes
SCULLC_QSET = 500  # pointers in an item
INT_MAX = 0x7FFFFFFF

scullc_major = 0  # 0: any free one
scullc_devs = SCULLC_DEVS
scullc_quantum = SCULLC_QUANTUM
scullc_qset = SCULLC_QSET

MODULE_PARM("scullc_major", "i")
MODULE_PARM("scullc_devs", "i")
MODULE_PARM("scullc_quantum", "i")
MODULE_PARM("scullc_qset", "i")

# Set, tell, get, query, exchange, shift: the six commands of one integer.
QUANTUM_COMMANDS = (
    SCULLC_IOCSQUANTUM,
    SCULLC_IOCTQUANTUM,
    SCULLC_IOCGQUANTUM,
    SCULLC_IOCQQUANTUM,
    SCULLC_IOCXQUANTUM,
    SCULLC_IOCHQUANTUM,
)
QSET_COMMANDS = (
    SCULLC_IOCSQSET,
    SCULLC_IOCTQSET,
    SCULLC_IOCGQSET,
    SCULLC_IOCQQSET,
    SCULLC_IOCXQSET,
    SCULLC_IOCHQSET,
)


class ScullCDev(KStruct):
    """A device, or a further item of its list, which uses `data` and `next` only."""

    data: ptr  # array of qset pointers to quanta
    next: ptr  # the next item
    vmas: s32  # active mappings
    quantum: s32  # bytes
    qset: s32  # pointers in an array
    size: u64  # bytes from the start to the end of the last write
    sem: semaphore


class ScullC(KStruct):
    """What the module itself keeps."""

    devices: ptr  # array of scullc_devs ScullCDev
    cache: ptr  # of quanta, for all devices
    object_bytes: s32  # what the cache was made for: the upper limit of scullc_quantum


scullc = ScullC.static()


def scullc_device(number):
    """Return the device of a minor number."""
    return ScullCDev.at(scullc.devices + number * sizeof(ScullCDev))


def scullc_trim(dev):
    """Empty a device and give it the module's geometry; its semaphore is held."""
    if dev.vmas:
        return -EBUSY  # somebody has it mapped
    cache = scullc.cache
    qset = dev.qset
    item = dev
    while True:
        data = item.data
        if data:
            quanta = ptr.at(data)
            for index in range(qset):
                quantum = quanta[index]
                if quantum:
                    kmem_cache_free(cache, quantum)
            kfree(data)
        following = item.next
        if item is not dev:
            kfree(item)
        if not following:
            break
        item = ScullCDev.at(following)
    dev.data = dev.next = 0
    dev.size = 0
    dev.quantum = scullc_quantum
    dev.qset = scullc_qset
    return 0


def scullc_follow(dev, n):
    """Return the n-th item after `dev`, made if need be, or None without memory; may sleep."""
    while n:
        following = dev.next
        if not following:
            following = kmalloc(sizeof(ScullCDev), GFP_KERNEL)
            if not following:
                return None
            memset(following, 0, sizeof(ScullCDev))
            dev.next = following
        dev = ScullCDev.at(following)
        n -= 1
    return dev


def scullc_open(inode, filp):
    number = MINOR(inode.i_rdev)
    if number >= scullc_devs:
        return -ENODEV
    dev = scullc_device(number)
    filp.private_data = dev
    if filp.f_flags & O_ACCMODE == O_WRONLY:
        if down_interruptible(dev.sem):
            return -ERESTARTSYS
        scullc_trim(dev)
        up(dev.sem)
    return 0


def scullc_release(inode, filp):
    return 0


def scullc_read(filp, buf, count, f_pos):
    dev = ScullCDev.at(filp.private_data)
    sem = dev.sem
    if down_interruptible(sem):
        return -ERESTARTSYS
    done = scullc_read_quantum(dev, buf, count, f_pos)
    up(sem)
    return done


def scullc_read_quantum(dev, buf, count, f_pos):
    """Read at most to the end of a quantum; the semaphore is held."""
    pos = f_pos.value
    left = dev.size - pos
    if left <= 0:
        return 0
    quantum = dev.quantum
    item, rest = divmod(pos, quantum * dev.qset)
    s_pos, q_pos = divmod(rest, quantum)
    dptr = scullc_follow(dev, item) if item else dev
    if dptr is None:
        return -ENOMEM
    data = dptr.data
    source = ptr.at(data)[s_pos] if data else 0
    if not source:
        return 0  # a hole is not filled with zeroes
    count = min(count, left, quantum - q_pos)
    if copy_to_user(buf, source + q_pos, count):
        return -EFAULT
    f_pos.value = pos + count
    return count


def scullc_write(filp, buf, count, f_pos):
    dev = ScullCDev.at(filp.private_data)
    sem = dev.sem
    if down_interruptible(sem):
        return -ERESTARTSYS
    done = scullc_write_quantum(dev, buf, count, f_pos)
    up(sem)
    return done


def scullc_write_quantum(dev, buf, count, f_pos):
    """Write at most to the end of a quantum; the semaphore is held."""
    pos = f_pos.value
    quantum = dev.quantum
    qset = dev.qset
    item, rest = divmod(pos, quantum * qset)
    s_pos, q_pos = divmod(rest, quantum)
    dptr = scullc_follow(dev, item) if item else dev
    if dptr is None:
        return -ENOMEM
    data = dptr.data
    if not data:
        data = kmalloc(qset * sizeof(ptr), GFP_KERNEL)
        if not data:
            return -ENOMEM
        memset(data, 0, qset * sizeof(ptr))
        dptr.data = data
    quanta = ptr.at(data)
    target = quanta[s_pos]
    if not target:
        target = kmem_cache_alloc(scullc.cache, GFP_KERNEL)
        if not target:
            return -ENOMEM
        memset(target, 0, quantum)
        quanta[s_pos] = target
    if count > quantum - q_pos:
        count = quantum - q_pos
    if copy_from_user(target + q_pos, buf, count):
        return -EFAULT
    pos += count
    f_pos.value = pos
    if dev.size < pos:
        dev.size = pos
    return count


def scullc_llseek(filp, offset, whence):
    dev = ScullCDev.at(filp.private_data)
    if whence == 0:
        position = offset
    elif whence == 1:
        position = filp.f_pos + offset
    elif whence == 2:
        position = dev.size + offset
    else:
        return -EINVAL
    if position < 0:
        return -EINVAL
    filp.f_pos = position
    return position


def scullc_ioctl_integer(cmd, arg, commands, old, limit):
    """Serve one of the six commands of an integer: (result, its new value or None)."""
    set_, tell, get, query, exchange, shift = commands
    if cmd == query:
        return old, None
    if cmd == get:
        return put_user(old, arg), None
    error, new = get_user(arg) if cmd in (set_, exchange) else (0, arg)
    if not error and not 0 < new <= limit:
        error = -EINVAL
    if error:
        return error, None
    if cmd == exchange:
        return put_user(old, arg), new
    return (old if cmd == shift else 0), new


def scullc_ioctl(inode, filp, cmd, arg):
    global scullc_quantum, scullc_qset
    if _IOC_TYPE(cmd) != SCULLC_IOC_MAGIC or _IOC_NR(cmd) > SCULLC_IOC_MAXNR:
        return -ENOTTY
    limit = scullc.object_bytes
    if cmd in QUANTUM_COMMANDS:
        result, new = scullc_ioctl_integer(cmd, arg, QUANTUM_COMMANDS, scullc_quantum, limit)
        if new is not None:
            scullc_quantum = new
        return result
    if cmd in QSET_COMMANDS:
        result, new = scullc_ioctl_integer(cmd, arg, QSET_COMMANDS, scullc_qset, INT_MAX)
        if new is not None:
            scullc_qset = new
        return result
    if cmd == SCULLC_IOCRESET:
        scullc_quantum = min(SCULLC_QUANTUM, limit)
        scullc_qset = SCULLC_QSET
    elif cmd == SCULLC_IOCHARDRESET:
        THIS_MODULE.usecount = 1  # forget every open but this one
    else:
        return -ENOTTY
    return 0


def scullc_list_items(dev, room):
    """Return the items of a device and the last one's quanta, in not much more than `room`."""
    width = 2 * sizeof(ptr)
    text = ""
    item = dev
    while len(text) <= room:
        text += f"  item at {int(item):0{width}x}, qset at {item.data:0{width}x}\n"
        following = item.next
        if not following:
            break
        item = ScullCDev.at(following)
    data = item.data
    if not data or item.next:
        return text
    quanta = ptr.at(data)
    for index in range(dev.qset):
        quantum = quanta[index]
        if quantum:
            if len(text) > room:
                break
            text += f"    {index: 4d}:{quantum:0{width}x}\n"
    return text


def scullc_read_procmem(page, start, offset, count, eof, data):
    limit = count - 80  # a line more always fits
    text = ""
    for number in range(scullc_devs):
        if len(text) > limit:
            break
        dev = scullc_device(number)
        if down_interruptible(dev.sem):
            return -ERESTARTSYS
        text += f"\nDevice {number}: qset {dev.qset}, quantum {dev.quantum}, sz {dev.size}\n"
        text += scullc_list_items(dev, limit - len(text))
        up(dev.sem)
    eof.value = 1
    return text


scullc_fops = file_operations(
    owner=THIS_MODULE,
    llseek=scullc_llseek,
    read=scullc_read,
    write=scullc_write,
    ioctl=scullc_ioctl,
    open=scullc_open,
    release=scullc_release,
)


@module_init
def scullc_init():
    global scullc_major
    if scullc_devs < 1 or scullc_qset < 1:
        return -EINVAL
    if not sizeof(ptr) <= scullc_quantum <= 32 * PAGE_SIZE:
        return -EINVAL  # kmem_cache_create takes such a size for a BUG
    nr_bytes = scullc_devs * sizeof(ScullCDev)
    devices = kmalloc(nr_bytes, GFP_KERNEL)
    if not devices:
        return -ENOMEM
    memset(devices, 0, nr_bytes)
    scullc.devices = devices
    for number in range(scullc_devs):
        dev = scullc_device(number)
        dev.quantum = scullc_quantum
        dev.qset = scullc_qset
        sema_init(dev.sem, 1)
    cache = kmem_cache_create("scullc", scullc_quantum, 0, SLAB_HWCACHE_ALIGN, None, None)
    if not cache:
        kfree(devices)
        return -ENOMEM
    scullc.cache = cache
    scullc.object_bytes = scullc_quantum
    result = register_chrdev(scullc_major, "scullc", scullc_fops)
    if result < 0:
        printk(f"scullc: can't get major {scullc_major}\n")
        kmem_cache_destroy(cache)
        kfree(devices)
        return result
    if scullc_major == 0:
        scullc_major = result
    create_proc_read_entry("scullcmem", 0, None, scullc_read_procmem, None)
    return 0


@module_exit
def scullc_cleanup():
    remove_proc_entry("scullcmem", None)
    unregister_chrdev(scullc_major, "scullc")
    for number in range(scullc_devs):
        scullc_trim(scullc_device(number))
    if kmem_cache_destroy(scullc.cache):
        printk("scullc: quanta are still in use\n")
    kfree(scullc.devices)
