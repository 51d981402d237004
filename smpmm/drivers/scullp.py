"""scullp: scull with whole pages for quanta (the book's, for 2.4).

A quantum is a block of `1 << order` pages from __get_free_pages, cleared when it is new. The
rest is scull: a linked list of items, the first of which is the device struct; an array of
`qset` pointers in each; a device takes the module's values over when it is trimmed, at open
for write only. No ioctl asks for a capability. `vmas` counts mappings: a mapped device is not
trimmed. Only a device of order 0 can be mapped, since a mapping refers to single pages; a page
that is not there when it is touched is a SIGBUS.

Apart from the book: order, qset and the device's size are read with its semaphore held, a list
item that cannot be allocated is -ENOMEM, and a qset below 1 or an order below 0 or above 18 is
-EINVAL. An order that the allocator has not, 10 and up in 2.4, is -ENOMEM at the write.

Locks: the semaphore of a device guards all its fields, its items and their quanta.
"""

from smpmm.drivers.ioctl import *
from smpmm.kernel import *

SCULLP_DEVS = 4
SCULLP_ORDER = 0  # a quantum is 1 << order pages
SCULLP_QSET = 500  # pointers in an item
INT_MAX = 0x7FFFFFFF
ORDER_MAX = 18  # 1 GiB: the biggest quantum whose bytes an int can count

scullp_major = 0  # 0: any free one
scullp_devs = SCULLP_DEVS
scullp_order = SCULLP_ORDER
scullp_qset = SCULLP_QSET

MODULE_PARM("scullp_major", "i")
MODULE_PARM("scullp_devs", "i")
MODULE_PARM("scullp_order", "i")
MODULE_PARM("scullp_qset", "i")

# Set, tell, get, query, exchange, shift: the six commands of one integer.
ORDER_COMMANDS = (
    SCULLP_IOCSORDER,
    SCULLP_IOCTORDER,
    SCULLP_IOCGORDER,
    SCULLP_IOCQORDER,
    SCULLP_IOCXORDER,
    SCULLP_IOCHORDER,
)
QSET_COMMANDS = (
    SCULLP_IOCSQSET,
    SCULLP_IOCTQSET,
    SCULLP_IOCGQSET,
    SCULLP_IOCQQSET,
    SCULLP_IOCXQSET,
    SCULLP_IOCHQSET,
)


class ScullPDev(KStruct):
    """A device, or a further item of its list, which uses `data` and `next` only."""

    data: ptr  # array of qset pointers to quanta
    next: ptr  # the next item
    vmas: s32  # active mappings
    order: s32  # of a quantum's pages
    qset: s32  # pointers in an array
    size: u64  # bytes from the start to the end of the last write
    sem: semaphore


class ScullP(KStruct):
    """What the module itself keeps."""

    devices: ptr  # array of scullp_devs ScullPDev


scullp = ScullP.static()


def scullp_device(number):
    """Return the device of a minor number."""
    return ScullPDev.at(scullp.devices + number * sizeof(ScullPDev))


def scullp_trim(dev):
    """Empty a device and give it the module's geometry; its semaphore is held."""
    if dev.vmas:
        return -EBUSY  # somebody has it mapped
    order = dev.order
    qset = dev.qset
    item = dev
    while True:
        data = item.data
        if data:
            quanta = ptr.at(data)
            for index in range(qset):
                quantum = quanta[index]
                if quantum:
                    free_pages(quantum, order)
            kfree(data)
        following = item.next
        if item is not dev:
            kfree(item)
        if not following:
            break
        item = ScullPDev.at(following)
    dev.data = dev.next = 0
    dev.size = 0
    dev.order = scullp_order
    dev.qset = scullp_qset
    return 0


def scullp_follow(dev, n):
    """Return the n-th item after `dev`, made if need be, or None without memory; may sleep."""
    while n:
        following = dev.next
        if not following:
            following = kmalloc(sizeof(ScullPDev), GFP_KERNEL)
            if not following:
                return None
            memset(following, 0, sizeof(ScullPDev))
            dev.next = following
        dev = ScullPDev.at(following)
        n -= 1
    return dev


def scullp_open(inode, filp):
    number = MINOR(inode.i_rdev)
    if number >= scullp_devs:
        return -ENODEV
    dev = scullp_device(number)
    filp.private_data = dev
    if filp.f_flags & O_ACCMODE == O_WRONLY:
        if down_interruptible(dev.sem):
            return -ERESTARTSYS
        scullp_trim(dev)
        up(dev.sem)
    return 0


def scullp_release(inode, filp):
    return 0


def scullp_read(filp, buf, count, f_pos):
    dev = ScullPDev.at(filp.private_data)
    sem = dev.sem
    if down_interruptible(sem):
        return -ERESTARTSYS
    done = scullp_read_quantum(dev, buf, count, f_pos)
    up(sem)
    return done


def scullp_read_quantum(dev, buf, count, f_pos):
    """Read at most to the end of a quantum; the semaphore is held."""
    pos = f_pos.value
    left = dev.size - pos
    if left <= 0:
        return 0
    quantum = PAGE_SIZE << dev.order
    item, rest = divmod(pos, quantum * dev.qset)
    s_pos, q_pos = divmod(rest, quantum)
    dptr = scullp_follow(dev, item) if item else dev
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


def scullp_write(filp, buf, count, f_pos):
    dev = ScullPDev.at(filp.private_data)
    sem = dev.sem
    if down_interruptible(sem):
        return -ERESTARTSYS
    done = scullp_write_quantum(dev, buf, count, f_pos)
    up(sem)
    return done


def scullp_write_quantum(dev, buf, count, f_pos):
    """Write at most to the end of a quantum; the semaphore is held."""
    pos = f_pos.value
    order = dev.order
    quantum = PAGE_SIZE << order
    qset = dev.qset
    item, rest = divmod(pos, quantum * qset)
    s_pos, q_pos = divmod(rest, quantum)
    dptr = scullp_follow(dev, item) if item else dev
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
        target = __get_free_pages(GFP_KERNEL, order)
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


def scullp_llseek(filp, offset, whence):
    dev = ScullPDev.at(filp.private_data)
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


def scullp_ioctl_integer(cmd, arg, commands, old, lowest, limit):
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


def scullp_ioctl(inode, filp, cmd, arg):
    global scullp_order, scullp_qset
    if _IOC_TYPE(cmd) != SCULLP_IOC_MAGIC or _IOC_NR(cmd) > SCULLP_IOC_MAXNR:
        return -ENOTTY
    if cmd in ORDER_COMMANDS:
        commands, old = ORDER_COMMANDS, scullp_order
        result, new = scullp_ioctl_integer(cmd, arg, commands, old, 0, ORDER_MAX)
        if new is not None:
            scullp_order = new
        return result
    if cmd in QSET_COMMANDS:
        commands, old = QSET_COMMANDS, scullp_qset
        result, new = scullp_ioctl_integer(cmd, arg, commands, old, 1, INT_MAX)
        if new is not None:
            scullp_qset = new
        return result
    if cmd == SCULLP_IOCRESET:
        scullp_order = SCULLP_ORDER
        scullp_qset = SCULLP_QSET
    elif cmd == SCULLP_IOCHARDRESET:
        THIS_MODULE.usecount = 1  # forget every open but this one
    else:
        return -ENOTTY
    return 0


def scullp_vma_open(vma):
    dev = ScullPDev.at(vma.vm_private_data)
    down(dev.sem)
    dev.vmas += 1
    up(dev.sem)


def scullp_vma_close(vma):
    dev = ScullPDev.at(vma.vm_private_data)
    down(dev.sem)
    dev.vmas -= 1
    up(dev.sem)


def scullp_vma_nopage(vma, address, write):
    """Return the page at a user address of a mapping, with a reference of its own."""
    offset = address - vma.vm_start + vma.vm_pgoff * PAGE_SIZE
    dev = ScullPDev.at(vma.vm_private_data)
    page = NOPAGE_SIGBUS
    down(dev.sem)
    if offset < dev.size:
        n, s_pos = divmod(offset // PAGE_SIZE, dev.qset)
        item = dev
        while n and item.next:
            item = ScullPDev.at(item.next)
            n -= 1
        quantum = ptr.at(item.data)[s_pos] if item.data and not n else 0
        if quantum:
            page = virt_to_page(quantum)
            get_page(page)
    up(dev.sem)
    return page


scullp_vm_ops = vm_operations_struct(
    open=scullp_vma_open,
    close=scullp_vma_close,
    nopage=scullp_vma_nopage,
)


def scullp_mmap(filp, vma):
    dev = ScullPDev.at(filp.private_data)
    if dev.order:
        return -ENODEV
    vma.vm_ops = scullp_vm_ops
    vma.vm_flags |= VM_RESERVED
    vma.vm_private_data = dev
    scullp_vma_open(vma)
    return 0


def scullp_list_items(dev, room):
    """Return the items of a device and the last one's quanta, in not much more than `room`."""
    width = 2 * sizeof(ptr)
    text = ""
    item = dev
    while len(text) <= room:
        text += f"  item at {int(item):0{width}x}, qset at {item.data:0{width}x}\n"
        following = item.next
        if not following:
            break
        item = ScullPDev.at(following)
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


def scullp_read_procmem(page, start, offset, count, eof, data):
    limit = count - 80  # a line more always fits
    text = ""
    for number in range(scullp_devs):
        if len(text) > limit:
            break
        dev = scullp_device(number)
        if down_interruptible(dev.sem):
            return -ERESTARTSYS
        text += f"\nDevice {number}: qset {dev.qset}, order {dev.order}, sz {dev.size}\n"
        text += scullp_list_items(dev, limit - len(text))
        up(dev.sem)
    eof.value = 1
    return text


scullp_fops = file_operations(
    owner=THIS_MODULE,
    llseek=scullp_llseek,
    read=scullp_read,
    write=scullp_write,
    ioctl=scullp_ioctl,
    mmap=scullp_mmap,
    open=scullp_open,
    release=scullp_release,
)


@module_init
def scullp_init():
    global scullp_major
    if scullp_devs < 1 or scullp_qset < 1 or not 0 <= scullp_order <= ORDER_MAX:
        return -EINVAL
    nr_bytes = scullp_devs * sizeof(ScullPDev)
    devices = kmalloc(nr_bytes, GFP_KERNEL)
    if not devices:
        return -ENOMEM
    memset(devices, 0, nr_bytes)
    scullp.devices = devices
    for number in range(scullp_devs):
        dev = scullp_device(number)
        dev.order = scullp_order
        dev.qset = scullp_qset
        sema_init(dev.sem, 1)
    result = register_chrdev(scullp_major, "scullp", scullp_fops)
    if result < 0:
        printk(f"scullp: can't get major {scullp_major}\n")
        kfree(devices)
        return result
    if scullp_major == 0:
        scullp_major = result
    create_proc_read_entry("scullpmem", 0, None, scullp_read_procmem, None)
    return 0


@module_exit
def scullp_cleanup():
    remove_proc_entry("scullpmem", None)
    unregister_chrdev(scullp_major, "scullp")
    for number in range(scullp_devs):
        scullp_trim(scullp_device(number))
    kfree(scullp.devices)
