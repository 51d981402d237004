"""Rows of `context_table`: atomics, bit operations, barriers, lists."""

from collections.abc import Callable
from typing import Any

from smpmm.kernel import *
from tests.smp.context_row import Env, everywhere

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
