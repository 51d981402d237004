"""Sleeping locks on tasks: semaphores, rw semaphores, completions (asm-i386/semaphore.h, 2.4).

`count` and the number of the task that took the lock last change by one store. A task notes a
lock in its `downed` list before that store and settles the note behind it, so that what a dead
task held is known exactly. Waiters queue in order; a woken one takes the lock itself, and a
newcomer may be faster, as on Linux.

Arguments are kernel addresses or handles. Lock order: the lock's own wait queue lock, run
queue lock; sleepers_lock (the search for a cycle) is taken with neither.
"""

import cython
from cython.cimports.cpus.atomic import (
    atomic64_cmpxchg,
    atomic64_load,
    atomic64_store,
    compiler_barrier,
    unlikely,
)
from cython.cimports.cpus.callsite_cy import call_site
from cython.cimports.cpus.handle_cy import address_of
from cython.cimports.cpus.kill_cy import KILL_SEM_DOWN, KILL_SEM_UP, kill_point
from cython.cimports.cpus.percpu_cy import enter, enter_quietly, enter_sleeping, leave
from cython.cimports.cpus.runqueue_cy import schedule_inside
from cython.cimports.cpus.segment_cy import machine_ns, native
from cython.cimports.cpus.spinlock_cy import (
    CLASS_SLEEPING,
    RECOVER_NOTHING,
    lock_acquired_stat,
    lock_class_named,
    lock_held_stat,
    lock_waited_stat,
    raw_spin_lock_irqsave,
    raw_spin_unlock_irqrestore,
)
from cython.cimports.cpus.task_cy import (
    DOWNED_READ,
    DOWNED_TAKING,
    NR_DOWNED,
    NR_TASKS,
    TASK_FREE,
    TASK_INTERRUPTIBLE,
    TASK_NEW_SHIFT,
    TASK_RUNNING,
    TASK_UNINTERRUPTIBLE,
    current_task,
    globals_,
    signal_pending_inside,
    task_number,
    task_of_number,
    tasks,
)
from cython.cimports.cpus.wait_cy import completion
from cython.cimports.cpus.waitqueue_cy import (
    WAIT_EXCLUSIVE,
    WAIT_RECHECKS,
    WAIT_WRITER,
    dequeue_waiter,
    enqueue_waiter,
    finish_wait,
    init_wait_queue,
    wait_queues,
    wake_up_locked,
)

from cpus import sleepers
from cpus.lock_cy import init_class_name
from cpus.wait_cy import (  # noqa: F401  one place for drivers' imports
    complete,
    complete_all,
    init_completion,
    init_waitqueue_head,
    interruptible_sleep_on,
    interruptible_sleep_on_timeout,
    sleep_on,
    sleep_on_timeout,
    wait_event,
    wait_event_interruptible,
    wait_event_timeout,
    wait_for_completion,
    waitqueue_active,
    wake_up,
    wake_up_all,
    wake_up_interruptible,
    wake_up_interruptible_all,
    wake_up_nr,
)


def struct_bytes() -> dict:
    """Return the sizes of the structs that lie in drivers' memory, by name."""
    return {
        "wait_queue_head_t": cython.sizeof(wait_queue_head),
        "semaphore": cython.sizeof(semaphore),
        "rw_semaphore": cython.sizeof(rw_semaphore),
        "completion": cython.sizeof(completion),
    }


# Which task holds what


def note_downed(task, lock, bits):
    """Note that `task` is about to take `lock`; beyond NR_DOWNED it is not followed."""
    i: cython.int
    for i in range(NR_DOWNED):
        if task.downed[i] == 0 and (
            atomic64_cmpxchg(cython.address(task.downed[i]), 0, lock | bits | DOWNED_TAKING)
            == 0
        ):
            return


def settle_downed(task, lock, bits):
    """The lock is taken."""
    i: cython.int
    for i in range(NR_DOWNED):
        if task.downed[i] == lock | bits | DOWNED_TAKING:
            atomic64_store(cython.address(task.downed[i]), lock | bits)
            return


def forget_downed(task, lock, bits):
    """The lock is given back, by whoever."""
    i: cython.int
    if task == cython.NULL:
        return
    for i in range(NR_DOWNED):
        if (
            atomic64_load(cython.address(task.downed[i])) & ~cython.cast(u64, DOWNED_TAKING)
            == lock | bits
        ):
            atomic64_store(cython.address(task.downed[i]), 0)
            return


def holder_of(lock):
    """Return the task that holds the sleeping lock at a native address, NULL = none known."""
    sem: cython.pointer[semaphore] = cython.cast(cython.pointer[semaphore], lock)
    rwsem: cython.pointer[rw_semaphore] = cython.cast(cython.pointer[rw_semaphore], lock)
    if sem.magic == SEM_MAGIC:
        return cython.NULL if sem.count > 0 else task_of_number(sem.downer)
    if rwsem.magic == RWSEM_MAGIC:
        return cython.NULL if rwsem.count >= 0 else task_of_number(rwsem.downer)
    return cython.NULL


def closes_cycle(lock, task):
    """Say that `task` waits for `lock`; true, and not said, when that closes a cycle.

    One search at a time, so of two tasks that close a cycle together the second sees it.
    """
    at: cython.pointer[task_struct]
    steps: cython.int = 0
    found: cython.bint = False
    flags: u64 = raw_spin_lock_irqsave(cython.address(globals_.cycle_lock), 0)
    atomic64_store(cython.address(task.waiting_for), lock)
    at = holder_of(lock)
    while at != cython.NULL and steps < NR_TASKS:
        if at == task:
            found = True
            atomic64_store(cython.address(task.waiting_for), 0)
            break
        lock = atomic64_load(cython.address(at.waiting_for))
        at = holder_of(lock) if lock != 0 else cython.NULL
        steps += 1
    raw_spin_unlock_irqrestore(cython.address(globals_.cycle_lock), flags)
    return found


def end_sleep(queue, task):
    """An exception ended a sleep: leave the queue, hand a wake-up on. Outside of a call."""
    flags: u64
    enter_quietly()
    finish_wait(queue)
    atomic64_store(cython.address(task.waiting_for), 0)
    flags = raw_spin_lock_irqsave(cython.address(queue.lock), 0)
    wake_up_locked(queue, 1, EITHER)
    raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)
    leave()


# Semaphores


def semaphore_init(sem, count, class_):
    init_wait_queue(cython.address(sem.wait), wait_queues.queue_class)
    sem.count = count
    sem.downer = 0
    sem.site = 0
    sem.last_cpu = 0
    sem.initial = count if count > 0 else 0
    sem.acquired_ns = 0
    sem.class_ = class_
    sem.magic = SEM_MAGIC if count > 0 else SEM_SIGNAL_MAGIC


def semaphore_at(address):
    sem: cython.pointer[semaphore] = cython.cast(
        cython.pointer[semaphore], native(address, cython.sizeof(semaphore))
    )
    if unlikely(
        sem == cython.NULL or (sem.magic != SEM_MAGIC and sem.magic != SEM_SIGNAL_MAGIC)
    ):
        return cython.NULL
    return sem


def take_semaphore(sem, task, site):
    """Take one of the count; its lock is held and the count is above 0."""
    lock: u64 = cython.cast(u64, sem)
    followed: cython.bint = task != cython.NULL and sem.magic == SEM_MAGIC
    word: u64 = cython.cast(u64, cython.cast(u32, sem.count - 1))
    if followed:
        note_downed(task, lock, 0)
        word |= cython.cast(u64, task_number(task)) << 32
    compiler_barrier()
    atomic64_store(cython.cast(cython.pointer[u64], cython.address(sem.count)), word)
    kill_point(KILL_SEM_DOWN)
    if followed:
        settle_downed(task, lock, 0)
    sem.site = site
    sem.acquired_ns = machine_ns()
    lock_acquired_stat(sem.class_, cython.address(sem.last_cpu))


def down_common(sem, state, site):
    task: cython.pointer[task_struct] = current_task()
    queue: cython.pointer[wait_queue_head] = cython.address(sem.wait)
    flags: u64 = raw_spin_lock_irqsave(cython.address(queue.lock), site)
    start: u64
    holder_site: u32
    if sem.count > 0:
        take_semaphore(sem, task, site)
        raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)
        return TAKEN
    raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)
    if task == cython.NULL:
        return NO_TASK
    if task.wait_queue != 0:
        finish_wait(cython.cast(cython.pointer[wait_queue_head], task.wait_queue))
    start = machine_ns()
    holder_site = sem.site
    task.waiting_site = site
    if closes_cycle(cython.cast(u64, sem), task):
        return CYCLE
    flags = raw_spin_lock_irqsave(cython.address(queue.lock), site)
    enqueue_waiter(queue, task, WAIT_EXCLUSIVE | WAIT_RECHECKS)
    while True:
        if sem.count > 0:
            break
        if state == TASK_INTERRUPTIBLE and signal_pending_inside():
            break
        atomic64_store(cython.address(task.state), state)
        raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)
        try:
            schedule_inside(0)
        except BaseException:
            end_sleep(queue, task)
            raise
        flags = raw_spin_lock_irqsave(cython.address(queue.lock), site)
    atomic64_store(cython.address(task.state), TASK_RUNNING)
    dequeue_waiter(queue, task)
    atomic64_store(cython.address(task.waiting_for), 0)
    lock_waited_stat(sem.class_, site, holder_site, machine_ns() - start)
    if sem.count <= 0:
        raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)
        return -EINTR
    take_semaphore(sem, task, site)
    if sem.count > 0:
        wake_up_locked(queue, 1, EITHER)
    raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)
    return TAKEN


def up_common(sem):
    queue: cython.pointer[wait_queue_head] = cython.address(sem.wait)
    flags: u64 = raw_spin_lock_irqsave(cython.address(queue.lock), call_site())
    downer: cython.pointer[task_struct] = task_of_number(sem.downer)
    if sem.acquired_ns != 0 and downer != cython.NULL:
        lock_held_stat(sem.class_, machine_ns() - sem.acquired_ns)
    atomic64_store(
        cython.cast(cython.pointer[u64], cython.address(sem.count)),
        cython.cast(u64, cython.cast(u32, sem.count + 1)),
    )
    kill_point(KILL_SEM_UP)
    forget_downed(downer, cython.cast(u64, sem), 0)
    wake_up_locked(queue, 1, EITHER)
    raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)


def sema_init(sem: object, count: cython.int) -> None:
    """Make a semaphore with `count` free; its class is its field or the place of this call.

    Any context.
    """
    address: u64 = address_of(sem)
    name: bytes = init_class_name(sem, call_site())
    enter()
    at: cython.p_void = native(address, cython.sizeof(semaphore))
    if at != cython.NULL:
        semaphore_init(
            cython.cast(cython.pointer[semaphore], at),
            count,
            lock_class_named(name, CLASS_SLEEPING, RECOVER_NOTHING),
        )
    leave()
    if at == cython.NULL:
        sleepers.bad_lock("sema_init", address)


def init_MUTEX(sem: object) -> None:
    """Make a semaphore that one task may hold. Any context."""
    sema_init(sem, 1)


def init_MUTEX_LOCKED(sem: object) -> None:
    """Make a semaphore that is taken already. Any context."""
    sema_init(sem, 0)


def down(sem: object) -> None:
    """Take a semaphore; sleeps until it can. May sleep."""
    address: u64 = address_of(sem)
    enter_sleeping(b"down")
    s: cython.pointer[semaphore] = semaphore_at(address)
    result: cython.int = -1
    if s != cython.NULL:
        result = down_common(s, TASK_UNINTERRUPTIBLE, call_site())
    leave()
    if unlikely(result != TAKEN):
        sleepers.refuse("down", address, result)


def down_interruptible(sem: object) -> int:
    """Take a semaphore: 0, or -EINTR when a signal ended the sleep. May sleep."""
    address: u64 = address_of(sem)
    enter_sleeping(b"down_interruptible")
    s: cython.pointer[semaphore] = semaphore_at(address)
    result: cython.int = -1
    if s != cython.NULL:
        result = down_common(s, TASK_INTERRUPTIBLE, call_site())
    leave()
    if unlikely(result != TAKEN and result != -EINTR):
        sleepers.refuse("down_interruptible", address, result)
    return result


def down_trylock(sem: object) -> int:
    """Take a semaphore if that needs no sleep: 0 taken, 1 not. Any context."""
    address: u64 = address_of(sem)
    enter()
    s: cython.pointer[semaphore] = semaphore_at(address)
    taken: cython.bint = False
    flags: u64
    if s != cython.NULL:
        flags = raw_spin_lock_irqsave(cython.address(s.wait.lock), call_site())
        if s.count > 0:
            take_semaphore(s, current_task(), call_site())
            taken = True
        raw_spin_unlock_irqrestore(cython.address(s.wait.lock), flags)
    leave()
    if unlikely(s == cython.NULL):
        sleepers.bad_lock("down_trylock", address)
    return 0 if taken else 1


def up(sem: object) -> None:
    """Give a semaphore back and wake a waiter. Any context."""
    address: u64 = address_of(sem)
    enter()
    s: cython.pointer[semaphore] = semaphore_at(address)
    if s != cython.NULL:
        up_common(s)
    leave()
    if unlikely(s == cython.NULL):
        sleepers.bad_lock("up", address)


# Rw semaphores


def rwsem_at(address):
    sem: cython.pointer[rw_semaphore] = cython.cast(
        cython.pointer[rw_semaphore], native(address, cython.sizeof(rw_semaphore))
    )
    if unlikely(sem == cython.NULL or sem.magic != RWSEM_MAGIC):
        return cython.NULL
    return sem


def reader_may(sem, task):
    """Whether a reader may go ahead of the queue: nobody before it there waits to write."""
    t: cython.pointer[task_struct]
    at: u64 = sem.wait.first
    if sem.count < 0:
        return False
    while at != 0 and at != cython.cast(u64, task):
        t = cython.cast(cython.pointer[task_struct], at)
        if t.wait_flags & WAIT_WRITER:
            return False
        at = t.wait_next
    return True


def rwsem_take(sem, task, site, bits):
    """Take a side; the lock is held and the side is free."""
    lock: u64 = cython.cast(u64, sem)
    word: u64 = cython.cast(u64, cython.cast(u32, sem.count + 1))
    if bits & DOWNED_READ == 0:
        word = 0xFFFFFFFF | cython.cast(u64, task_number(task)) << 32
    if task != cython.NULL:
        note_downed(task, lock, bits)
    compiler_barrier()
    atomic64_store(cython.cast(cython.pointer[u64], cython.address(sem.count)), word)
    kill_point(KILL_SEM_DOWN)
    if task != cython.NULL:
        settle_downed(task, lock, bits)
    sem.site = site
    lock_acquired_stat(sem.class_, cython.address(sem.last_cpu))


def rwsem_wait(sem, site, bits):
    """Take a side (DOWNED_READ or 0), sleeping for it. Inside a call."""
    task: cython.pointer[task_struct] = current_task()
    queue: cython.pointer[wait_queue_head] = cython.address(sem.wait)
    reads: cython.bint = bits & DOWNED_READ != 0
    start: u64 = machine_ns()
    holder_site: u32 = sem.site
    flags: u64 = raw_spin_lock_irqsave(cython.address(queue.lock), site)
    if reader_may(sem, task) if reads else sem.count == 0 and queue.first == 0:
        rwsem_take(sem, task, site, bits)
        raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)
        return TAKEN
    raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)
    if task == cython.NULL:
        return NO_TASK
    if task.wait_queue != 0:
        finish_wait(cython.cast(cython.pointer[wait_queue_head], task.wait_queue))
    task.waiting_site = site
    if closes_cycle(cython.cast(u64, sem), task):
        return CYCLE
    flags = raw_spin_lock_irqsave(cython.address(queue.lock), site)
    enqueue_waiter(queue, task, WAIT_EXCLUSIVE | WAIT_RECHECKS | (0 if reads else WAIT_WRITER))
    while True:
        if reads:
            if reader_may(sem, task):
                break
        elif sem.count == 0 and queue.first == cython.cast(u64, task):
            break
        atomic64_store(cython.address(task.state), TASK_UNINTERRUPTIBLE)
        raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)
        try:
            schedule_inside(0)
        except BaseException:
            end_sleep(queue, task)
            raise
        flags = raw_spin_lock_irqsave(cython.address(queue.lock), site)
    atomic64_store(cython.address(task.state), TASK_RUNNING)
    dequeue_waiter(queue, task)
    atomic64_store(cython.address(task.waiting_for), 0)
    lock_waited_stat(sem.class_, site, holder_site, machine_ns() - start)
    rwsem_take(sem, task, site, bits)
    rwsem_wake(sem)
    raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)
    return TAKEN


def rwsem_wake(sem):
    """Wake the first waiter if it may go; the lock is held."""
    first: cython.pointer[task_struct] = cython.cast(
        cython.pointer[task_struct], sem.wait.first
    )
    if first == cython.NULL or sem.count < 0:
        return
    if first.wait_flags & WAIT_WRITER == 0 or sem.count == 0:
        wake_up_locked(cython.address(sem.wait), 1, EITHER)


def down_read_common(sem, site):
    return rwsem_wait(sem, site, DOWNED_READ)


def down_write_common(sem, site):
    return rwsem_wait(sem, site, 0)


def up_read_common(sem):
    flags: u64 = raw_spin_lock_irqsave(cython.address(sem.wait.lock), call_site())
    if sem.count > 0:
        sem.count -= 1
    forget_downed(current_task(), cython.cast(u64, sem), DOWNED_READ)
    rwsem_wake(sem)
    raw_spin_unlock_irqrestore(cython.address(sem.wait.lock), flags)


def up_write_common(sem):
    flags: u64 = raw_spin_lock_irqsave(cython.address(sem.wait.lock), call_site())
    writer: cython.pointer[task_struct] = task_of_number(sem.downer)
    if sem.count < 0:
        atomic64_store(cython.cast(cython.pointer[u64], cython.address(sem.count)), 0)
    forget_downed(writer, cython.cast(u64, sem), 0)
    rwsem_wake(sem)
    raw_spin_unlock_irqrestore(cython.address(sem.wait.lock), flags)


def init_rwsem(sem: object) -> None:
    """Make an rw semaphore that nobody holds. Any context."""
    address: u64 = address_of(sem)
    name: bytes = init_class_name(sem, call_site())
    enter()
    s: cython.pointer[rw_semaphore] = cython.cast(
        cython.pointer[rw_semaphore], native(address, cython.sizeof(rw_semaphore))
    )
    if s != cython.NULL:
        init_wait_queue(cython.address(s.wait), wait_queues.queue_class)
        s.count = 0
        s.downer = 0
        s.site = 0
        s.last_cpu = 0
        s.class_ = lock_class_named(name, CLASS_SLEEPING, RECOVER_NOTHING)
        s.magic = RWSEM_MAGIC
    leave()
    if s == cython.NULL:
        sleepers.bad_lock("init_rwsem", address)


def down_read(sem: object) -> None:
    """Take the read side; sleeps while somebody writes or waits to. May sleep."""
    address: u64 = address_of(sem)
    enter_sleeping(b"down_read")
    s: cython.pointer[rw_semaphore] = rwsem_at(address)
    result: cython.int = -1
    if s != cython.NULL:
        result = down_read_common(s, call_site())
    leave()
    if unlikely(result != TAKEN):
        sleepers.refuse("down_read", address, result)


def down_write(sem: object) -> None:
    """Take the write side; sleeps until nobody else has either. May sleep."""
    address: u64 = address_of(sem)
    enter_sleeping(b"down_write")
    s: cython.pointer[rw_semaphore] = rwsem_at(address)
    result: cython.int = -1
    if s != cython.NULL:
        result = down_write_common(s, call_site())
    leave()
    if unlikely(result != TAKEN):
        sleepers.refuse("down_write", address, result)


def up_read(sem: object) -> None:
    """Give the read side back. Any context."""
    address: u64 = address_of(sem)
    enter()
    s: cython.pointer[rw_semaphore] = rwsem_at(address)
    if s != cython.NULL:
        up_read_common(s)
    leave()
    if unlikely(s == cython.NULL):
        sleepers.bad_lock("up_read", address)


def up_write(sem: object) -> None:
    """Give the write side back. Any context."""
    address: u64 = address_of(sem)
    enter()
    s: cython.pointer[rw_semaphore] = rwsem_at(address)
    if s != cython.NULL:
        up_write_common(s)
    leave()
    if unlikely(s == cython.NULL):
        sleepers.bad_lock("up_write", address)


# After a death


def give_up(entry, task):
    """Give back what a dead task held by one note of its `downed` list; true if it held it."""
    lock: u64 = entry & ~cython.cast(u64, 7)
    sem: cython.pointer[semaphore] = cython.cast(cython.pointer[semaphore], lock)
    rwsem: cython.pointer[rw_semaphore] = cython.cast(cython.pointer[rw_semaphore], lock)
    number: u32 = task_number(task)
    if sem.magic == SEM_MAGIC:
        if entry & DOWNED_TAKING and sem.downer != number:
            return False
        if sem.initial == 1 and sem.downer != number:
            return False
        if sem.count >= cython.cast(cython.int, sem.initial):
            return False
        up_common(sem)
        return True
    if rwsem.magic == RWSEM_MAGIC:
        if entry & DOWNED_READ:
            if rwsem.count <= 0 or entry & DOWNED_TAKING:
                return False
            up_read_common(rwsem)
            return True
        if rwsem.count >= 0 or rwsem.downer != number:
            return False
        up_write_common(rwsem)
        return True
    return False


def bury_tasks(cpu: int) -> list:
    """Free the tasks of a dead CPU and give up what they held; on a live CPU.

    Returns [(pid, name, [(native address, class, site), …]), …].
    """
    i: cython.int
    j: cython.int
    entry: u64
    task: cython.pointer[task_struct]
    buried: list = []
    for i in range(NR_TASKS):
        task = cython.address(tasks[i])
        if not is_task_of(task, cython.cast(u64, cpu)):
            continue
        held: list = []
        for j in range(NR_DOWNED):
            entry = atomic64_load(cython.address(task.downed[j]))
            if entry == 0:
                continue
            words = sleeping_lock_words(entry & ~cython.cast(u64, 7))
            enter()
            given: cython.bint = give_up(entry, task)
            leave()
            if given:
                held.append(words)
        enter()
        leave_queue_of(task)
        atomic64_store(cython.address(task.state), TASK_FREE)
        leave()
        buried.append((task.pid, task.name.decode("ascii", "replace"), held))
    return buried


def is_task_of(task, cpu):
    """Whether a task_struct is taken for a task of `cpu`: queued, or only just taken."""
    state: u64 = atomic64_load(cython.address(task.state))
    if state > TASK_FREE:
        return (state >> TASK_NEW_SHIFT) == cpu + 1
    return state != TASK_FREE and task.cpu == cpu


def leave_queue_of(task):
    """Take a dead task off the wait queue that it is on."""
    queue: cython.pointer[wait_queue_head] = cython.cast(
        cython.pointer[wait_queue_head], task.wait_queue
    )
    flags: u64
    if queue == cython.NULL:
        return
    flags = raw_spin_lock_irqsave(cython.address(queue.lock), 0)
    if task.wait_queue == cython.cast(u64, queue):
        dequeue_waiter(queue, task)
    raw_spin_unlock_irqrestore(cython.address(queue.lock), flags)


def sleeping_lock_words(lock: cython.ulonglong) -> tuple:
    """Return (native address, lock class, site of the holder) of a sleeping lock."""
    sem: cython.pointer[semaphore] = cython.cast(cython.pointer[semaphore], lock)
    rwsem: cython.pointer[rw_semaphore] = cython.cast(cython.pointer[rw_semaphore], lock)
    if sem.magic == SEM_MAGIC or sem.magic == SEM_SIGNAL_MAGIC:
        return lock, sem.class_, sem.site
    if rwsem.magic == RWSEM_MAGIC:
        return lock, rwsem.class_, rwsem.site
    return lock, 0, 0


def holder_pid(lock: cython.ulonglong) -> int:
    """Return the pid of who holds the sleeping lock at a native address, 0 = none."""
    task: cython.pointer[task_struct] = holder_of(lock)
    return 0 if task == cython.NULL else task.pid


def lock_magic(address: cython.ulonglong) -> int:
    """Return the magic of a semaphore at a kernel address, -1 when nothing is mapped."""
    at: cython.pointer[semaphore] = cython.cast(
        cython.pointer[semaphore], native(address, cython.sizeof(semaphore))
    )
    return -1 if at == cython.NULL else at.magic
