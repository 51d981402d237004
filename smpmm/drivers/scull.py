"""scull: a memory area as a character device, in kmalloc'ed quanta (the book's, for 2.4).

A device is a linked list of items, the first of which is the device struct itself. An item
has an array of `qset` pointers, each to a quantum of `quantum` bytes; a missing array or
quantum is a hole. One read or write never crosses the end of a quantum. The ioctls change the
module's values, which a device takes over when it is next trimmed: at open for write only.

Apart from the book: quantum, qset and the device's size are read with its semaphore held, a
list item that cannot be allocated is -ENOMEM, and a quantum or qset below 1 is -EINVAL, where
the book divides by it. A new quantum is not cleared, as there. The pipe and access control
devices (minors 16 and up) are left out; only the pipe's buffer size keeps its two ioctls.

Locks: the semaphore of a device guards all its fields, its items and their quanta. No other
lock is taken under it, apart from the allocator's.
"""

from smpmm.drivers.ioctl import *
from smpmm.kernel import *

SCULL_NR_DEVS = 4
SCULL_QUANTUM = 4000  # bytes
SCULL_QSET = 1000  # pointers in an item
SCULL_P_BUFFER = 4000  # bytes
INT_MAX = 0x7FFFFFFF

scull_major = 0  # 0: any free one
scull_nr_devs = SCULL_NR_DEVS
scull_quantum = SCULL_QUANTUM
scull_qset = SCULL_QSET
scull_p_buffer = SCULL_P_BUFFER

MODULE_PARM("scull_major", "i")
MODULE_PARM("scull_nr_devs", "i")
MODULE_PARM("scull_quantum", "i")
MODULE_PARM("scull_qset", "i")
MODULE_PARM("scull_p_buffer", "i")

# Set, tell, get, query, exchange, shift: the six commands of one integer.
QUANTUM_COMMANDS = (
    SCULL_IOCSQUANTUM,
    SCULL_IOCTQUANTUM,
    SCULL_IOCGQUANTUM,
    SCULL_IOCQQUANTUM,
    SCULL_IOCXQUANTUM,
    SCULL_IOCHQUANTUM,
)
QSET_COMMANDS = (
    SCULL_IOCSQSET,
    SCULL_IOCTQSET,
    SCULL_IOCGQSET,
    SCULL_IOCQQSET,
    SCULL_IOCXQSET,
    SCULL_IOCHQSET,
)
READING_COMMANDS = (
    SCULL_IOCGQUANTUM,
    SCULL_IOCQQUANTUM,
    SCULL_IOCGQSET,
    SCULL_IOCQQSET,
)


class ScullDev(KStruct):
    """A device, or a further item of its list, which uses `data` and `next` only."""

    data: ptr  # array of qset pointers to quanta
    next: ptr  # the next item
    quantum: s32  # bytes
    qset: s32  # pointers in an array
    size: u64  # bytes from the start to the end of the last write
    access_key: u32  # of the access control devices
    sem: semaphore


class Scull(KStruct):
    """What the module itself keeps."""

    devices: ptr  # array of scull_nr_devs ScullDev


scull = Scull.static()


def scull_device(number):
    """Return the device of a minor number."""
    return ScullDev.at(scull.devices + number * sizeof(ScullDev))


def scull_trim(dev):
    """Empty a device and give it the module's geometry; its semaphore is held."""
    qset = dev.qset
    item = dev
    while True:
        data = item.data
        if data:
            quanta = ptr.at(data)
            for index in range(qset):
                quantum = quanta[index]
                if quantum:
                    kfree(quantum)
            kfree(data)
        following = item.next
        if item is not dev:
            kfree(item)
        if not following:
            break
        item = ScullDev.at(following)
    dev.data = dev.next = 0
    dev.size = 0
    dev.quantum = scull_quantum
    dev.qset = scull_qset
    return 0


def scull_follow(dev, n):
    """Return the n-th item after `dev`, made if need be, or None without memory; may sleep."""
    while n:
        following = dev.next
        if not following:
            following = kmalloc(sizeof(ScullDev), GFP_KERNEL)
            if not following:
                return None
            memset(following, 0, sizeof(ScullDev))
            dev.next = following
        dev = ScullDev.at(following)
        n -= 1
    return dev


def scull_open(inode, filp):
    number = MINOR(inode.i_rdev)
    if number >= scull_nr_devs:
        return -ENODEV
    dev = scull_device(number)
    filp.private_data = dev
    if filp.f_flags & O_ACCMODE == O_WRONLY:
        if down_interruptible(dev.sem):
            return -ERESTARTSYS
        scull_trim(dev)
        up(dev.sem)
    return 0


def scull_release(inode, filp):
    return 0


def scull_read(filp, buf, count, f_pos):
    dev = ScullDev.at(filp.private_data)
    sem = dev.sem
    if down_interruptible(sem):
        return -ERESTARTSYS
    done = scull_read_quantum(dev, buf, count, f_pos)
    up(sem)
    return done


def scull_read_quantum(dev, buf, count, f_pos):
    """Read at most to the end of a quantum; the semaphore is held."""
    pos = f_pos.value
    left = dev.size - pos
    if left <= 0:
        return 0
    quantum = dev.quantum
    item, rest = divmod(pos, quantum * dev.qset)
    s_pos, q_pos = divmod(rest, quantum)
    dptr = scull_follow(dev, item) if item else dev
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


def scull_write(filp, buf, count, f_pos):
    dev = ScullDev.at(filp.private_data)
    sem = dev.sem
    if down_interruptible(sem):
        return -ERESTARTSYS
    done = scull_write_quantum(dev, buf, count, f_pos)
    up(sem)
    return done


def scull_write_quantum(dev, buf, count, f_pos):
    """Write at most to the end of a quantum; the semaphore is held."""
    pos = f_pos.value
    quantum = dev.quantum
    qset = dev.qset
    item, rest = divmod(pos, quantum * qset)
    s_pos, q_pos = divmod(rest, quantum)
    dptr = scull_follow(dev, item) if item else dev
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
        target = kmalloc(quantum, GFP_KERNEL)
        if not target:
            return -ENOMEM
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


def scull_llseek(filp, offset, whence):
    dev = ScullDev.at(filp.private_data)
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


def scull_ioctl_integer(cmd, arg, commands, old):
    """Serve one of the six commands of an integer: (result, its new value or None)."""
    set_, tell, get, query, exchange, shift = commands
    if cmd == query:
        return old, None
    if cmd == get:
        return put_user(old, arg), None
    error, new = get_user(arg) if cmd in (set_, exchange) else (0, arg)
    if not error and not 0 < new <= INT_MAX:
        error = -EINVAL
    if error:
        return error, None
    if cmd == exchange:
        return put_user(old, arg), new
    return (old if cmd == shift else 0), new


def scull_ioctl(inode, filp, cmd, arg):
    global scull_quantum, scull_qset, scull_p_buffer
    if _IOC_TYPE(cmd) != SCULL_IOC_MAGIC or _IOC_NR(cmd) > SCULL_IOC_MAXNR:
        return -ENOTTY
    if cmd in QUANTUM_COMMANDS or cmd in QSET_COMMANDS:
        if cmd not in READING_COMMANDS and not capable(CAP_SYS_ADMIN):
            return -EPERM
        if cmd in QUANTUM_COMMANDS:
            result, new = scull_ioctl_integer(cmd, arg, QUANTUM_COMMANDS, scull_quantum)
            if new is not None:
                scull_quantum = new
        else:
            result, new = scull_ioctl_integer(cmd, arg, QSET_COMMANDS, scull_qset)
            if new is not None:
                scull_qset = new
        return result
    if cmd == SCULL_IOCRESET:
        scull_quantum = SCULL_QUANTUM
        scull_qset = SCULL_QSET
    elif cmd == SCULL_P_IOCTSIZE:
        scull_p_buffer = arg
    elif cmd == SCULL_P_IOCQSIZE:
        return scull_p_buffer
    elif cmd == SCULL_IOCHARDRESET:
        THIS_MODULE.usecount = 1  # forget every open but this one
    else:
        return -ENOTTY
    return 0


def scull_list_items(dev, room):
    """Return the items of a device and the last one's quanta, in not much more than `room`."""
    width = 2 * sizeof(ptr)
    text = ""
    item = dev
    while len(text) <= room:
        text += f"  item at {int(item):0{width}x}, qset at {item.data:0{width}x}\n"
        following = item.next
        if not following:
            break
        item = ScullDev.at(following)
    data = item.data
    if not data or item.next:
        return text
    quanta = ptr.at(data)
    for index in range(dev.qset):
        quantum = quanta[index]
        if quantum:
            if len(text) > room:
                break
            text += f"    {index: 4d}: {quantum:0{width}x}\n"
    return text


def scull_read_procmem(page, start, offset, count, eof, data):
    limit = count - 80  # a line more always fits
    text = ""
    for number in range(scull_nr_devs):
        if len(text) > limit:
            break
        dev = scull_device(number)
        if down_interruptible(dev.sem):
            return -ERESTARTSYS
        text += f"\nDevice {number}: qset {dev.qset}, q {dev.quantum}, sz {dev.size}\n"
        text += scull_list_items(dev, limit - len(text))
        up(dev.sem)
    eof.value = 1
    return text


scull_fops = file_operations(
    owner=THIS_MODULE,
    llseek=scull_llseek,
    read=scull_read,
    write=scull_write,
    ioctl=scull_ioctl,
    open=scull_open,
    release=scull_release,
)


@module_init
def scull_init():
    global scull_major
    if scull_nr_devs < 1 or scull_quantum < 1 or scull_qset < 1:
        return -EINVAL
    nr_bytes = scull_nr_devs * sizeof(ScullDev)
    devices = kmalloc(nr_bytes, GFP_KERNEL)
    if not devices:
        return -ENOMEM
    memset(devices, 0, nr_bytes)
    scull.devices = devices
    for number in range(scull_nr_devs):
        dev = scull_device(number)
        dev.quantum = scull_quantum
        dev.qset = scull_qset
        sema_init(dev.sem, 1)
    result = register_chrdev(scull_major, "scull", scull_fops)
    if result < 0:
        printk(f"scull: can't get major {scull_major}\n")
        kfree(devices)
        return result
    if scull_major == 0:
        scull_major = result
    create_proc_read_entry("scullmem", 0, None, scull_read_procmem, None)
    return 0


@module_exit
def scull_cleanup():
    remove_proc_entry("scullmem", None)
    unregister_chrdev(scull_major, "scull")
    for number in range(scull_nr_devs):
        scull_trim(scull_device(number))
    kfree(scull.devices)
