"""Every kernel call says in its docstring in which context it may be made."""

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

from smpmm import kernel_names
from tests.smp import context_table

CONTEXT = re.compile(
    r"any context|task context|may sleep|softirq|not from|not in|by the context that"
)
SLEEPS = re.compile(r"may sleep|sleeps")


def kernel_calls() -> Iterator[tuple[str, Any]]:
    """Yield the name of each call of the kernel's that there is, and its function."""
    for name in kernel_names.names():
        place = kernel_names.place_of(name)
        if not place.module or place.is_value or place.everywhere:
            continue
        if place.module in kernel_names.NOT_YET:
            continue
        found = getattr(importlib.import_module(place.module), place.attribute)
        if callable(found) and not isinstance(found, type):
            yield name, found


CALLS = dict(kernel_calls())


def text_of(function: Any) -> str:
    return " ".join((inspect.getdoc(function) or "").lower().split())


@pytest.mark.parametrize("name", CALLS)
def test_a_call_says_where_it_may_be_made(name: str) -> None:
    assert CONTEXT.search(text_of(CALLS[name])), f"{name}: {CALLS[name].__doc__}"


def test_what_is_refused_in_a_handler_says_that_it_may_sleep() -> None:
    found = {
        row.name
        for row in context_table.ROWS
        if "sleep" in row.outcomes
        and row.name in CALLS
        and not SLEEPS.search(text_of(CALLS[row.name]))
    }
    assert not found, f"no word of sleep in the docstrings of {', '.join(sorted(found))}"
