"""tally: a character device that keeps every write and reads back the newest."""

from smpmm.kernel import *


class Entry(KStruct):
    link: list_head
    length: u32
    text: ptr


class Tally(KStruct):
    lock: semaphore
    entries: list_head
    cache: ptr
    major: s32


tally = Tally.static()  # one struct in the module's data, in RAM: the same in every process


def tally_read(filp, buf, count, f_pos):
    if down_interruptible(tally.lock):
        return -ERESTARTSYS
    done = 0
    if not list_empty(tally.entries):
        newest = list_entry(tally.entries.next, Entry, "link")
        done = max(0, min(count, newest.length - f_pos.value))
        if done and copy_to_user(buf, newest.text + f_pos.value, done):
            done = -EFAULT
        else:
            f_pos.value += done
    up(tally.lock)
    return done


def tally_write(filp, buf, count, f_pos):
    entry = kmem_cache_alloc(tally.cache, GFP_KERNEL)
    text = kmalloc(count, GFP_KERNEL) if entry else 0
    error = -ENOMEM if not text else -EFAULT if copy_from_user(text, buf, count) else 0
    if not error and down_interruptible(tally.lock):
        error = -ERESTARTSYS
    if error:
        kfree(text)
        if entry:
            kmem_cache_free(tally.cache, entry)
        return error
    item = Entry.at(entry)
    item.text, item.length = text, count
    list_add(item.link, tally.entries)
    up(tally.lock)
    return count


fops = file_operations(owner=THIS_MODULE, read=tally_read, write=tally_write)


@module_init
def tally_init():
    sema_init(tally.lock, 1)
    INIT_LIST_HEAD(tally.entries)
    tally.cache = kmem_cache_create("tally", sizeof(Entry), 0, SLAB_HWCACHE_ALIGN, None, None)
    if not tally.cache:
        return -ENOMEM
    tally.major = register_chrdev(0, "tally", fops)  # 0: any free number, returned
    if tally.major < 0:
        kmem_cache_destroy(tally.cache)
        return tally.major
    return 0  # anything else is a failure


@module_exit
def tally_exit():
    unregister_chrdev(tally.major, "tally")
    while not list_empty(tally.entries):
        item = list_entry(tally.entries.next, Entry, "link")
        list_del(item.link)
        kfree(item.text)
        kmem_cache_free(tally.cache, item)
    kmem_cache_destroy(tally.cache)
