"""scullv: scull with virtual addresses for quanta (the book's, for 2.4).

A quantum is `1 << order` pages from vmalloc, cleared when it is new: its addresses are
contiguous, its pages lie anywhere, so that a high order does not fail for want of a block.
The rest is scullp: a linked list of items, the first of which is the device struct; an array
of `qset` pointers in each; a device takes the module's values over when it is trimmed, at open
for write only. No ioctl asks for a capability. `vmas` counts mappings as in the book, where a
mapped device is not trimmed; there is no mmap here.

Apart from the book: order, qset and the device's size are read with its semaphore held, a list
item that cannot be allocated is -ENOMEM, and a qset below 1 or an order below 0 or above 18 is
-EINVAL. A quantum of more than all RAM is what vmalloc makes of it: a BUG in 2.4.0 to 2.4.20.

Locks: the semaphore of a device guards all its fields, its items and their quanta.
"""

from smpmm.drivers.ioctl import *
from smpmm.kernel import *

SCULLV_DEVS = 4
SCULLV_ORDER = 4  # a quantum is 1 << order pages: 16
SCULLV_QSET = 500  # pointers in an item
INT_MAX = 0x7FFFFFFF
ORDER_MAX = 18  # 1 GiB: the biggest quantum whose bytes an int can count

scullv_major = 0  # 0: any free one
scullv_devs = SCULLV_DEVS
scullv_order = SCULLV_ORDER
scullv_qset = SCULLV_QSET

MODULE_PARM("scullv_major", "i")
MODULE_PARM("scullv_devs", "i")
MODULE_PARM("scullv_order", "i")
MODULE_PARM("scullv_qset", "i")

# Set, tell, get, query, exchange, shift: the six commands of one integer.
ORDER_COMMANDS = (
    SCULLV_IOCSORDER,
    SCULLV_IOCTORDER,
    SCULLV_IOCGORDER,
    SCULLV_IOCQORDER,
    SCULLV_IOCXORDER,
    SCULLV_IOCHORDER,
)
QSET_COMMANDS = (
    SCULLV_IOCSQSET,
    SCULLV_IOCTQSET,
    SCULLV_IOCGQSET,
    SCULLV_IOCQQSET,
    SCULLV_IOCXQSET,
    SCULLV_IOCHQSET,
)


class ScullVDev(KStruct):
    """A device, or a further item of its list, which uses `data` and `next` only."""

    data: ptr  # array of qset pointers to quanta
    next: ptr  # the next item
    vmas: s32  # active mappings
    order: s32  # of a quantum's pages
    qset: s32  # pointers in an array
    size: u64  # bytes from the start to the end of the last write
    sem: semaphore


class ScullV(KStruct):
    """What the module itself keeps."""

    devices: ptr  # array of scullv_devs ScullVDev


scullv = ScullV.static()


def scullv_device(number):
    """Return the device of a minor number."""
    return ScullVDev.at(scullv.devices + number * sizeof(ScullVDev))


def scullv_trim(dev):
    """Empty a device and give it the module's geometry; its semaphore is held."""
    if dev.vmas:
        return -EBUSY  # somebody has it mapped
    qset = dev.qset
    item = dev
    while True:
        data = item.data
        if data:
            quanta = ptr.at(data)
            for index in range(qset):
                quantum = quanta[index]
                if quantum:
                    vfree(quantum)
            kfree(data)
        following = item.next
        if item is not dev:
            kfree(item)
        if not following:
            break
        item = ScullVDev.at(following)
    dev.data = dev.next = 0
    dev.size = 0
    dev.order = scullv_order
    dev.qset = scullv_qset
    return 0


def scullv_follow(dev, n):
    """Return the n-th item after `dev`, made if need be, or None without memory; may sleep."""
    while n:
        following = dev.next
        if not following:
            following = kmalloc(sizeof(ScullVDev), GFP_KERNEL)
            if not following:
                return None
            memset(following, 0, sizeof(ScullVDev))
            dev.next = following
        dev = ScullVDev.at(following)
        n -= 1
    return dev


def scullv_open(inode, filp):
    number = MINOR(inode.i_rdev)
    if number >= scullv_devs:
        return -ENODEV
    dev = scullv_device(number)
    filp.private_data = dev
    if filp.f_flags & O_ACCMODE == O_WRONLY:
        if down_interruptible(dev.sem):
            return -ERESTARTSYS
        scullv_trim(dev)
        up(dev.sem)
    return 0


def scullv_release(inode, filp):
    return 0


def scullv_read(filp, buf, count, f_pos):
    dev = ScullVDev.at(filp.private_data)
    sem = dev.sem
    if down_interruptible(sem):
        return -ERESTARTSYS
    done = scullv_read_quantum(dev, buf, count, f_pos)
    up(sem)
    return done


def scullv_read_quantum(dev, buf, count, f_pos):
    """Read at most to the end of a quantum; the semaphore is held."""
    pos = f_pos.value
    left = dev.size - pos
    if left <= 0:
        return 0
    quantum = PAGE_SIZE << dev.order
    item, rest = divmod(pos, quantum * dev.qset)
    s_pos, q_pos = divmod(rest, quantum)
    dptr = scullv_follow(dev, item) if item else dev
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


def scullv_write(filp, buf, count, f_pos):
    dev = ScullVDev.at(filp.private_data)
    sem = dev.sem
    if down_interruptible(sem):
        return -ERESTARTSYS
    done = scullv_write_quantum(dev, buf, count, f_pos)
    up(sem)
    return done


def scullv_write_quantum(dev, buf, count, f_pos):
    """Write at most to the end of a quantum; the semaphore is held."""
    pos = f_pos.value
    order = dev.order
    quantum = PAGE_SIZE << order
    qset = dev.qset
    item, rest = divmod(pos, quantum * qset)
    s_pos, q_pos = divmod(rest, quantum)
    dptr = scullv_follow(dev, item) if item else dev
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
        target = vmalloc(quantum)
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


def scullv_llseek(filp, offset, whence):
    dev = ScullVDev.at(filp.private_data)
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


def scullv_ioctl_integer(cmd, arg, commands, old, lowest, limit):
    """Serve one of the six commands of an integer: (result, its new value or None)."""
    set_, tell, get, query, exchange, shift = commands
    if cmd == query:
        return old, None
    if cmd == get:
        return put_user(old, arg), None
    error, new = get_user(arg) if cmd in (set_, exchange) else (0, arg)
    if not error and not lowest <= new <= limit:
        error = -EINVAL
    if error:
        return error, None
    if cmd == exchange:
        return put_user(old, arg), new
    return (old if cmd == shift else 0), new


def scullv_ioctl(inode, filp, cmd, arg):
    global scullv_order, scullv_qset
    if _IOC_TYPE(cmd) != SCULLV_IOC_MAGIC or _IOC_NR(cmd) > SCULLV_IOC_MAXNR:
        return -ENOTTY
    if cmd in ORDER_COMMANDS:
        commands, old = ORDER_COMMANDS, scullv_order
        result, new = scullv_ioctl_integer(cmd, arg, commands, old, 0, ORDER_MAX)
        if new is not None:
            scullv_order = new
        return result
    if cmd in QSET_COMMANDS:
        commands, old = QSET_COMMANDS, scullv_qset
        result, new = scullv_ioctl_integer(cmd, arg, commands, old, 1, INT_MAX)
        if new is not None:
            scullv_qset = new
        return result
    if cmd == SCULLV_IOCRESET:
        scullv_order = SCULLV_ORDER
        scullv_qset = SCULLV_QSET
    elif cmd == SCULLV_IOCHARDRESET:
        THIS_MODULE.usecount = 1  # forget every open but this one
    else:
        return -ENOTTY
    return 0


def scullv_list_items(dev, room):
    """Return the items of a device and the last one's quanta, in not much more than `room`."""
    width = 2 * sizeof(ptr)
    text = ""
    item = dev
    while len(text) <= room:
        text += f"  item at {int(item):0{width}x}, qset at {item.data:0{width}x}\n"
        following = item.next
        if not following:
            break
        item = ScullVDev.at(following)
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


def scullv_read_procmem(page, start, offset, count, eof, data):
    limit = count - 80  # a line more always fits
    text = ""
    for number in range(scullv_devs):
        if len(text) > limit:
            break
        dev = scullv_device(number)
        if down_interruptible(dev.sem):
            return -ERESTARTSYS
        text += f"\nDevice {number}: qset {dev.qset}, order {dev.order}, sz {dev.size}\n"
        text += scullv_list_items(dev, limit - len(text))
        up(dev.sem)
    eof.value = 1
    return text


scullv_fops = file_operations(
    owner=THIS_MODULE,
    llseek=scullv_llseek,
    read=scullv_read,
    write=scullv_write,
    ioctl=scullv_ioctl,
    open=scullv_open,
    release=scullv_release,
)


@module_init
def scullv_init():
    global scullv_major
    if scullv_devs < 1 or scullv_qset < 1 or not 0 <= scullv_order <= ORDER_MAX:
        return -EINVAL
    nr_bytes = scullv_devs * sizeof(ScullVDev)
    devices = kmalloc(nr_bytes, GFP_KERNEL)
    if not devices:
        return -ENOMEM
    memset(devices, 0, nr_bytes)
    scullv.devices = devices
    for number in range(scullv_devs):
        dev = scullv_device(number)
        dev.order = scullv_order
        dev.qset = scullv_qset
        sema_init(dev.sem, 1)
    result = register_chrdev(scullv_major, "scullv", scullv_fops)
    if result < 0:
        printk(f"scullv: can't get major {scullv_major}\n")
        kfree(devices)
        return result
    if scullv_major == 0:
        scullv_major = result
    create_proc_read_entry("scullvmem", 0, None, scullv_read_procmem, None)
    return 0


@module_exit
def scullv_cleanup():
    remove_proc_entry("scullvmem", None)
    unregister_chrdev(scullv_major, "scullv")
    for number in range(scullv_devs):
        scullv_trim(scullv_device(number))
    kfree(scullv.devices)
