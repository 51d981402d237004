"""A row of `context_table`: what it is, how one is made, what its call works on."""

from collections.abc import Callable
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
    if "ioremap" not in NOT_YET:
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
    if "ioremap" not in NOT_YET:
        iounmap(env.io)
    if "vmalloc" not in NOT_YET:
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
