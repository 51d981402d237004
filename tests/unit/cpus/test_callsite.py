"""Call sites: one number for a place in all processes, names that survive their writer."""

import signal
import types
import weakref

import pytest

from cpus import callsite_cy, kill_cy
from tests.support import in_child, small_machine


@pytest.fixture(autouse=True)
def machine():
    small_machine()


def where():
    return callsite_cy.here()


def two_lines():
    first = callsite_cy.here()
    second = callsite_cy.here()
    return first, second


def test_a_line_has_one_number_and_names():
    numbers = {where() for _ in range(3)}
    assert len(numbers) == 1
    function, file, line = callsite_cy.site_info(numbers.pop())
    assert (function, line) == ("where", where.__code__.co_firstlineno + 1)
    assert file.endswith("tests/unit/cpus/test_callsite.py")


def test_two_lines_have_two_numbers():
    first, second = two_lines()
    assert first != second
    assert callsite_cy.site_info(second)[2] == callsite_cy.site_info(first)[2] + 1


def test_stack_is_innermost_first_without_frames_of_the_interpreter():
    def inner():
        return [callsite_cy.site_info(n)[0] for n in callsite_cy.stack_here()]

    me = "test_stack_is_innermost_first_without_frames_of_the_int"  # cut
    through_c = next(map(lambda _: inner(), [0]))
    assert inner()[:3] == ["inner", me, "pytest_pyfunc_call"]
    assert through_c[:4] == ["inner", "<lambda>", me, "pytest_pyfunc_call"]


def test_number_is_the_same_in_another_process():
    here = where()

    def child():
        assert where() == here

    in_child(child)


def test_long_names_are_cut_and_still_distinct():
    base = "d" * 200
    numbers = {callsite_cy.site_named(base + str(n), "f" * 80 + str(n), n) for n in range(20)}
    assert len(numbers) == 20
    function, file, line = callsite_cy.site_info(max(numbers))
    assert len(function) == 55 and len(file) == 119 and file.endswith(str(line))


def test_unknown_numbers_have_no_names():
    for number in (-1, 0, 5, 8192, 1 << 31):
        assert callsite_cy.site_info(number) == ("?", "?", 0)


def test_names_that_a_killed_process_did_not_write_are_written_by_the_next():
    def child():
        kill_cy.arm("site_claimed")
        callsite_cy.site_named("kernel", "half", 7)

    in_child(child, expect=signal.SIGKILL)
    number = callsite_cy.site_named("kernel", "half", 7)
    assert callsite_cy.site_info(number) == ("half", "kernel", 7)


def test_functions_shipped_again_keep_their_number_and_do_not_pile_up():
    def shipped():
        """The same function as a new code object, as each shipping makes one."""
        return types.FunctionType(where.__code__.replace(), globals())

    functions = [shipped() for _ in range(20_000)]
    kept = [weakref.ref(f.__code__) for f in functions]
    assert len({f() for f in functions}) == 1
    del functions
    for _ in range(100):  # given up between two bytecodes
        pass
    assert 0 < sum(ref() is not None for ref in kept) <= 16384 + 64
    assert shipped()() == where()
