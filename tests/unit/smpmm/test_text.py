"""Kernel text: addresses, loading, what becomes of functions whose module is gone."""

import types

import pytest

from cpus import rebuild, spinlock_cy
from cpus.errors import Oops
from smpmm import driver_side, frozen, module_table_cy, namespace, text, text_cy
from smpmm.mm import page_alloc_cy
from tests.support import small_machine


@pytest.fixture
def kernel():
    namespace._spaces.clear()
    namespace._serials.clear()
    text._symbols.clear()
    text._by_name.clear()
    text._by_digest.clear()
    text._registered.clear()
    small_machine(spinlock_cy, page_alloc_cy, driver_side)
    yield
    from smpmm import symbols

    symbols.leave_machine()


def module(name: str, source: str) -> tuple[int, dict]:
    """Make a module of `source` without a machine's insmod: serial number and namespace."""
    serial = module_table_cy.claim_module(name, f"{name}.py")
    space = namespace.fresh(name, f"{name}.py")
    namespace.adopt(serial, space)
    exec(compile(source, f"{name}.py", "exec"), space)
    module_table_cy.set_module_state(serial, module_table_cy.LIVE)
    return serial, space


def forget_loaded() -> None:
    """Be a process that has loaded nothing."""
    text_cy.flush()


def test_a_function_gets_one_address_and_comes_back_by_it(kernel) -> None:
    def double(x):
        return 2 * x

    address = text.register(double)
    assert address == text.register(double) == 0xC0100000
    assert text.load(address) is double
    forget_loaded()
    assert text.call(address, 21) == 42
    assert text.load(address) is text.load(address)


def test_none_is_0_and_an_address_is_itself(kernel) -> None:
    assert text.register(None) == 0
    assert text.register(0xC0100040) == 0xC0100040


def test_equal_functions_share_an_address(kernel) -> None:
    def make():
        def three():
            return 3

        return three

    assert text.register(make()) == text.register(make())
    assert text_cy.nr_functions() == 1


def test_a_function_of_a_module_is_its_name_there(kernel) -> None:
    serial, space = module("drv", "base = 10\ndef add(x):\n    return base + x\n")
    address = text.register(space["add"])
    assert text_cy.entry(0)["length"] == 0
    assert text.symbolise(address) == "add [drv]"
    assert text.symbolise(address + 4) == "add+0x4/0x40 [drv]"
    assert text.module_at(address) == serial


def test_an_address_outside_of_all_text_is_shown_as_it_is(kernel) -> None:
    assert text.symbolise(0xC0000010) == "0xc0000010"
    assert not text.is_text(0xC0100000)


def test_a_call_after_the_module_is_gone_is_an_oops_that_names_it(kernel) -> None:
    serial, space = module("drv", "def handler():\n    return 1\n")
    address = text.register(space["handler"])
    assert text.call(address) == 1
    text_cy.end_module(serial)
    namespace.forget(serial)
    with pytest.raises(Oops) as caught:
        text.call(address)
    assert "handler [drv]: the module was removed" in caught.value.report


def test_addresses_are_never_used_again(kernel) -> None:
    first, space = module("one", "def f():\n    return 1\n")
    gone = text.register(space["f"])
    text_cy.end_module(first)
    module_table_cy.release_module(first)
    namespace.forget(first)
    _, space = module("one", "def f():\n    return 2\n")
    assert text.register(space["f"]) != gone


def test_closures_of_a_module_see_its_globals(kernel) -> None:
    serial, space = module(
        "drv",
        "base = 10\ndef make(n):\n    def add(x):\n        return base + n + x\n"
        "    return add\n",
    )
    address = text.register(space["make"](5))
    forget_loaded()
    loaded = text.load(address)
    assert loaded(1) == 16
    assert loaded.__globals__ is space
    space["base"] = 20
    assert loaded(1) == 26


def test_a_namespace_travels_and_is_brought_up_to_date_in_place(kernel) -> None:
    serial, space = module(
        "drv",
        "limit = 1\nclass Item:\n    size = 4\n"
        "    def twice(self):\n        return 2 * limit\n"
        "def get():\n    return limit, Item().twice(), Item.size\n",
    )
    data = namespace.snapshot(space)
    space["limit"] = 3
    newer = namespace.snapshot(space)
    namespace.forget(serial)
    # Another process has not made the module's classes.
    rebuild._tokens.clear()
    rebuild._classes.clear()
    copy = namespace.restore(serial, data)
    function = copy["get"]
    assert function() == (1, 2, 4) and copy is not space
    assert namespace.restore(serial, newer) is copy
    assert function() == (3, 6, 4)


def test_state_in_python_is_refused_at_registration(kernel) -> None:
    space = {"__name__": "__main__", "seen": []}
    exec("def handler():\n    seen.append(1)\n", space)
    with pytest.raises(frozen.FrozenStateError, match="refers to the list 'seen'"):
        text.register(space["handler"])
    assert text_cy.nr_functions() == 0


def test_values_are_kept_once_and_their_room_is_used_again(kernel) -> None:
    used = text_cy.heap_units_used()
    number = text.store((1, "two"))
    assert text.take(number) == (1, "two")
    assert text_cy.heap_units_used() == used
    with pytest.raises(LookupError):
        text.take(number)
    assert text.store("again") == number


def test_the_heap_is_used_round_and_round(kernel) -> None:
    blob = bytes(100_000)
    for _ in range(200):
        text_cy.discard(text_cy.add(text_cy.BLOB, 0, "", "blob", blob))
    assert text_cy.heap_units_used() == 0


def test_a_full_heap_is_a_memory_error_that_says_so(kernel) -> None:
    with pytest.raises(MemoryError, match="kernel text is full"):
        for _ in range(100):
            text_cy.add(text_cy.BLOB, 0, "", "blob", bytes(1 << 20))


def test_exceptions_that_are_no_functions_are_type_errors(kernel) -> None:
    with pytest.raises(TypeError, match="neither a function nor an address"):
        text.register(types.SimpleNamespace())
