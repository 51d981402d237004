"""Locks, queues, lists and atomics of drivers: what they are in a struct and on their own.

In a struct each is a field, to be initialised by its function. Made on its own (`lock =
spinlock_t()`) it is initialised, and lives in the static data of the module or task that makes
it. Locks, queues and deferred work have our native size; atomic_t and list_head have the
architecture's. The calls on them are other modules'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smpmm import field_cy, kstruct
from smpmm.field_cy import Guard, Lock, Native, function_named
from smpmm.kstruct import NATIVE_ALIGN_BYTES, KStruct, StructType, ptr
from smpmm.scalar_cy import SCALARS

# sizeof of the structs of the same names in cpus/*.pxd and interrupts/*.pxd.
_BYTES = {
    "spinlock_t": 24,
    "rwlock_t": 40,
    "wait_queue_head_t": 40,
    "semaphore": 72,
    "rw_semaphore": 72,
    "completion": 56,
    "tasklet_struct": 32,
}
if TYPE_CHECKING:
    from smpmm.kernel_types import ptr as _native_ptr
    from smpmm.kernel_types import u64 as _word
else:
    _word = SCALARS["u64"]
    _native_ptr = SCALARS["native_ptr"]


class _OnItsOwn:
    """The constructor of what may be made outside a struct."""

    __slots__ = ()
    INITIALISE = ""  # "module:function" of the call that initialises it; "" = zeroes are right

    def __init__(self: Any, *args: Any) -> None:
        made = kstruct.new_static(type(self), args)
        self._place(field_cy.raw_address(made))
        if isinstance(made, Native):
            self.lock_name = made.lock_name

    def __initialise__(self, *args: Any) -> None:
        """Initialise zeroed memory at this handle."""
        if self.INITIALISE:
            function_named(self.INITIALISE)(self, *args)
        elif args:
            raise TypeError(f"{type(self).__name__}() takes no arguments")


class spinlock_t(_OnItsOwn, Lock, metaclass=StructType):
    """A spinlock; `with lock:`, `with lock.irqsave():`, `.irq()`, `.bh()`."""

    __nr_bytes__ = _BYTES["spinlock_t"]
    __align_bytes__ = NATIVE_ALIGN_BYTES
    INITIALISE = "cpus.lock_cy:spin_lock_init"
    ACQUIRE = "cpus.lock_cy:spin_lock"
    RELEASE = "cpus.lock_cy:spin_unlock"

    def irqsave(self) -> Guard:
        return Guard(
            self, "cpus.lock_cy:spin_lock_irqsave", "cpus.lock_cy:spin_unlock_irqrestore", True
        )

    def irq(self) -> Guard:
        return Guard(self, "cpus.lock_cy:spin_lock_irq", "cpus.lock_cy:spin_unlock_irq", False)

    def bh(self) -> Guard:
        return Guard(self, "cpus.lock_cy:spin_lock_bh", "cpus.lock_cy:spin_unlock_bh", False)


class rwlock_t(_OnItsOwn, Native, metaclass=StructType):
    """A reader-writer spinlock; `with lock.read():`, `with lock.write():`, `…_irqsave()`."""

    __nr_bytes__ = _BYTES["rwlock_t"]
    __align_bytes__ = NATIVE_ALIGN_BYTES
    INITIALISE = "cpus.rwlock_calls_cy:rwlock_init_"

    def read(self) -> Guard:
        return Guard(
            self, "cpus.rwlock_calls_cy:read_lock", "cpus.rwlock_calls_cy:read_unlock", False
        )

    def write(self) -> Guard:
        return Guard(
            self, "cpus.rwlock_calls_cy:write_lock", "cpus.rwlock_calls_cy:write_unlock", False
        )

    def read_irqsave(self) -> Guard:
        return Guard(
            self,
            "cpus.rwlock_calls_cy:read_lock_irqsave",
            "cpus.rwlock_calls_cy:read_unlock_irqrestore",
            True,
        )

    def write_irqsave(self) -> Guard:
        return Guard(
            self,
            "cpus.rwlock_calls_cy:write_lock_irqsave",
            "cpus.rwlock_calls_cy:write_unlock_irqrestore",
            True,
        )


class semaphore(_OnItsOwn, Lock, metaclass=StructType):
    """A semaphore of `count`; `with sem:` is down and up."""

    __nr_bytes__ = _BYTES["semaphore"]
    __align_bytes__ = NATIVE_ALIGN_BYTES
    INITIALISE = "cpus.semaphore_cy:sema_init"
    ACQUIRE = "cpus.semaphore_cy:down"
    RELEASE = "cpus.semaphore_cy:up"

    def __init__(self, count: int = 1) -> None:
        super().__init__(count)


class rw_semaphore(_OnItsOwn, Native, metaclass=StructType):
    """A reader-writer semaphore; `with sem.read():`, `with sem.write():`."""

    __nr_bytes__ = _BYTES["rw_semaphore"]
    __align_bytes__ = NATIVE_ALIGN_BYTES
    INITIALISE = "cpus.rwsem_cy:init_rwsem"

    def read(self) -> Guard:
        return Guard(self, "cpus.rwsem_cy:down_read", "cpus.rwsem_cy:up_read", False)

    def write(self) -> Guard:
        return Guard(self, "cpus.rwsem_cy:down_write", "cpus.rwsem_cy:up_write", False)


class wait_queue_head_t(_OnItsOwn, Native, metaclass=StructType):
    """A queue of sleeping tasks."""

    __nr_bytes__ = _BYTES["wait_queue_head_t"]
    __align_bytes__ = NATIVE_ALIGN_BYTES
    INITIALISE = "cpus.wait_cy:init_waitqueue_head"


class completion(_OnItsOwn, Native, metaclass=StructType):
    """An event that tasks wait for."""

    __nr_bytes__ = _BYTES["completion"]
    __align_bytes__ = NATIVE_ALIGN_BYTES
    INITIALISE = "cpus.wait_cy:init_completion"


class atomic_t(_OnItsOwn, Native, metaclass=StructType):
    """An integer that is changed atomically; `atomic_t(i)` is ATOMIC_INIT(i)."""

    __nr_bytes__ = 4
    __align_bytes__ = 4
    INITIALISE = "cpus.atomic_cy:atomic_set"

    def __init__(self, i: int = 0) -> None:
        super().__init__(i)


class list_head(_OnItsOwn, KStruct):
    """A link of a list, or its head: two pointers of the architecture."""

    next: ptr
    prev: ptr

    INITIALISE = "cpus.list_cy:INIT_LIST_HEAD"


class tasklet_struct(_OnItsOwn, Native, metaclass=StructType):
    """Work for the softirq of its CPU, prepared by tasklet_init."""

    __nr_bytes__ = _BYTES["tasklet_struct"]
    __align_bytes__ = NATIVE_ALIGN_BYTES


class timer_list(_OnItsOwn, Native, metaclass=StructType):
    """A kernel timer: `expires` in jiffies, `function(data)`."""

    entry: _word
    reserved: _word
    expires: _word
    function: _native_ptr
    data: _native_ptr

    INITIALISE = "interrupts.timer_cy:init_timer"


class tq_struct(_OnItsOwn, Native, metaclass=StructType):
    """A task of a task queue: `routine(data)`, queued at most once while `sync` is 1."""

    entry: _word
    reserved: _word
    sync: _word
    routine: _native_ptr
    data: _native_ptr


timer_list.__align_bytes__ = tq_struct.__align_bytes__ = NATIVE_ALIGN_BYTES
