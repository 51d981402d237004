"""Fields of structs in RAM: descriptors whose reading and writing is one compiled call.

A field knows its offset and its type. A scalar reads as an integer and is written modulo its
width; a struct, a lock or an array reads as a handle at its place and is not assigned, except
that an array of bytes takes a bytes object. Here are also the handles with a layout and the
context managers of locks: compiled, so that the call site that a lock records is the driver's
line.
"""

import cython
from cython.cimports.cpus.handle_cy import (
    PROMISE,
    PROMISE_SHIFT,
    Handle,
    address_of,
    handle_address,
)
from cython.cimports.cpus.percpu_cy import this_process
from cython.cimports.cpython.object import PyObject, PyTypeObject
from cython.cimports.smpmm.scalar_cy import Scalar, load, scalar_bytes, store, word_of

_functions: dict = {}
_no_args = ()
_travel: object = None
_nested_offset: object = None


def set_offset_hook(hook: object) -> None:
    """Register what finds the offset of a member that is no plain field: hook(cls, member)."""
    global _nested_offset
    _nested_offset = hook


def set_travel_hook(hook: object) -> None:
    """Register what a handle without an address yet is pickled as: hook(handle)."""
    global _travel
    _travel = hook


def raw_address(handle: Handle) -> int:
    """Return the address of a handle as it is, a promise included."""
    return handle.address


def place_of(handle):
    # The parts of a promise are promises: outside of a machine they stay so.
    if this_process != cython.NULL:
        return handle_address(handle)
    return handle.address


def new_handle(cls):
    # Past type.__call__ and the search for __new__, which no class of ours has.
    return cython.cast(cython.pointer[PyTypeObject], cls).tp_new(
        cls, cython.cast(cython.pointer[PyObject], _no_args), cython.NULL
    )


class Placed:
    """A handle of something with a layout in RAM."""

    @classmethod
    def at(cls, address: object):
        """Return the handle of this class for what lies at `address`."""
        at: u64 = address_of(address)
        handle: Placed = new_handle(cls)
        handle.address = at
        return handle

    @classmethod
    def __offsetof__(cls, member: str) -> int:
        """Return the offset of a field; "inner.field" goes into an embedded struct."""
        offset = cls.__offsets__.get(member)
        return offset if offset is not None else _nested_offset(cls, member)

    def _place(self, address: cython.ulonglong) -> None:
        """Give a new handle its address."""
        self.address = address

    def __reduce__(self):
        if self.address >> PROMISE_SHIFT == PROMISE and _travel is not None:
            return _travel(self)
        return Handle.__reduce__(self)


class Native:
    """A handle of one of our own structs; `lock_name` says which field of what it is."""


class ScalarField:
    """A field that is an integer or a pointer."""

    def __init__(self, name: str, scalar: Scalar, offset: int):
        self.name = name
        self.scalar = scalar
        self.offset = offset

    def __get__(self, instance: object, owner: object):
        if instance is None:
            return self
        handle: Handle = cython.cast(Handle, instance, typecheck=True)
        return load(self.scalar, handle_address(handle) + self.offset)

    def __set__(self, instance: object, value: object):
        handle: Handle = cython.cast(Handle, instance, typecheck=True)
        word: u64 = word_of(self.scalar, value, self)
        store(self.scalar, handle_address(handle) + self.offset, word)

    def __reduce__(self):
        return ScalarField, (self.name, self.scalar, self.offset)

    def __repr__(self):
        return f"field {self.name}"


class EmbeddedField:
    """A field that is a struct or one of our own locks, queues, lists."""

    def __init__(self, name: str, type: object, offset: int):
        self.name = name
        self.type = type
        self.offset = offset
        self.is_native = issubclass(type, Native)

    def __get__(self, instance: object, owner: object):
        if instance is None:
            return self
        at: u64 = place_of(cython.cast(Handle, instance, typecheck=True)) + self.offset
        if self.is_native:
            native: Native = new_handle(self.type)
            native.address = at
            native.lock_name = self.name
            return native
        handle: Placed = new_handle(self.type)
        handle.address = at
        return handle

    def __set__(self, instance: object, value: object):
        raise TypeError(
            f"{self!r} is a {self.type.__name__}: its parts are assigned, or memcpy copies it"
        )

    def __reduce__(self):
        return EmbeddedField, (self.name, self.type, self.offset)

    def __repr__(self):
        return f"field {self.name}"


class ArrayField:
    """A field that is an array."""

    def __init__(self, name: str, type: object, offset: int):
        self.name = name
        self.type = type
        self.offset = offset

    def __get__(self, instance: object, owner: object):
        if instance is None:
            return self
        at: u64 = place_of(cython.cast(Handle, instance, typecheck=True)) + self.offset
        return self.type.array_at(at, self.name)

    def __set__(self, instance: object, value: object):
        array = self.__get__(instance, None)
        if not isinstance(value, (bytes, bytearray, memoryview)) or not hasattr(array, "fill"):
            raise TypeError(f"{self!r} is an array: its items are assigned, or bytes to it")
        array.fill(value)

    def __reduce__(self):
        return ArrayField, (self.name, self.type, self.offset)

    def __repr__(self):
        return f"field {self.name}"


class ItemArray:
    """An array of structs, locks or arrays: an item reads as a handle."""

    def __init__(
        self, address: object, item: object, nr_items: int, stride: int, lock_name: object
    ):
        self.address = address_of(address)
        self.item = item
        self.nr_items = nr_items
        self.stride = stride
        self.lock_name = lock_name

    @property
    def __nr_bytes__(self) -> int:
        return self.nr_items * self.stride

    def __len__(self):
        return self.nr_items

    def __getitem__(self, index: cython.longlong):
        if index < 0 or cython.cast(u64, index) >= self.nr_items:
            raise IndexError(f"item {index} of {self!r}")
        at: u64 = self.address + index * self.stride
        if not isinstance(self.item, type):
            return self.item.array_at(at, self.lock_name)
        handle = self.item.at(at)
        if isinstance(handle, Native):
            cython.cast(Native, handle).lock_name = self.lock_name
        return handle

    def __iter__(self):
        for i in range(self.nr_items):
            yield self[i]

    def __reduce__(self):
        return ItemArray, (
            int(self.address),
            self.item,
            self.nr_items,
            self.stride,
            self.lock_name,
        )

    def __repr__(self):
        name = getattr(self.item, "__name__", self.item)
        return f"<{name}[{self.nr_items}] at {self.address:#x}>"


def function_named(name: str) -> object:
    """Return the kernel function "module:name", imported at its first use."""
    found = _functions.get(name)
    if found is None:
        module, _, attribute = name.partition(":")
        found = getattr(__import__(module, fromlist=[attribute]), attribute)
        _functions[name] = found
    return found


class Lock:
    """A lock of a driver's: `with lock:` takes it and gives it back on every way out."""

    ACQUIRE = ""  # "module:function" of a call on the lock
    RELEASE = ""

    def __enter__(self):
        function_named(self.ACQUIRE)(self)
        return self

    def __exit__(self, *error: object):
        function_named(self.RELEASE)(self)
        return False

    def guard(self, acquire: str, release: str, has_flags: bool = False):
        """Return a context manager that takes the lock by another pair of calls."""
        return Guard(self, acquire, release, has_flags)


class Guard:
    """`with` for a pair of calls; `has_flags`: the second gets what the first returned."""

    def __init__(self, target: object, acquire: str, release: str, has_flags: bool):
        self.target = target
        self.acquire = function_named(acquire)
        self.release = function_named(release)
        self.has_flags = has_flags

    def __enter__(self):
        self.flags = self.acquire(self.target)
        return self.target

    def __exit__(self, *error: object):
        if self.has_flags:
            self.release(self.target, self.flags)
        else:
            self.release(self.target)
        return False


def sizeof(thing: object) -> int:
    """Return the bytes that a type, or what a handle stands for, has in RAM."""
    if isinstance(thing, Scalar):
        return scalar_bytes(thing)
    nr_bytes = getattr(thing, "__nr_bytes__", None)
    if nr_bytes is None:
        raise TypeError(f"sizeof({thing!r}): it has no layout in RAM")
    return nr_bytes
