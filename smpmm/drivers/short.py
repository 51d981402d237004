"""short: the driver of the synthetic interrupt device, named after the book's.

Each interrupt is one record. The handler allocates it with GFP_ATOMIC, a packet from a cache
of its own and a buffer of `short_bytes` with kmalloc, and puts it on `arrived`; the tasklet
moves it to `ready` and wakes who waits; a read of /dev/short0 takes it, copies it out and
frees it. So memory is allocated in a handler and freed in a task, mostly on another CPU.

A record starts with 16 bytes of text, its number and the time in jiffies; every further byte
is the number's low byte, so that a reader can tell a damaged record. A read returns one
record, or as much of it as fits, and the rest is gone. Without a record it waits; -ERESTARTSYS
when a signal comes, -EAGAIN at once with O_NONBLOCK.

What happens to an interrupt is counted: `received` all of them, `dropped` for no memory,
`overrun` for more than `short_backlog` records that nobody read, `delivered` to a reader.

Locks, none of them taken under another:
  irq_lock    guards `arrived`. Handler and tasklet share it: irqsave in the tasklet.
  ready_lock  guards `ready`. Tasklet and tasks share it: bottom halves off in a task.
"""

from smpmm.kernel import *

SHORT_TEXT_BYTES = 16

short_major = 0  # 0: any free one
short_irq = 7
short_bytes = 256  # of a record's buffer
short_backlog = 1024  # records

MODULE_PARM("short_major", "i")
MODULE_PARM("short_irq", "i")
MODULE_PARM("short_bytes", "i")
MODULE_PARM("short_backlog", "i")


class ShortPacket(KStruct):
    """A record on its way; whoever has taken it off a list owns it."""

    link: list_head
    number: u32
    length: u32  # bytes
    buffer: ptr


class Short(KStruct):
    """The device."""

    irq_lock: spinlock_t
    arrived: list_head  # guarded by irq_lock
    ready_lock: spinlock_t
    ready: list_head  # guarded by ready_lock
    queue: wait_queue_head_t  # readers
    bottom_half: tasklet_struct
    cache: ptr  # of packets; constant
    waiting: atomic_t  # records in both lists
    received: atomic_t
    dropped: atomic_t
    overrun: atomic_t
    delivered: atomic_t


short = Short.static()


def short_alloc(number):
    """Return the packet of a new record, or None without memory; any context."""
    nr_bytes = short_bytes
    packet = kmem_cache_alloc(short.cache, GFP_ATOMIC)
    if not packet:
        return None
    buffer = kmalloc(nr_bytes, GFP_ATOMIC)
    if not buffer:
        kmem_cache_free(short.cache, packet)
        return None
    memset(buffer, number & 0xFF, nr_bytes)
    poke(buffer, b"%08d %06d\n" % (number % 100_000_000, jiffies() % 1_000_000))
    item = ShortPacket.at(packet)
    item.number = number
    item.length = nr_bytes
    item.buffer = buffer
    return item


def short_free(item):
    kfree(item.buffer)
    kmem_cache_free(short.cache, item)


def short_interrupt(irq, dev_id, regs):
    atomic_inc(short.received)
    if atomic_read(short.waiting) >= short_backlog:
        atomic_inc(short.overrun)
        return
    item = short_alloc(atomic_read(short.received))
    if item is None:
        atomic_inc(short.dropped)
        return
    atomic_inc(short.waiting)
    spin_lock(short.irq_lock)
    list_add_tail(item.link, short.arrived)
    spin_unlock(short.irq_lock)
    tasklet_schedule(short.bottom_half)


def short_bottom_half(data):
    while True:
        flags = spin_lock_irqsave(short.irq_lock)
        link = 0 if list_empty(short.arrived) else short.arrived.next
        if link:
            list_del(link)
        spin_unlock_irqrestore(short.irq_lock, flags)
        if not link:
            break
        spin_lock(short.ready_lock)
        list_add_tail(link, short.ready)
        spin_unlock(short.ready_lock)
    wake_up_interruptible(short.queue)


def short_take():
    """Take the oldest record that is ready, or None; task context."""
    spin_lock_bh(short.ready_lock)
    link = 0 if list_empty(short.ready) else short.ready.next
    if link:
        list_del(link)
    spin_unlock_bh(short.ready_lock)
    if not link:
        return None
    atomic_dec(short.waiting)
    return list_entry(link, ShortPacket, "link")


def short_is_ready():
    return not list_empty(short.ready)


def short_read(filp, buf, count, f_pos):
    item = short_take()
    while item is None:
        if filp.f_flags & O_NONBLOCK:
            return -EAGAIN
        if wait_event_interruptible(short.queue, short_is_ready):
            return -ERESTARTSYS
        item = short_take()  # another reader may have been quicker
    count = min(count, item.length)
    error = copy_to_user(buf, item.buffer, count)
    short_free(item)
    if error:
        return -EFAULT
    atomic_inc(short.delivered)
    f_pos.value += count
    return count


def short_read_proc(page, start, offset, count, eof, data):
    eof.value = 1
    return (
        f"irq {short_irq}, records of {short_bytes} bytes, at most {short_backlog}\n"
        f"received {atomic_read(short.received)}\n"
        f"dropped {atomic_read(short.dropped)}\n"
        f"overrun {atomic_read(short.overrun)}\n"
        f"delivered {atomic_read(short.delivered)}\n"
        f"waiting {atomic_read(short.waiting)}\n"
    )


short_fops = file_operations(owner=THIS_MODULE, read=short_read)


@module_init
def short_init():
    global short_major
    if short_bytes < SHORT_TEXT_BYTES or short_backlog < 1:
        return -EINVAL
    spin_lock_init(short.irq_lock)
    INIT_LIST_HEAD(short.arrived)
    spin_lock_init(short.ready_lock)
    INIT_LIST_HEAD(short.ready)
    init_waitqueue_head(short.queue)
    tasklet_init(short.bottom_half, short_bottom_half, 0)
    cache = kmem_cache_create("short", sizeof(ShortPacket), 0, SLAB_HWCACHE_ALIGN, None, None)
    if not cache:
        return -ENOMEM
    short.cache = cache
    result = register_chrdev(short_major, "short", short_fops)
    if result < 0:
        kmem_cache_destroy(cache)
        return result
    if short_major == 0:
        short_major = result
    # Last: from here on the handler may run.
    result = request_irq(short_irq, short_interrupt, SA_SHIRQ, "short", short)
    if result:
        printk(f"short: can't get irq {short_irq}\n")
        unregister_chrdev(short_major, "short")
        kmem_cache_destroy(cache)
        return result
    create_proc_read_entry("shortmem", 0, None, short_read_proc, None)
    return 0


@module_exit
def short_cleanup():
    remove_proc_entry("shortmem", None)
    free_irq(short_irq, short)  # no new records
    tasklet_kill(short.bottom_half)  # and none on its way
    unregister_chrdev(short_major, "short")
    for head in (short.arrived, short.ready):
        while not list_empty(head):
            item = list_entry(head.next, ShortPacket, "link")
            list_del(item.link)
            short_free(item)
    kmem_cache_destroy(short.cache)
