"""Handles: what is an address, and how a handle compares and travels."""

import pickle
from types import SimpleNamespace

import dill
import pytest

from cpus.handle_cy import Handle, address_of


class Page(Handle):
    __slots__ = ()


def test_address_of_accepts_whatever_has_an_address():
    assert address_of(0xC0001000) == 0xC0001000
    assert address_of(True) == 1
    assert address_of(None) == 0
    assert address_of(Page(0xC0002000)) == 0xC0002000
    assert address_of(SimpleNamespace(address=0xC0003000)) == 0xC0003000
    assert address_of(-12) == 2**64 - 12


@pytest.mark.parametrize("value", ["c0000000", 1.5, object(), SimpleNamespace(address="x")])
def test_address_of_names_what_has_none(value):
    with pytest.raises(TypeError, match=type(value).__name__):
        address_of(value)


def test_a_handle_equals_its_address():
    page = Page(0xC0001000)
    assert page == 0xC0001000 and page == Page(0xC0001000) and page == Handle(0xC0001000)
    assert page != 0xC0001001 and page != Page(0xC0002000) and page != "c0001000"
    assert {page: 1}[0xC0001000] == 1
    assert int(page) == 0xC0001000 and hex(page) == "0xc0001000"
    assert page and not Page(0)


def test_the_address_of_a_handle_is_read_only():
    with pytest.raises(AttributeError):
        Page(4096).address = 8192


@pytest.mark.parametrize("pickler", [pickle, dill])
def test_a_handle_travels_as_class_and_address(pickler):
    copy = pickler.loads(pickler.dumps(Page(0xC0001000)))
    assert type(copy) is Page and copy.address == 0xC0001000


def test_handle_at_does_not_run_the_constructor():
    class Lock(Handle):
        def __init__(self):
            raise AssertionError

    assert Lock.handle_at(0xC0001000).address == 0xC0001000
