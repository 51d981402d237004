"""Lists in RAM against a Python list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpus.errors import NullDereference, Oops
from cpus.list_cy import (
    INIT_LIST_HEAD,
    list_add,
    list_add_tail,
    list_del,
    list_del_init,
    list_empty,
    list_entry,
    list_for_each,
    list_for_each_entry,
    list_for_each_entry_safe,
    list_for_each_safe,
    list_splice,
)
from smpmm.mm.access_cy import peek, poke
from tests.support import small_machine

HEAD, OTHER = 0xC0010000, 0xC0010010
LINKS = [0xC0020000 + 0x20 * i for i in range(12)]


class Entry:
    """A struct with its link at 12."""

    def __init__(self, address):
        self.address = address

    at = classmethod(lambda cls, address: cls(address))
    __offsetof__ = staticmethod({"link": 12}.__getitem__)


@pytest.fixture(scope="module", autouse=True)
def machine():
    small_machine(ram_bytes=1 << 20)


@pytest.fixture(autouse=True)
def empty_lists(machine):
    INIT_LIST_HEAD(HEAD)
    INIT_LIST_HEAD(OTHER)


def backwards(head):
    links = []
    at = int.from_bytes(peek(head + 4, 4), "little")
    while at != head:
        links.insert(0, at)
        at = int.from_bytes(peek(at + 4, 4), "little")
    return links


@given(
    st.lists(st.tuples(st.sampled_from(["add", "tail", "del", "init"]), st.integers(0, 11)))
)
def test_a_list_is_what_was_put_into_it(steps):
    INIT_LIST_HEAD(HEAD)
    model = []
    for step, i in steps:
        link = LINKS[i]
        if link in model:
            model.remove(link)
            list_del_init(link) if step == "init" else list_del(link)
            assert list_empty(link) == (step == "init") or step == "del"
        elif step == "tail":
            model.append(link)
            list_add_tail(link, HEAD)
        else:
            model.insert(0, link)
            list_add(link, HEAD)
        assert list(list_for_each(HEAD)) == model == backwards(HEAD)
        assert list_empty(HEAD) == (not model)


def test_a_link_is_two_pointers_of_four_bytes():
    list_add(LINKS[0], HEAD)
    assert peek(HEAD, 8) == LINKS[0].to_bytes(4, "little") * 2
    assert peek(LINKS[0], 8) == HEAD.to_bytes(4, "little") * 2


def test_the_safe_walk_survives_deletion():
    for link in LINKS:
        list_add_tail(link, HEAD)
    for link in list_for_each_safe(HEAD):
        list_del(link)
        poke(link, b"\x6b" * 8)
    assert list_empty(HEAD)
    assert list(list_for_each_safe(HEAD)) == []


def test_entries_are_found_around_their_links():
    for link in LINKS[:3]:
        list_add_tail(link, HEAD)
    entries = [link - 12 for link in LINKS[:3]]
    assert [e.address for e in list_for_each_entry(HEAD, Entry, "link")] == entries
    assert list_entry(LINKS[0], Entry, "link").address == entries[0]
    for entry in list_for_each_entry_safe(HEAD, Entry, "link"):
        list_del(entry.address + 12)
        poke(entry.address, bytes(32))
    assert list_empty(HEAD)


@pytest.mark.parametrize("nr", [0, 1, 3])
def test_splice_puts_a_list_behind_a_head(nr):
    list_add(LINKS[0], HEAD)
    for link in LINKS[1 : 1 + nr]:
        list_add_tail(link, OTHER)
    list_splice(OTHER, HEAD)
    assert list(list_for_each(HEAD)) == [*LINKS[1 : 1 + nr], LINKS[0]] == backwards(HEAD)


def test_a_broken_link_is_an_oops_where_it_leads():
    list_add(LINKS[0], HEAD)
    poke(LINKS[0], (0x6B6B6B6B).to_bytes(4, "little"))
    with pytest.raises(Oops, match="6b6b6b6b"):
        list(list_for_each(HEAD))
    with pytest.raises(Oops, match="6b6b6b6f"):
        list_del(LINKS[0])
    with pytest.raises(NullDereference):
        list_add(LINKS[1], 0)
    with pytest.raises(NullDereference):
        list_empty(None)
