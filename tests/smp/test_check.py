"""check() of the kernel's tables names each way in which they are damaged.

Pages, slabs and buffers: tests/unit/smpmm/mm.
"""

import ctypes

import pytest

from cpus import ship
from cpus.errors import CorruptionError
from smpmm import Machine
from smpmm.invariants import check_machine

ship.register_by_value("tests")


def damage(what: str, index: int, value: int, bits: int) -> str:
    """Store `value` into a word of a table, check, put it back; returns what check() said."""
    from smpmm import table_check_cy

    kind = ctypes.c_uint64 if bits == 64 else ctypes.c_uint32
    word = kind.from_address(table_check_cy.native(what, index))
    before = word.value
    word.value = value
    try:
        table_check_cy.check_tables()
    except CorruptionError as error:
        return str(error)
    finally:
        word.value = before
    return ""


@pytest.fixture(scope="module")
def machine():
    with Machine(cpus=2) as machine:
        machine.insmod("scull")
        machine.insmod("short")
        yield machine


WORDS = [
    ("rq.first", 1, 0x1234, 64, "What is on a CPU's run queue is a queued task"),
    ("cpu.nr_queued", 1, 7, 64, "nr_queued counts the tasks"),
    ("rq.last", 1, 0x1234, 64, "The last task of a run queue"),
    ("irq.action", 7, 190, 32, "What is on a line's chain"),
    ("irq.action", 7, 0, 32, "Every action of a line is on the line's chain"),
    ("irq.status", 7, 2, 32, "A line is disabled if"),
    ("irq.status", 9, 0, 32, "A line is disabled if"),
    ("action.line", 190, 8, 32, "Every action of a line is on the line's chain"),
    ("module.usecount", 0, -1, 64, "A module is not used less than 0 times"),
    ("module.code", 0, 9000, 64, "The snapshot of a live module"),
    ("text.state", 9000, 1, 32, "No entry of the kernel's text is half written"),
    ("text.state", 9000, 9, 32, "No entry of the kernel's text is half written"),
    ("text.unit", 16000, 5, 32, "Every unit of text that is taken"),
    ("text.first_unit", 0, 16000, 32, "The units of a text entry"),
]


@pytest.mark.parametrize("what, index, value, bits, says", WORDS)
def test_a_damaged_word_is_named(machine, what, index, value, bits, says) -> None:
    assert says in machine.run(damage, what, index, value, bits, cpu=0)
    machine.check()


def sleeping_task(pid: int) -> int:
    """Return the index of the task_struct of a task that waits on a queue, else -1."""
    from smpmm import table_check_cy

    return table_check_cy.index_of_waiter(pid)


@pytest.mark.parametrize(
    "what, value, says",
    [
        ("task.on_rq", 1, "Every task that says it is queued"),
        ("task.wait_queue", 0x1000, "What a task waits on is a wait queue"),
        ("task.wait_prev", 0x1000, "Each task on a wait queue is the predecessor"),
        ("queue.last", 0, "Each task on a wait queue is the predecessor"),
        ("queue.first", 0, "Every task that says it waits on a queue"),
        ("queue.first", 0x1000, "What is on a wait queue is a task that says so"),
    ],
)
def test_a_damaged_queue_is_named(machine, what, value, says) -> None:
    from smpmm.kernel import __get_free_page, down, init_MUTEX_LOCKED, up

    def sleeper(place: int) -> None:
        down(place)

    place = machine.run(__get_free_page, 7)
    machine.run(init_MUTEX_LOCKED, place)
    task = machine.spawn(sleeper, place, cpu=1)
    index = -1
    while index < 0:
        index = machine.run(sleeping_task, task.pid)
    assert says in machine.run(damage, what, index, value, 64, cpu=0)
    machine.check()
    machine.run(up, place)
    task.result(20)


def test_check_machine_covers_every_table() -> None:
    names = set(check_machine.__code__.co_names)
    assert names >= {"check_pages", "check_slabs", "check_buffers", "check_tables"}
