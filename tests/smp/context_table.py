"""Every name of smpmm.kernel against every context: what Linux 2.4.5 says, as data.

A row has a name, how to call it, and the outcome in each of six contexts:

    task      a task, nothing held                  spinlock  a task that holds a spinlock
    bh_off    a task after local_bh_disable         irqs_off  a task after local_irq_disable
    tasklet   a tasklet's function                  hardirq   an interrupt handler

    ok         the call does its work
    sleep      SleepingInAtomic, whatever the call would have found: might_sleep is at its head
    said       SleepingInAtomic, and the report says that 2.4 itself looks: it contains `text`
    bug        another KernelBug: the class is `error`, its report contains `text`
    unchecked  Linux forbids it and does not look: ok or a KernelBug, but never a hang
    panic      the machine ends; such a row needs one of its own

The contexts are entered with locks and lines of the test's own. In 2.4 in_interrupt() is true
also where only bottom halves are off: calls that say BUG for it do so in bh_off too.

How to run a row. In a task `prepare(env)` and `row.before(env)`; the harness has set
`env.user`, a user address of 64 bytes or more, `env.irq` and `env.spare_irq`, two lines
without a handler, and a helper task wakes `env.queue` on every tick. Then, in the context,
`row.call(env)`; if it returned, in a task `row.undo(env, result)`. In the end `tidy(env)`. A
refused call leaves what it would have freed to `tidy`. `leaves` names what the call changes in
its context ("irqs on"), to be put right by the harness.

With `names = smpmm.kernel.__all__`: `missing(names)` has no row and must be empty,
`cases(names)` are the calls to make, `unexported(names)` has rows but is not offered. A name
without its leading underscores has the rows of the one with them; constants are told by their
names. Sources: linux-facts 3.6, 5, 7 and the sources of 2.4; nothing was read off this code.
"""

import errno
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from smpmm import kernel_names
from smpmm.kernel import *

CONTEXTS = ("task", "bh_off", "spinlock", "irqs_off", "tasklet", "hardirq")

Version = tuple[int, ...]
EVER: Version = (99,)


class Row(NamedTuple):
    """One way to call one name, and what comes of it."""

    name: str
    outcomes: tuple[str, ...]  # in the order of CONTEXTS; empty unless kind is "call"
    call: Callable[[Any], Any] | None = None
    undo: Callable[[Any, Any], Any] | None = None
    kind: str = "call"  # or "value", "type", "declaration"
    variant: str = ""  # tells the rows of one name apart
    before: Callable[[Any], Any] | None = None
    error: str = ""  # class of a "bug"
    text: str = ""  # part of the report of "sleep", "bug" or "panic"
    leaves: str = ""
    since: Version = ()  # the first version that has the name
    until: Version = EVER  # the first that has it no more

    @property
    def label(self) -> str:
        """Name the row in a test's identifier."""
        return f"{self.name}[{self.variant}]" if self.variant else self.name


class Env(KStruct):
    """What the calls work on; one per run of a row, reached by its address anywhere."""

    lock: spinlock_t  # free, as are the others
    rwlock: rwlock_t
    sem: semaphore
    rwsem: rw_semaphore
    queue: wait_queue_head_t
    done: completion  # complete already
    counter: atomic_t
    word: u32 * 2
    head: list_head
    other: list_head
    link: list_head
    tasklet: tasklet_struct
    timer: timer_list
    task: tq_struct
    cache: ptr
    object: ptr  # of cache
    spare_cache: ptr  # empty
    buffer: ptr  # kmalloc, 256 bytes
    page_addr: ptr  # one page, by address
    block: ptr  # two pages, by address
    page: ptr  # one page, by struct page
    pages: ptr  # two pages, by struct page
    high_page: ptr  # of HighMem, not mapped
    mapped_page: ptr  # of HighMem, mapped with kmap
    area: ptr  # vmalloc
    io: ptr  # ioremap, one page of IO_PHYS
    user: ptr  # the harness's
    irq: s32  # the harness's; prepare requests it
    spare_irq: s32  # the harness's


# Names whose implementation is a later step of smpmm: they have rows, and no cases.
NOT_YET = frozenset(
    name
    for name in kernel_names.names()
    if getattr(kernel_names.place_of(name), "module", "") in kernel_names.NOT_YET
)
IO_PHYS = 0xF000_0000  # above any RAM of a test


def idle(data=0):
    """Do nothing: a tasklet, a timer, a task queue's routine, a thread."""


def idle_handler(irq, dev_id, regs):
    """Do nothing: an interrupt handler."""


def idle_read_proc(page, start, offset, count, eof, data):
    """Be an empty /proc file."""
    return ""


def always():
    """Be a condition that holds."""
    return True


idle_fops = file_operations()


def prepare(env: Any) -> None:
    """Fill an Env; task context."""
    prepare_locks(env)
    prepare_memory(env)
    request_irq(env.irq, idle_handler, SA_SHIRQ, "context", env)


def prepare_locks(env: Any) -> None:
    spin_lock_init(env.lock)
    rwlock_init(env.rwlock)
    sema_init(env.sem, 1)
    init_rwsem(env.rwsem)
    init_waitqueue_head(env.queue)
    init_completion(env.done)
    complete(env.done)
    atomic_set(env.counter, 1)
    for head in (env.head, env.other, env.link):
        INIT_LIST_HEAD(head)
    tasklet_init(env.tasklet, idle, 0)
    init_timer(env.timer)
    env.timer.function, env.timer.data = idle, 0
    env.timer.expires = jiffies() + 100 * HZ
    env.task.sync, env.task.routine, env.task.data = 0, idle, 0


def prepare_memory(env: Any) -> None:
    env.cache = kmem_cache_create("context", 64, 0, 0, None, None)
    env.object = kmem_cache_alloc(env.cache, GFP_KERNEL)
    env.spare_cache = kmem_cache_create("context_spare", 64, 0, 0, None, None)
    env.buffer = kmalloc(256, GFP_KERNEL)
    env.page_addr = __get_free_page(GFP_KERNEL)
    env.block = __get_free_pages(GFP_KERNEL, 1)
    env.page = alloc_page(GFP_KERNEL)
    env.pages = alloc_pages(GFP_KERNEL, 1)
    env.high_page = alloc_page(GFP_HIGHUSER)
    env.mapped_page = alloc_page(GFP_HIGHUSER)
    kmap(env.mapped_page)
    if "vmalloc" not in NOT_YET:
        env.area = vmalloc(2 * PAGE_SIZE)
        env.io = ioremap(IO_PHYS, PAGE_SIZE)


def tidy(env: Any) -> None:
    """Give back what the call did not; task context."""
    del_timer_sync(env.timer)
    tasklet_kill(env.tasklet)
    while env.task.sync:
        set_current_state(TASK_UNINTERRUPTIBLE)
        schedule_timeout(1)
    if env.irq >= 0:
        free_irq(env.irq, env)
    if env.mapped_page:
        kunmap(env.mapped_page)
        __free_page(env.mapped_page)
    for page, order in ((env.high_page, 0), (env.pages, 1), (env.page, 0)):
        if page:
            __free_pages(page, order)
    if "vmalloc" not in NOT_YET:
        iounmap(env.io)
        vfree(env.area)
    free_pages(env.block, 1)
    free_page(env.page_addr)
    kfree(env.buffer)
    if env.object:
        kmem_cache_free(env.cache, env.object)
    for cache in (env.spare_cache, env.cache):
        if cache:
            kmem_cache_destroy(cache)


def spend(env: Any, field: str, release: Callable[[Any], Any]) -> Any:
    """Release what a field holds and forget it; a refused release leaves it to tidy."""
    result = release(getattr(env, field))
    setattr(env, field, 0)
    return result


# How rows are made.

OK = ("ok",) * 6
SLEEPS = ("ok", "sleep", "sleep", "sleep", "sleep", "sleep")
NOT_IN_INTERRUPT = ("ok", "said", "sleep", "sleep", "said", "said")
UNCHECKED = ("ok", "unchecked", "unchecked", "unchecked", "unchecked", "unchecked")
BUG_TEXT = "kernel BUG at"


def everywhere(name: str, call: Any, undo: Any = None, **more: Any) -> Row:
    """Return the row of a call that is allowed in every context."""
    return Row(name, OK, call, undo, **more)


def sleeps(name: str, call: Any, undo: Any = None, **more: Any) -> Row:
    """Return the row of a call that may sleep."""
    return Row(name, SLEEPS, call, undo, **more)


def not_in_interrupt(name: str, call: Any, undo: Any = None, **more: Any) -> Row:
    """Return the row of a call that sleeps; 2.4 itself says BUG if in_interrupt()."""
    return Row(name, NOT_IN_INTERRUPT, call, undo, text=BUG_TEXT, **more)


def unchecked(name: str, call: Any, undo: Any = None, **more: Any) -> Row:
    """Return the row of a call for tasks that nothing in 2.4 checks."""
    return Row(name, UNCHECKED, call, undo, **more)


def after_boot(name: str, call: Any) -> Row:
    """Return the row of a bootmem call: its bitmap pointer is NULL once boot is over."""
    return Row(name, ("bug",) * 6, call, error="NullDereference", text="NULL pointer")


def free_result(env: Any, address: Any) -> None:
    kfree(address)


def free_page_result(env: Any, address: Any) -> None:
    free_page(address)


def free_block_result(env: Any, address: Any) -> None:
    free_pages(address, 1)


KMALLOC = (
    sleeps("kmalloc", lambda env: kmalloc(64, GFP_KERNEL), free_result, variant="GFP_KERNEL"),
    sleeps("kmalloc", lambda env: kmalloc(64, GFP_USER), free_result, variant="GFP_USER"),
    everywhere(
        "kmalloc", lambda env: kmalloc(64, GFP_ATOMIC), free_result, variant="GFP_ATOMIC"
    ),
    everywhere(
        "kmalloc",
        lambda env: kmalloc(64, GFP_ATOMIC | GFP_DMA),
        free_result,
        variant="GFP_ATOMIC|GFP_DMA",
    ),
    everywhere("kfree", lambda env: spend(env, "buffer", kfree)),
    everywhere("kfree", lambda env: kfree(0), variant="NULL"),
    everywhere("ksize", lambda env: ksize(env.buffer), since=(2, 5, 70)),
    sleeps("kzalloc", lambda env: kzalloc(64, GFP_KERNEL), free_result, since=(2, 6, 14)),
    sleeps("kcalloc", lambda env: kcalloc(4, 16, GFP_KERNEL), free_result, since=(2, 6, 9)),
    sleeps("krealloc", lambda env: krealloc(0, 64, GFP_KERNEL), free_result, since=(2, 6, 22)),
)

SLAB = (
    not_in_interrupt(
        "kmem_cache_create",
        lambda env: kmem_cache_create("context_new", 64, 0, 0, None, None),
        lambda env, cache: kmem_cache_destroy(cache),
    ),
    not_in_interrupt(
        "kmem_cache_destroy", lambda env: spend(env, "spare_cache", kmem_cache_destroy)
    ),
    not_in_interrupt("kmem_cache_shrink", lambda env: kmem_cache_shrink(env.cache)),
    sleeps(
        "kmem_cache_alloc",
        lambda env: kmem_cache_alloc(env.cache, GFP_KERNEL),
        lambda env, address: kmem_cache_free(env.cache, address),
        variant="GFP_KERNEL",
    ),
    everywhere(
        "kmem_cache_alloc",
        lambda env: kmem_cache_alloc(env.cache, GFP_ATOMIC),
        lambda env, address: kmem_cache_free(env.cache, address),
        variant="GFP_ATOMIC",
    ),
    everywhere(
        "kmem_cache_free",
        lambda env: spend(env, "object", lambda address: kmem_cache_free(env.cache, address)),
    ),
    sleeps("kmem_cache_reap", lambda env: kmem_cache_reap(GFP_KERNEL), variant="GFP_KERNEL"),
    everywhere(
        "kmem_cache_reap", lambda env: kmem_cache_reap(GFP_ATOMIC), variant="GFP_ATOMIC"
    ),
    everywhere("kmem_cache_size", lambda env: kmem_cache_size(env.cache)),
)


def allocation(name: str, call: Any, undo: Any, **more: Any) -> tuple[Row, Row]:
    """Return the two rows of an allocating call: it is given GFP_KERNEL, or GFP_ATOMIC."""
    return (
        sleeps(name, lambda env: call(GFP_KERNEL), undo, variant="GFP_KERNEL", **more),
        everywhere(name, lambda env: call(GFP_ATOMIC), undo, variant="GFP_ATOMIC", **more),
    )


PAGES = (
    *allocation("__get_free_page", lambda gfp: __get_free_page(gfp), free_page_result),
    *allocation("__get_free_pages", lambda gfp: __get_free_pages(gfp, 1), free_block_result),
    *allocation("get_free_page", lambda gfp: get_free_page(gfp), free_page_result),
    *allocation("get_zeroed_page", lambda gfp: get_zeroed_page(gfp), free_page_result),
    *allocation("__get_dma_pages", lambda gfp: __get_dma_pages(gfp, 1), free_block_result),
    *allocation(
        "alloc_page", lambda gfp: alloc_page(gfp), lambda env, page: __free_page(page)
    ),
    *allocation(
        "alloc_pages", lambda gfp: alloc_pages(gfp, 1), lambda env, page: __free_pages(page, 1)
    ),
    everywhere("free_page", lambda env: spend(env, "page_addr", free_page)),
    everywhere(
        "free_pages", lambda env: spend(env, "block", lambda addr: free_pages(addr, 1))
    ),
    everywhere("__free_page", lambda env: spend(env, "page", __free_page)),
    everywhere(
        "__free_pages", lambda env: spend(env, "pages", lambda page: __free_pages(page, 1))
    ),
    everywhere("page_address", lambda env: page_address(env.page)),
    everywhere("virt_to_page", lambda env: virt_to_page(env.buffer)),
    everywhere("virt_to_phys", lambda env: virt_to_phys(env.buffer)),
    everywhere("phys_to_virt", lambda env: phys_to_virt(virt_to_phys(env.buffer))),
    everywhere("nr_free_pages", lambda env: nr_free_pages()),
    everywhere("PAGE_ALIGN", lambda env: PAGE_ALIGN(1)),
    not_in_interrupt(
        "kmap", lambda env: kmap(env.high_page), lambda env, addr: kunmap(env.high_page)
    ),
    Row(
        "kunmap",
        ("ok", "bug", "ok", "ok", "bug", "bug"),
        lambda env: kunmap(env.mapped_page),
        lambda env, result: kmap(env.mapped_page),
        error="KernelBug",
        text=BUG_TEXT,
    ),
    everywhere(
        "kmap_atomic",
        lambda env: kunmap_atomic(kmap_atomic(env.high_page, KM_BOUNCE_READ), KM_BOUNCE_READ),
    ),
    everywhere(
        "kunmap_atomic",
        lambda env: kunmap_atomic(
            kmap_atomic(env.high_page, KM_BOUNCE_WRITE), KM_BOUNCE_WRITE
        ),
    ),
)

# vfree and iounmap flush the TLBs of the other CPUs, for which interrupts must be on, and take
# a lock that no interrupt may take; 2.4 looks at neither.
VMALLOC = (
    sleeps("vmalloc", lambda env: vmalloc(PAGE_SIZE), lambda env, addr: vfree(addr)),
    unchecked("vfree", lambda env: spend(env, "area", vfree)),
    sleeps(
        "ioremap",
        lambda env: ioremap(IO_PHYS + PAGE_SIZE, PAGE_SIZE),
        lambda env, addr: iounmap(addr),
    ),
    unchecked("iounmap", lambda env: spend(env, "io", iounmap)),
    everywhere("readb", lambda env: readb(env.area)),
    everywhere("readw", lambda env: readw(env.area)),
    everywhere("readl", lambda env: readl(env.area)),
    everywhere("writeb", lambda env: writeb(1, env.area)),
    everywhere("writew", lambda env: writew(1, env.area)),
    everywhere("writel", lambda env: writel(1, env.area)),
    everywhere("memcpy_fromio", lambda env: memcpy_fromio(env.buffer, env.area, 16)),
    everywhere("memcpy_toio", lambda env: memcpy_toio(env.area, env.buffer, 16)),
    everywhere("memset_io", lambda env: memset_io(env.area, 0, 16)),
)

BOOT = (
    after_boot("alloc_bootmem", lambda env: alloc_bootmem(64)),
    after_boot("alloc_bootmem_low", lambda env: alloc_bootmem_low(64)),
    after_boot("alloc_bootmem_pages", lambda env: alloc_bootmem_pages(PAGE_SIZE)),
    after_boot("alloc_bootmem_low_pages", lambda env: alloc_bootmem_low_pages(PAGE_SIZE)),
    after_boot("free_bootmem", lambda env: free_bootmem(virt_to_phys(env.block), PAGE_SIZE)),
)

ACCESS = (
    everywhere("memset", lambda env: memset(env.buffer, 0, 16)),
    everywhere("memcpy", lambda env: memcpy(env.buffer, env.page_addr, 16)),
    everywhere("memcmp", lambda env: memcmp(env.buffer, env.page_addr, 16)),
    everywhere("memmove", lambda env: memmove(env.buffer, env.page_addr, 16)),
    everywhere("access_ok", lambda env: access_ok(VERIFY_READ, env.user, 16)),
    everywhere("peek", lambda env: peek(env.buffer, 16)),
    everywhere("poke", lambda env: poke(env.buffer, b"context")),
    everywhere("sizeof", lambda env: sizeof(Env)),
    everywhere("offsetof", lambda env: offsetof(Env, "counter")),
    sleeps("copy_to_user", lambda env: copy_to_user(env.user, env.buffer, 16)),
    sleeps("copy_from_user", lambda env: copy_from_user(env.buffer, env.user, 16)),
    sleeps("clear_user", lambda env: clear_user(env.user, 16)),
    sleeps("strncpy_from_user", lambda env: strncpy_from_user(env.buffer, env.user, 16)),
    sleeps("get_user", lambda env: get_user(env.user)),
    sleeps("put_user", lambda env: put_user(1, env.user)),
)


def locked(lock: Any, unlock: Any, field: str) -> Callable[[Any], None]:
    """Return a call that takes a lock of Env and gives it back."""

    def call(env: Any) -> None:
        lock(getattr(env, field))
        unlock(getattr(env, field))

    return call


def saved(lock: Any, unlock: Any, field: str) -> Callable[[Any], None]:
    """Return such a call for the _irqsave variants."""

    def call(env: Any) -> None:
        flags = lock(getattr(env, field))
        unlock(getattr(env, field), flags)

    return call


def pair(lock: Any, unlock: Any, field: str, names: str, **more: Any) -> tuple[Row, ...]:
    """Return the rows of a lock and its unlock, which are called together."""
    make = saved if names.split()[0].endswith("irqsave") else locked
    return tuple(everywhere(n, make(lock, unlock, field), **more) for n in names.split())


SPINLOCKS = (
    everywhere("spin_lock_init", lambda env: spin_lock_init(env.lock)),
    everywhere("rwlock_init", lambda env: rwlock_init(env.rwlock)),
    *pair(spin_lock, spin_unlock, "lock", "spin_lock spin_unlock"),
    *pair(spin_trylock, spin_unlock, "lock", "spin_trylock"),
    *pair(
        spin_lock_irq,
        spin_unlock_irq,
        "lock",
        "spin_lock_irq spin_unlock_irq",
        leaves="irqs on",
    ),
    *pair(
        spin_lock_irqsave,
        spin_unlock_irqrestore,
        "lock",
        "spin_lock_irqsave spin_unlock_irqrestore",
    ),
    *pair(spin_lock_bh, spin_unlock_bh, "lock", "spin_lock_bh spin_unlock_bh"),
    everywhere("spin_is_locked", lambda env: spin_is_locked(env.lock)),
    everywhere("spin_unlock_wait", lambda env: spin_unlock_wait(env.lock)),
    *pair(read_lock, read_unlock, "rwlock", "read_lock read_unlock"),
    *pair(
        read_lock_irq,
        read_unlock_irq,
        "rwlock",
        "read_lock_irq read_unlock_irq",
        leaves="irqs on",
    ),
    *pair(
        read_lock_irqsave,
        read_unlock_irqrestore,
        "rwlock",
        "read_lock_irqsave read_unlock_irqrestore",
    ),
    *pair(read_lock_bh, read_unlock_bh, "rwlock", "read_lock_bh read_unlock_bh"),
    *pair(write_lock, write_unlock, "rwlock", "write_lock write_unlock"),
    *pair(lambda lock: write_trylock(lock), write_unlock, "rwlock", "write_trylock"),
    *pair(
        write_lock_irq,
        write_unlock_irq,
        "rwlock",
        "write_lock_irq write_unlock_irq",
        leaves="irqs on",
    ),
    *pair(
        write_lock_irqsave,
        write_unlock_irqrestore,
        "rwlock",
        "write_lock_irqsave write_unlock_irqrestore",
    ),
    *pair(write_lock_bh, write_unlock_bh, "rwlock", "write_lock_bh write_unlock_bh"),
)

SLEEPING_LOCKS = (
    everywhere("sema_init", lambda env: sema_init(env.sem, 1)),
    everywhere("init_MUTEX", lambda env: init_MUTEX(env.sem)),
    everywhere("init_MUTEX_LOCKED", lambda env: init_MUTEX_LOCKED(env.sem)),
    sleeps("down", lambda env: down(env.sem), lambda env, result: up(env.sem)),
    sleeps(
        "down_interruptible",
        lambda env: down_interruptible(env.sem),
        lambda env, result: up(env.sem),
    ),
    everywhere(
        "down_trylock", lambda env: down_trylock(env.sem), lambda env, result: up(env.sem)
    ),
    everywhere("up", lambda env: up(env.sem)),
    everywhere("init_rwsem", lambda env: init_rwsem(env.rwsem)),
    sleeps(
        "down_read", lambda env: down_read(env.rwsem), lambda env, result: up_read(env.rwsem)
    ),
    sleeps(
        "down_write",
        lambda env: down_write(env.rwsem),
        lambda env, result: up_write(env.rwsem),
    ),
    everywhere(
        "up_read", lambda env: up_read(env.rwsem), before=lambda env: down_read(env.rwsem)
    ),
    everywhere(
        "up_write", lambda env: up_write(env.rwsem), before=lambda env: down_write(env.rwsem)
    ),
)

WAITING = (
    everywhere("init_waitqueue_head", lambda env: init_waitqueue_head(env.queue)),
    sleeps("wait_event", lambda env: wait_event(env.queue, always)),
    sleeps(
        "wait_event_interruptible", lambda env: wait_event_interruptible(env.queue, always)
    ),
    sleeps("sleep_on", lambda env: sleep_on(env.queue)),
    sleeps("sleep_on_timeout", lambda env: sleep_on_timeout(env.queue, 1)),
    sleeps("interruptible_sleep_on", lambda env: interruptible_sleep_on(env.queue)),
    sleeps(
        "interruptible_sleep_on_timeout",
        lambda env: interruptible_sleep_on_timeout(env.queue, 1),
    ),
    everywhere("wake_up", lambda env: wake_up(env.queue)),
    everywhere("wake_up_all", lambda env: wake_up_all(env.queue)),
    everywhere("wake_up_interruptible", lambda env: wake_up_interruptible(env.queue)),
    everywhere("waitqueue_active", lambda env: waitqueue_active(env.queue)),
    everywhere("init_completion", lambda env: init_completion(env.done)),
    everywhere("complete", lambda env: complete(env.done)),
    everywhere("complete_all", lambda env: complete_all(env.done), since=(2, 6)),
    sleeps("wait_for_completion", lambda env: wait_for_completion(env.done)),
)

ATOMICS = (
    everywhere("atomic_read", lambda env: atomic_read(env.counter)),
    everywhere("atomic_set", lambda env: atomic_set(env.counter, 1)),
    everywhere("atomic_inc", lambda env: atomic_inc(env.counter)),
    everywhere("atomic_dec", lambda env: atomic_dec(env.counter)),
    everywhere("atomic_add", lambda env: atomic_add(2, env.counter)),
    everywhere("atomic_sub", lambda env: atomic_sub(2, env.counter)),
    everywhere("atomic_inc_return", lambda env: atomic_inc_return(env.counter)),
    everywhere("atomic_dec_return", lambda env: atomic_dec_return(env.counter)),
    everywhere("atomic_add_return", lambda env: atomic_add_return(2, env.counter)),
    everywhere("atomic_sub_return", lambda env: atomic_sub_return(2, env.counter)),
    everywhere("atomic_inc_and_test", lambda env: atomic_inc_and_test(env.counter)),
    everywhere("atomic_dec_and_test", lambda env: atomic_dec_and_test(env.counter)),
    everywhere("atomic_sub_and_test", lambda env: atomic_sub_and_test(2, env.counter)),
    everywhere("atomic_add_negative", lambda env: atomic_add_negative(2, env.counter)),
    everywhere("set_bit", lambda env: set_bit(3, env.word)),
    everywhere("clear_bit", lambda env: clear_bit(3, env.word)),
    everywhere("change_bit", lambda env: change_bit(3, env.word)),
    everywhere("test_bit", lambda env: test_bit(3, env.word)),
    everywhere("test_and_set_bit", lambda env: test_and_set_bit(3, env.word)),
    everywhere("test_and_clear_bit", lambda env: test_and_clear_bit(3, env.word)),
    everywhere("test_and_change_bit", lambda env: test_and_change_bit(3, env.word)),
    everywhere("mb", lambda env: mb()),
    everywhere("rmb", lambda env: rmb()),
    everywhere("wmb", lambda env: wmb()),
    everywhere("smp_mb", lambda env: smp_mb()),
    everywhere("smp_rmb", lambda env: smp_rmb()),
    everywhere("smp_wmb", lambda env: smp_wmb()),
    everywhere("barrier", lambda env: barrier()),
)


def unlink(env: Any, result: Any) -> None:
    list_del(env.link)


def add_and(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a call on a list that has one entry."""

    def added(env: Any) -> Any:
        list_add(env.link, env.head)
        return call(env)

    return added


LISTS = (
    everywhere("INIT_LIST_HEAD", lambda env: INIT_LIST_HEAD(env.head)),
    everywhere("list_add", lambda env: list_add(env.link, env.head), unlink),
    everywhere("list_add_tail", lambda env: list_add_tail(env.link, env.head), unlink),
    everywhere("list_del", add_and(lambda env: list_del(env.link))),
    everywhere("list_del_init", add_and(lambda env: list_del_init(env.link))),
    everywhere("list_empty", lambda env: list_empty(env.head)),
    everywhere("list_entry", lambda env: list_entry(env.link, Env, "link")),
    everywhere("list_splice", add_and(lambda env: list_splice(env.head, env.other))),
    everywhere("list_for_each", add_and(lambda env: tuple(list_for_each(env.head))), unlink),
    everywhere(
        "list_for_each_safe", add_and(lambda env: tuple(list_for_each_safe(env.head))), unlink
    ),
    everywhere(
        "list_for_each_entry",
        add_and(lambda env: tuple(list_for_each_entry(env.head, Env, "link"))),
        unlink,
    ),
    everywhere(
        "list_for_each_entry_safe",
        add_and(lambda env: tuple(list_for_each_entry_safe(env.head, Env, "link"))),
        unlink,
    ),
)


def with_flags(change: Callable[[], Any]) -> Callable[[Any], None]:
    """Return a call that changes the interrupt flag and puts it back, as a driver does."""

    def call(env: Any) -> None:
        flags = local_irq_save()
        change()
        local_irq_restore(flags)

    return call


def with_global_flags(change: Callable[[], Any]) -> Callable[[Any], None]:
    """Return such a call for cli and sti, whose lock is global up to 2.4."""

    def call(env: Any) -> None:
        flags = save_flags()
        change()
        restore_flags(flags)

    return call


def both(first: Callable[[], Any], second: Callable[[], Any]) -> Callable[[Any], None]:
    """Return a call of two functions without arguments, one after the other."""

    def call(env: Any) -> None:
        first()
        second()

    return call


GLOBAL_CLI_GONE = (2, 5, 28)

SWITCHES = (
    everywhere("cli", with_global_flags(lambda: cli()), until=GLOBAL_CLI_GONE),
    everywhere("sti", with_global_flags(lambda: sti()), until=GLOBAL_CLI_GONE),
    everywhere("save_flags", with_global_flags(lambda: None), until=GLOBAL_CLI_GONE),
    everywhere("restore_flags", with_global_flags(lambda: None), until=GLOBAL_CLI_GONE),
    everywhere("local_irq_disable", with_flags(lambda: local_irq_disable())),
    everywhere("local_irq_enable", with_flags(lambda: local_irq_enable())),
    everywhere("local_irq_save", with_flags(lambda: None)),
    everywhere("local_irq_restore", with_flags(lambda: None)),
    everywhere(
        "local_bh_disable", both(lambda: local_bh_disable(), lambda: local_bh_enable())
    ),
    everywhere("local_bh_enable", both(lambda: local_bh_disable(), lambda: local_bh_enable())),
    everywhere("preempt_disable", both(lambda: preempt_disable(), lambda: preempt_enable())),
    everywhere("preempt_enable", both(lambda: preempt_disable(), lambda: preempt_enable())),
    everywhere("in_interrupt", lambda env: in_interrupt()),
    everywhere("in_irq", lambda env: in_irq()),
    everywhere("in_softirq", lambda env: in_softirq()),
    everywhere("in_atomic", lambda env: in_atomic()),
    everywhere("irqs_disabled", lambda env: irqs_disabled()),
    sleeps("might_sleep", lambda env: might_sleep()),
)

# What the predicates answer, in the order of CONTEXTS; in 2.4 a count of disabled bottom
# halves is a softirq, and a held spinlock is atomic because the model counts it. The handler
# is one without SA_INTERRUPT, which runs with interrupts on.
ANSWERS = (
    ("in_interrupt", (False, True, False, False, True, True)),
    ("in_irq", (False, False, False, False, False, True)),
    ("in_softirq", (False, True, False, False, True, False)),
    ("in_atomic", (False, True, True, False, True, True)),
    ("irqs_disabled", (False, False, False, True, False, False)),
)

TASKS = (
    everywhere("current", lambda env: current()),
    everywhere("smp_processor_id", lambda env: smp_processor_id()),
    # Where in_interrupt() is true, 2.4's text is "Scheduling in interrupt".
    sleeps("schedule", lambda env: schedule()),
    sleeps("schedule_timeout", lambda env: schedule_timeout(1)),
    sleeps("kernel_thread", lambda env: kernel_thread(idle)),
    everywhere("set_current_state", lambda env: set_current_state(TASK_RUNNING)),
    everywhere("signal_pending", lambda env: signal_pending(current())),
    everywhere("jiffies", lambda env: jiffies()),
    everywhere("udelay", lambda env: udelay(1)),
    everywhere("mdelay", lambda env: mdelay(1)),
    everywhere("printk", lambda env: printk("context\n")),
    everywhere("high_memory", lambda env: high_memory()),
    Row("BUG", ("bug",) * 6, lambda env: BUG(), error="KernelBug", text=BUG_TEXT),
    Row("panic", ("panic",) * 6, lambda env: panic("context"), text="Kernel panic: context"),
)


def new_irq(env: Any) -> int:
    return request_irq(env.spare_irq, idle_handler, 0, "context", env)


def release_irq(env: Any) -> None:
    free_irq(env.irq, env)
    env.irq = -1


def disabled(disable: Callable[[int], Any]) -> Callable[[Any], None]:
    """Return a call that disables the line and enables it again."""

    def call(env: Any) -> None:
        disable(env.irq)
        enable_irq(env.irq)

    return call


# The line of Env is quiet: a call that waits for its handler finds it finished.
INTERRUPTS = (
    sleeps("request_irq", new_irq, lambda env, result: free_irq(env.spare_irq, env)),
    everywhere("free_irq", release_irq),
    everywhere("disable_irq", disabled(lambda irq: disable_irq(irq))),
    everywhere("disable_irq_nosync", disabled(lambda irq: disable_irq_nosync(irq))),
    everywhere("enable_irq", disabled(lambda irq: disable_irq_nosync(irq))),
    everywhere(
        "synchronize_irq", lambda env: synchronize_irq(), leaves="irqs on", until=(2, 5, 28)
    ),
    everywhere("synchronize_irq", lambda env: synchronize_irq(env.irq), since=(2, 5, 28)),
    everywhere("raise_irq", lambda env: raise_irq(env.irq)),
)


def tasklet_off_and_on(env: Any) -> None:
    tasklet_disable(env.tasklet)
    tasklet_enable(env.tasklet)


def tasklet_off_and_on_nosync(env: Any) -> None:
    tasklet_disable_nosync(env.tasklet)
    tasklet_enable(env.tasklet)


DEFERRED = (
    everywhere("tasklet_init", lambda env: tasklet_init(env.tasklet, idle, 0)),
    everywhere("tasklet_schedule", lambda env: tasklet_schedule(env.tasklet)),
    everywhere("tasklet_hi_schedule", lambda env: tasklet_hi_schedule(env.tasklet)),
    everywhere("tasklet_disable", tasklet_off_and_on),
    everywhere("tasklet_disable_nosync", tasklet_off_and_on_nosync),
    everywhere("tasklet_enable", tasklet_off_and_on),
    # In interrupt 2.4 logs "Attempt to kill tasklet from interrupt", then may schedule().
    sleeps("tasklet_kill", lambda env: tasklet_kill(env.tasklet)),
    everywhere("init_timer", lambda env: init_timer(env.timer)),
    everywhere("add_timer", lambda env: add_timer(env.timer)),
    everywhere("mod_timer", lambda env: mod_timer(env.timer, jiffies() + 100 * HZ)),
    everywhere("del_timer", lambda env: del_timer(env.timer)),
    everywhere("del_timer_sync", lambda env: del_timer_sync(env.timer)),
    everywhere("timer_pending", lambda env: timer_pending(env.timer)),
    everywhere("queue_task", lambda env: queue_task(env.task, tq_timer)),
    everywhere("mark_bh", lambda env: mark_bh(IMMEDIATE_BH)),
    everywhere("schedule_task", lambda env: schedule_task(env.task)),
    sleeps("flush_scheduled_tasks", lambda env: flush_scheduled_tasks()),
)


def forget_chrdev(env: Any, major: int) -> None:
    unregister_chrdev(major, "context")


DEVICES = (
    # chrdevs_lock is taken without masking anything, by open() too; a task's business.
    unchecked(
        "register_chrdev", lambda env: register_chrdev(0, "context", idle_fops), forget_chrdev
    ),
    unchecked("unregister_chrdev", lambda env: unregister_chrdev(250, "context_none")),
    sleeps(
        "create_proc_read_entry",
        lambda env: create_proc_read_entry("context", 0, None, idle_read_proc, None),
        lambda env, entry: remove_proc_entry("context", None),
    ),
    unchecked("remove_proc_entry", lambda env: remove_proc_entry("context_none", None)),
    everywhere("capable", lambda env: capable(CAP_SYS_ADMIN)),
    everywhere("MKDEV", lambda env: MKDEV(10, 1)),
    everywhere("MAJOR", lambda env: MAJOR(MKDEV(10, 1))),
    everywhere("MINOR", lambda env: MINOR(MKDEV(10, 1))),
    everywhere("_IOC", lambda env: _IOC(_IOC_READ, "k", 1, 4)),
    everywhere("_IO", lambda env: _IO("k", 1)),
    everywhere("_IOR", lambda env: _IOR("k", 1, 4)),
    everywhere("_IOW", lambda env: _IOW("k", 1, 4)),
    everywhere("_IOWR", lambda env: _IOWR("k", 1, 4)),
    everywhere("_IOC_DIR", lambda env: _IOC_DIR(_IOW("k", 1, 4))),
    everywhere("_IOC_TYPE", lambda env: _IOC_TYPE(_IOW("k", 1, 4))),
    everywhere("_IOC_NR", lambda env: _IOC_NR(_IOW("k", 1, 4))),
    everywhere("_IOC_SIZE", lambda env: _IOC_SIZE(_IOW("k", 1, 4))),
)

TYPES = tuple(
    Row(name, (), kind="type")
    for name in (
        "KStruct file_operations u8 u16 u32 u64 s8 s16 s32 s64 ptr spinlock_t rwlock_t"
        " semaphore rw_semaphore wait_queue_head_t completion atomic_t list_head"
        " tasklet_struct timer_list tq_struct"
    ).split()
)

DECLARATIONS = tuple(
    Row(name, (), kind="declaration")
    for name in (
        "module_init module_exit MODULE_PARM MOD_INC_USE_COUNT MOD_DEC_USE_COUNT"
    ).split()
)

ROWS: tuple[Row, ...] = (
    *KMALLOC,
    *SLAB,
    *PAGES,
    *VMALLOC,
    *BOOT,
    *ACCESS,
    *SPINLOCKS,
    *SLEEPING_LOCKS,
    *WAITING,
    *ATOMICS,
    *LISTS,
    *SWITCHES,
    *TASKS,
    *INTERRUPTS,
    *DEFERRED,
    *DEVICES,
    *TYPES,
    *DECLARATIONS,
)

# Constants need no row each: they are told by their names.
VALUE_PREFIXES = tuple(
    "GFP_ __GFP_ SLAB_ SA_ TASK_ O_ SEEK_ FMODE_ VERIFY_ KM_ CAP_ KERN_ PAGE_ VMALLOC_ MAX_"
    " KMALLOC_".split()
)
VALUES = tuple(
    "HZ NR_CPUS THIS_MODULE tq_timer tq_immediate tq_disk IMMEDIATE_BH TIMER_BH"
    " L1_CACHE_BYTES SMP_CACHE_BYTES BITS_PER_LONG _IOC_NONE _IOC_READ _IOC_WRITE".split()
)
KERNEL_ERRORS = tuple("ERESTARTSYS ERESTARTNOINTR ERESTARTNOHAND ENOIOCTLCMD ENOTSUPP".split())


def is_constant(name: str) -> bool:
    """Tell whether a name is that of a number, a module or a queue, not of a call."""
    return name in (*VALUES, *KERNEL_ERRORS, *dir(errno)) or name.startswith(VALUE_PREFIXES)


def rows_of(name: str) -> tuple[Row, ...]:
    """Return the rows of a name, none if the table knows nothing about it."""
    for spelling in (name, f"_{name}", f"__{name}"):
        found = tuple(row for row in ROWS if row.name == spelling)
        if found:
            return found
    return (Row(name, (), kind="value"),) if is_constant(name) else ()


def missing(names: Iterable[str]) -> list[str]:
    """Return those of the kernel's names that have no row."""
    return [name for name in names if not rows_of(name)]


def unexported(names: Iterable[str], version: Version = (2, 4, 5)) -> list[str]:
    """Return the names of rows of this version that are not among the kernel's."""
    offered = set(names)
    rows = [row.name for row in ROWS if row.since <= version < row.until]
    return [name for name in dict.fromkeys(rows) if name not in offered]


def cases(
    names: Iterable[str], version: Version = (2, 4, 5)
) -> Iterator[tuple[Row, str, str]]:
    """Yield row, context and outcome of all calls among the kernel's names."""
    offered = set(names) - NOT_YET
    for row in ROWS:
        if row.kind == "call" and row.name in offered and row.since <= version < row.until:
            for context, outcome in zip(CONTEXTS, row.outcomes, strict=True):
                yield row, context, outcome
