"""Structs in RAM: layout against ctypes, fields, arrays, embedded locks, promises."""

import ctypes
import pickle
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpus import rebuild, ship
from cpus.errors import NullDereference
from cpus.list_cy import list_add, list_empty, list_entry
from smpmm import field_cy, kstruct, promise, promise_cy, sync
from smpmm.kstruct import (
    KStruct,
    array,
    offsetof,
    ptr,
    s8,
    s16,
    s32,
    s64,
    sizeof,
    u8,
    u16,
    u32,
    u64,
    ulong,
)
from smpmm.mm.access_cy import peek, poke
from smpmm.sync import atomic_t, list_head, semaphore, spinlock_t
from tests.support import small_machine

AT = 0xC0010000


@pytest.fixture(scope="module", autouse=True)
def machine():
    small_machine(promise_cy, ram_bytes=1 << 20)


class Entry(KStruct):
    link: list_head
    length: u32
    text: ptr


class Mixed(KStruct):
    flag: u8
    big: u64
    word: "s16"
    name: u8 * 10
    counts: array(u32, 3)
    entry: Entry
    entries: Entry * 2
    lock: spinlock_t
    tail: s8
    users: atomic_t


def test_the_layout_is_that_of_i386():
    assert sizeof(list_head) == 8 and sizeof(ptr) == sizeof(ulong) == 4
    assert Entry.__offsets__ == {"link": 0, "length": 8, "text": 12} and sizeof(Entry) == 16
    assert Mixed.__offsets__ == {
        "flag": 0, "big": 4, "word": 12, "name": 14, "counts": 24, "entry": 36,
        "entries": 52, "lock": 88, "tail": 112, "users": 116,
    }  # fmt: skip
    assert sizeof(Mixed) == 120, "the native lock aligns the struct to 8"
    assert offsetof(Mixed, "entry.text") == 48
    mixed = Mixed.at(AT)
    assert sizeof(mixed) == 120 and sizeof(mixed.name) == 10 and sizeof(mixed.entries) == 32
    assert sizeof(u8 * 3) == 3 and sizeof((u8 * 3) * 2) == 6


SCALARS = {
    u8: ctypes.c_uint8, u16: ctypes.c_uint16, u32: ctypes.c_uint32, u64: ctypes.c_uint64,
    s8: ctypes.c_int8, s16: ctypes.c_int16, s32: ctypes.c_int32, s64: ctypes.c_int64,
}  # fmt: skip
items = st.sampled_from(list(SCALARS)) | st.tuples(
    st.sampled_from(list(SCALARS)), st.integers(1, 5)
)


def ctype(kind):
    if isinstance(kind, tuple):
        return SCALARS[kind[0]] * kind[1]
    return SCALARS[kind] if not isinstance(kind, type) else kind


def make_both(kinds):
    """The same struct twice: a KStruct, and a ctypes one with i386's alignment."""
    fields, twin, at = {}, [], 0
    for i, kind in enumerate(kinds):
        c = ctype(kind)
        item, n = kind if isinstance(kind, tuple) else (kind, 1)
        align = min(ctypes.sizeof(SCALARS[item]), 4)
        if at % align:
            twin.append((f"pad{i}", ctypes.c_uint8 * (-at % align)))
            at += -at % align
        twin.append((f"f{i}", c))
        at += ctypes.sizeof(c)
        fields[f"f{i}"] = item * n if isinstance(kind, tuple) else item
    align = max(
        min(ctypes.sizeof(SCALARS[k[0] if isinstance(k, tuple) else k]), 4) for k in kinds
    )
    twin.append(("end", ctypes.c_uint8 * (-at % align)))
    packed = type("Twin", (ctypes.LittleEndianStructure,), {"_pack_": 1, "_fields_": twin})
    return type(KStruct)("Made", (KStruct,), {"__annotations__": fields}), packed


@settings(deadline=None)
@given(st.lists(items, min_size=1, max_size=8), st.data())
def test_random_structs_agree_with_ctypes(kinds, data):
    made, twin = make_both(kinds)
    assert sizeof(made) == ctypes.sizeof(twin)
    image = bytearray(data.draw(st.binary(min_size=sizeof(made), max_size=sizeof(made))))
    poke(AT + 3, image)
    ours, theirs = made.at(AT + 3), twin.from_buffer(image)
    for i, kind in enumerate(kinds):
        name = f"f{i}"
        assert offsetof(made, name) == getattr(twin, name).offset
        mine, other = getattr(ours, name), getattr(theirs, name)
        value = data.draw(st.integers(-(2**64), 2**64))
        if isinstance(kind, tuple):
            assert list(mine) == list(other)
            index = data.draw(st.integers(0, kind[1] - 1))
            mine[index] = other[index] = value
            assert mine[index] == other[index]
        else:
            assert mine == other
            setattr(ours, name, value)
            setattr(theirs, name, value)
            assert getattr(ours, name) == getattr(theirs, name)
    assert peek(AT + 3, sizeof(made)) == image


def test_a_pointer_takes_what_has_an_address():
    entry = Entry.at(AT)
    entry.text = Entry.at(0xC0002000)
    assert entry.text == 0xC0002000
    entry.text = None
    assert entry.text == 0
    entry.text = entry.length = 7
    assert entry.text == entry.length == 7
    with pytest.raises(TypeError, match="field Entry.text: 'x'"):
        entry.text = "x"
    with pytest.raises(TypeError, match="Entry.length: None"):
        entry.length = None
    with pytest.raises(TypeError, match="Entry.length: 1.5"):
        entry.length = 1.5


def test_what_is_no_field_cannot_be_set():
    entry = Entry.at(AT)
    with pytest.raises(AttributeError):
        entry.lenght = 1
    with pytest.raises(TypeError, match="Entry.link is a list_head"):
        entry.link = 0
    with pytest.raises(TypeError, match="array"):
        Mixed.at(AT).counts = [1, 2, 3]


def test_embedded_structs_and_arrays_are_handles_at_their_place():
    mixed = Mixed.at(AT)
    mixed.entry.length = 5
    assert Entry.at(AT + 36).length == 5
    mixed.entries[1].text = 9
    assert struct.unpack("<I", peek(AT + 52 + 16 + 12, 4)) == (9,)
    assert [int(e) for e in mixed.entries] == [AT + 52, AT + 68]
    with pytest.raises(IndexError):
        mixed.entries[2]
    with pytest.raises(IndexError):
        mixed.counts[-1]
    assert int(mixed.name) == AT + 14
    mixed.name = b"tally"
    assert bytes(mixed.name) == b"tally" + bytes(5) and mixed.name[:5] == b"tally"
    with pytest.raises(ValueError, match="11 bytes"):
        mixed.name = bytes(11)
    mixed.counts[:] = [1, 2, 3]
    assert list(mixed.counts) == [1, 2, 3]


def test_lists_of_entries():
    head, entry = list_head.at(AT + 256), Entry.at(AT)
    sync.list_head.__initialise__(head)
    assert list_empty(head)
    list_add(entry.link, head)
    assert head.next == int(entry.link) and entry.link.prev == head
    found = list_entry(head.next, Entry, "link")
    assert found == entry and type(found) is Entry


def test_pointers_to_scalars_have_no_bound():
    poke(AT, struct.pack("<3I", 1, 2, 3))
    p = ptr.at(AT)
    assert [p[0], p[1], p[2]] == [1, 2, 3] and p.value == 1
    p[2] = Entry.at(AT)
    assert u32.at(AT)[2] == AT and u32.at(AT + 8)[-1] == 2
    u16.at(AT).value = -1
    assert u8.at(AT)[1] == 0xFF and s16.at(AT).value == -1
    assert u8(0x1FF) == 0xFF and s8(0xFF) == -1


def test_a_field_of_a_null_pointer_is_an_oops():
    with pytest.raises(NullDereference, match="0000000c"):
        _ = Entry.at(0).text
    with pytest.raises(NullDereference, match="00000008"):
        Entry.at(None).length = 1


@pytest.mark.parametrize(
    "annotations, text",
    [
        ({"x": int}, "field x of Bad: <class 'int'>"),
        ({"x": "no_such_type"}, "field x of Bad: 'no_such_type'"),
        ({"at": u32}, "field at of Bad"),
        ({"x": KStruct}, "field x of Bad"),
    ],
)
def test_a_bad_annotation_names_its_field(annotations, text):
    with pytest.raises(TypeError, match=text):
        type(KStruct)("Bad", (KStruct,), {"__annotations__": annotations})


def test_a_default_is_refused():
    with pytest.raises(TypeError, match="field x of Bad"):

        class Bad(KStruct):
            x: u32 = 5


def test_a_struct_has_no_constructor():
    with pytest.raises(TypeError, match=r"Entry.at\(address\)"):
        Entry()


def test_an_embedded_lock_knows_its_field():
    class Locks(KStruct):
        one: spinlock_t
        many: spinlock_t * 2
        sem: semaphore

    locks = Locks.at(AT)
    assert locks.one.lock_name == "Locks.one" and locks.many[1].lock_name == "Locks.many"
    assert int(locks.many[1]) == AT + 48 and sizeof(locks.one) == 24
    assert type(locks.sem) is semaphore and locks.sem.lock_name == "Locks.sem"
    copy = pickle.loads(pickle.dumps(Entry.at(AT)))
    assert type(copy) is Entry and copy == Entry.at(AT)


def test_a_class_travels_by_value():
    namespace = {
        "__name__": "__main__",
        "KStruct": KStruct,
        "u32": u32,
        "spinlock_t": spinlock_t,
    }
    exec(
        "class Shared(KStruct):\n"
        "    count: u32\n"
        "    lock: spinlock_t\n"
        "    slots: u32 * 4\n"
        "    def add(self, n):\n"
        "        self.count += n\n",
        namespace,
    )
    shared = namespace["Shared"].at(AT)
    data = ship.dumps(shared)
    rebuild._classes.clear()
    copy = ship.loads(data)
    assert type(copy) is not type(shared) and copy == shared
    copy.count = 4
    copy.add(3)
    assert shared.count == 7
    assert copy.lock.lock_name == "Shared.lock" and sizeof(copy) == sizeof(shared) == 48
    with pytest.raises(AttributeError):
        copy.typo = 1


@pytest.fixture
def inside(monkeypatch):
    """A machine's names, with an allocator that hands out addresses in turn."""
    allocated, freed = [], []

    def kmalloc(nr_bytes, flags):
        allocated.append(AT + 0x1000 + 0x100 * len(allocated))
        return allocated[-1]

    from smpmm.mm.access_cy import memset

    names = {"kmalloc": kmalloc, "kfree": freed.append, "memset": memset, "GFP_ATOMIC": 2}
    monkeypatch.setattr(promise.symbols, "resolve", names.__getitem__)
    monkeypatch.setattr(promise.symbols, "inside_machine", lambda: True)
    yield allocated
    promise.forget_kept()
    assert not freed


def test_a_static_struct_is_one_struct_in_all_that_travels(inside, monkeypatch):
    with monkeypatch.context() as outside:
        outside.setattr(promise.symbols, "inside_machine", lambda: False)
        outside.setattr(kstruct.symbols, "inside_machine", lambda: False)
        entry = Entry.static()
        link = list_head.at(field_cy.raw_address(entry))  # what entry.link is outside
        data = pickle.dumps([entry, link])
        with pytest.raises(RuntimeError, match=r"Entry of test_kstruct.py:\d+ has no address"):
            int(entry)
    first, link = pickle.loads(data)
    second, other_link = pickle.loads(data)
    first.length = 9
    assert second.length == 9 and int(link) == int(first) == int(second)
    assert other_link == first.link and type(link) is list_head
    promise.forget_kept()
    (third, _) = pickle.loads(data)
    assert third.length == 9, "another process finds it in the segment"
    assert len(inside) == 1
    assert pickle.loads(pickle.dumps(first)) == first


def test_a_lock_on_its_own_is_initialised_once(inside, monkeypatch):
    with monkeypatch.context() as outside:
        outside.setattr(promise.symbols, "inside_machine", lambda: False)
        outside.setattr(kstruct.symbols, "inside_machine", lambda: False)
        number, head = atomic_t(5), list_head()
    number, copy, head = pickle.loads(pickle.dumps([number, number, head]))
    assert peek(number, 4) == b"\x05\0\0\0"
    poke(number, b"\x06")
    assert peek(pickle.loads(pickle.dumps(copy)), 4) == b"\x06\0\0\0"
    assert list_empty(head)
    assert number.lock_name.startswith("test_kstruct.py:")


def test_statics_inside_a_machine_are_made_at_once(inside, monkeypatch):
    from smpmm import static

    monkeypatch.setattr(static, "static_alloc", lambda nr_bytes: AT + 0x800)
    poke(AT + 0x800, bytes(64))
    entry = Entry.static()
    assert int(entry) == AT + 0x800
    assert peek(atomic_t(3), 4) == b"\x03\0\0\0"
