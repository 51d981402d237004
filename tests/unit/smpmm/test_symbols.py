"""The kernel's names outside and inside of a machine."""

import pickle

import pytest

from smpmm import constants, kernel, kernel_names, symbols


@pytest.fixture
def machine():
    symbols.enter_machine("2.4.5")
    yield
    symbols.leave_machine()


def test_a_constant_outside_is_a_symbol_that_refuses_arithmetic() -> None:
    assert repr(kernel.GFP_KERNEL) == "GFP_KERNEL"
    with pytest.raises(symbols.OutsideMachine, match="GFP_KERNEL has no value outside"):
        kernel.GFP_KERNEL | kernel.GFP_DMA
    with pytest.raises(symbols.OutsideMachine):
        2 * kernel.PAGE_SIZE


def test_a_call_outside_says_so() -> None:
    with pytest.raises(symbols.OutsideMachine, match="kernel call outside a machine: kmalloc"):
        kernel.kmalloc(10, kernel.GFP_KERNEL)


def test_symbols_travel_by_name_and_become_integers(machine) -> None:
    symbols.leave_machine()
    shipped = pickle.dumps((kernel.GFP_KERNEL, kernel.ENOMEM, kernel.HZ))
    symbols.enter_machine("2.4.5")
    assert pickle.loads(shipped) == (7, 12, 100)


def test_a_call_inside_is_the_compiled_function_itself(machine) -> None:
    from cpus import context_cy

    assert kernel.in_interrupt is context_cy.in_interrupt


def test_names_are_those_of_the_table_with_their_second_names() -> None:
    names = set(kernel.__all__)
    assert {"__get_free_pages", "get_free_pages", "GFP_HIGHMEM", "__GFP_HIGHMEM"} <= names
    assert {"free_page", "__free_page", "get_free_page", "__get_free_page"} <= names
    assert kernel_names.place_of("free_page").attribute == "free_page"
    assert "kzalloc" not in names


def test_a_name_of_another_version_can_be_imported_outside() -> None:
    from smpmm.kernel import kzalloc

    assert repr(kzalloc) == "kzalloc"


def test_gfp_composites_are_made_of_the_version_s_bits() -> None:
    gfp = constants.VERSIONS["2.4.5"]
    bits = gfp["__GFP_WAIT"] | gfp["__GFP_HIGH"] | gfp["__GFP_IO"]
    assert gfp["GFP_KERNEL"] == bits == 7
    assert gfp["GFP_HIGHUSER"] == gfp["GFP_USER"] | gfp["__GFP_HIGHMEM"]


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'kmaloc'"):
        kernel.kmaloc  # noqa: B018
