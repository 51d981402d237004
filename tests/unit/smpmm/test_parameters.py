"""Module parameters: names that are words in RAM."""

import ast
import types

import pytest

from cpus.errors import ConfigError
from smpmm import parameters

SOURCE = """
quantum = 4
MODULE_PARM("quantum", "i")
def read():
    return quantum
def write(x):
    global quantum
    quantum = x
    quantum += 1
def shadow(quantum):
    return [quantum for _ in (1,)], (lambda: quantum)()
def own():
    quantum = 7
    def inner():
        return quantum
    return inner()
def comprehensions():
    return [quantum for _ in (1, 2)], {quantum: q for quantum, q in ((1, 2),)}
def text():
    return f"{quantum}"
"""


def load(source: str) -> tuple[dict, types.SimpleNamespace]:
    tree = ast.parse(source)
    words = parameters.declared(tree, "driver")
    struct = types.SimpleNamespace(quantum=50)
    space = {"MODULE_PARM": lambda *_: None, parameters.PARAMETERS: struct}
    exec(compile(parameters.rewrite(tree, words), "driver.py", "exec"), space)
    return space, struct


def test_functions_read_and_write_the_word() -> None:
    space, struct = load(SOURCE)
    assert space["read"]() == 50
    space["write"](8)
    assert struct.quantum == 9 and space["quantum"] == 4
    assert space["text"]() == "9"


def test_a_function_s_own_variable_of_that_name_is_left_alone() -> None:
    space, _ = load(SOURCE)
    assert space["shadow"](3) == ([3], 3)
    assert space["own"]() == 7
    assert space["comprehensions"]() == ([50, 50], {1: 2})


def test_line_numbers_stay() -> None:
    space, _ = load(SOURCE)
    assert space["read"].__code__.co_firstlineno == 4


def test_insmod_refuses_unknown_parameters_by_name() -> None:
    with pytest.raises(ConfigError, match="invalid parameter parm_quantom; scull has quantum"):
        parameters.check_given("scull", {"quantum": "i"}, {"quantom": 1})


@pytest.mark.parametrize("value", ["many", 1 << 31, None])
def test_insmod_refuses_bad_values(value: object) -> None:
    with pytest.raises(ConfigError, match="quantum="):
        parameters.check_given("scull", {"quantum": "i"}, {"quantum": value})


def test_text_is_taken_as_a_number() -> None:
    assert parameters.check_given("s", {"quantum": "i"}, {"quantum": "0x10"}) == {
        "quantum": 16
    }


def test_arrays_are_refused() -> None:
    with pytest.raises(ConfigError, match="has type '1-4i'"):
        parameters.declared(ast.parse("MODULE_PARM('a', '1-4i')"), "driver")
