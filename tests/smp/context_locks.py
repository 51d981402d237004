"""Rows of `context_table`: spinlocks, sleeping locks, wait queues and completions."""

from collections.abc import Callable
from typing import Any

from smpmm.kernel import *
from tests.smp.context_row import Row, always, everywhere, sleeps


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
