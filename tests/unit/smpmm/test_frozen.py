"""What of Python state kernel code may use."""

import types

import pytest

from smpmm import frozen

counter = 0
table = [1, 2]
constant = (1, 2)
mapping = types.MappingProxyType({"a": 1})


def load(text: str) -> dict:
    """Run a driver's text in a namespace that no import knows."""
    space: dict = {"__name__": "driver_under_test"}
    exec(compile(text, "driver.py", "exec"), space)
    return space


def test_rebinding_a_global_is_named_with_its_line() -> None:
    space = load("n = 0\ndef write():\n    global n\n    n += 1\n")
    (found,) = frozen.findings([space["write"]])
    assert (found.line, found.function, found.name) == (4, "write", "n")
    assert str(found) == "driver.py:4: write() rebinds the global 'n'"


@pytest.mark.parametrize("value", ["[]", "{}", "set()", "bytearray()"])
def test_a_mutable_global_is_named(value: str) -> None:
    space = load(f"keep = {value}\ndef write():\n    return keep\n")
    (found,) = frozen.findings([space["write"]])
    assert "refers to the" in found.problem and found.line == 3


@pytest.mark.parametrize("value", ["()", "frozenset()", "'text'", "b''", "len", "int", "None"])
def test_constants_functions_and_classes_pass(value: str) -> None:
    space = load(f"keep = {value}\ndef write():\n    return keep\n")
    assert frozen.findings([space["write"]]) == []


def test_the_functions_that_a_function_calls_are_followed() -> None:
    space = load("n = 0\ndef bump():\n    global n\n    n = 1\ndef write():\n    bump()\n")
    assert [found.function for found in frozen.findings([space["write"]])] == ["bump"]


def test_methods_of_a_class_are_followed() -> None:
    space = load(
        "keep = []\nclass C:\n    def m(self):\n        keep.append(1)\n"
        "def write():\n    C().m()\n"
    )
    assert [found.function for found in frozen.findings([space["write"]])] == ["C.m"]


def test_init_is_exempt_but_not_what_it_calls() -> None:
    space = load(
        "n = 0\ndef helper():\n    global n\n    n = 2\n"
        "def init():\n    global n\n    n = 1\n    helper()\n"
    )
    functions = [space["init"], space["helper"]]
    found = frozen.findings(functions, exempt=[space["init"]])
    assert [one.function for one in found] == ["helper"]


def test_a_name_that_is_a_word_in_ram_passes() -> None:
    space = load("n = 0\ndef write():\n    global n\n    n += 1\n")
    assert frozen.findings([space["write"]], words=["n"]) == []


def test_a_closure_variable_of_the_function_itself_is_frozen() -> None:
    def make():
        total = 0

        def add():
            nonlocal total
            total += 1

        return add

    (found,) = frozen.findings([make()])
    assert found.problem == "rebinds the closure variable 'total'"


def test_a_variable_made_anew_at_each_call_is_free() -> None:
    def workload():
        total = 0
        seen = []

        def add():
            nonlocal total
            total += 1
            seen.append(total)

        add()
        return total

    assert frozen.findings([workload]) == []


def test_the_refusal_says_what_to_do_instead() -> None:
    space = load("keep = []\ndef handler():\n    keep.append(1)\n")
    with pytest.raises(frozen.FrozenStateError, match="KStruct.static") as caught:
        frozen.check_registered(space["handler"])
    assert "handler()" in str(caught.value) and "MappingProxyType" in str(caught.value)


def test_functions_of_importable_modules_are_not_followed() -> None:
    import json

    space = load("import json\ndef write():\n    return json.dumps(1)\n")
    assert frozen.findings([space["write"]]) == []
    frozen.check_registered(json.dumps)


def test_a_workload_that_keeps_state_in_python_is_warned_of_once() -> None:
    space = load("n = 0\ndef work():\n    global n\n    n += 1\n")
    with pytest.warns(frozen.FrozenStateWarning, match="driver.py:4: work.. rebinds") as seen:
        frozen.warn_spawned(space["work"])
        frozen.warn_spawned(space["work"])
    assert len(seen) == 1
