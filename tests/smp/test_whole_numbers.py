"""Whole numbers of kernel calls: no fraction is cut off, what makes no sense is named."""

import ast

import pytest

from smpmm import BadFree, Machine, kernel_names
from smpmm.kernel import (
    GFP_ATOMIC,
    GFP_KERNEL,
    alloc_pages,
    capable,
    free_pages,
    get_free_pages,
    kfree,
    kmalloc,
    mdelay,
    memset,
    peek,
)
from tests.house.tree import ROOT

STUB = ROOT / "smpmm" / "kernel.pyi"


def whole_parameters() -> list[tuple[str, int, str, int]]:
    """Return (call, place, parameter, number of parameters) of each int parameter."""
    found = []
    for node in ast.parse(STUB.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            args = node.args.args
            for place, arg in enumerate(args):
                if arg.annotation is not None and ast.unparse(arg.annotation) == "int":
                    found.append((node.name, place, arg.arg, len(args)))
    return found


def own_name(call: str) -> str:
    """Return the name of the function behind a second name."""
    place = kernel_names.place_of(call)
    assert place is not None
    return place.attribute


def refused(call: str, place: int, count: int) -> str:
    """Call with 1.5 in a place and 0 elsewhere; returns what is said of it."""
    from smpmm import kernel

    arguments: list[object] = [0] * count
    arguments[place] = 1.5
    try:
        return f"returned {getattr(kernel, call)(*arguments)!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def all_refused(parameters: list[tuple[str, int, str, int]]) -> list[str]:
    return [refused(call, place, count) for call, place, _, count in parameters]


@pytest.fixture(scope="module")
def machine():
    with Machine(cpus=1, mem="8M") as machine:
        yield machine
        machine.check()


def test_a_fraction_is_refused_by_the_name_of_its_argument(machine) -> None:
    parameters = whole_parameters()
    assert {"kmalloc", "memset", "set_bit", "udelay"} <= {one[0] for one in parameters}
    said = machine.run(all_refused, parameters)
    wrong = [
        f"{call}: {text}"
        for (call, _, name, _), text in zip(parameters, said, strict=True)
        if f"TypeError: {own_name(call)}: {name}=1.5 is no whole number but float" != text
    ]
    assert not wrong, "\n".join(wrong)


def test_a_number_of_another_type_is_what_it_stands_for(machine) -> None:
    class Whole:
        def __index__(self) -> int:
            return 100

    def allocate(size: object) -> int:
        address = kmalloc(size, GFP_KERNEL)
        kfree(address)
        return address

    assert machine.run(lambda: allocate(Whole()) and allocate(True))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: memset(kmalloc(32, GFP_ATOMIC), 0, -1), "memset: n=-1 is negative"),
        (lambda: peek(0xC0000000, -5), "peek: n=-5 is negative"),
        (lambda: mdelay(-1), "mdelay: msecs=-1 is negative"),
        (
            lambda: kmalloc(1 << 70, GFP_KERNEL),
            "kmalloc: size=.* has more than 64 bits",
        ),
        (lambda: kmalloc(-(1 << 70), GFP_KERNEL), "kmalloc: size=-.* has more than 64 bits"),
        (lambda: capable(1 << 40), f"capable: capability={1 << 40} has more than 32 bits"),
    ],
)
def test_a_number_that_makes_no_sense_is_told(machine, call, said) -> None:
    with pytest.raises((ValueError, OverflowError), match=said):
        machine.run(call)


def test_what_the_version_defines_of_negative_numbers(machine) -> None:
    """A size or an order is unsigned: beyond the largest, it fails without a word."""
    assert machine.run(lambda: kmalloc(-1, GFP_KERNEL)) == 0
    assert machine.run(lambda: get_free_pages(GFP_KERNEL, -1)) == 0
    assert machine.run(lambda: alloc_pages(GFP_KERNEL, -1)) is None


def test_a_block_of_no_order_is_refused(machine) -> None:
    def free_wrong() -> None:
        address = get_free_pages(GFP_KERNEL, 0)
        try:
            free_pages(address, -1)
        finally:
            free_pages(address, 0)

    with pytest.raises(BadFree):
        machine.run(free_wrong)
