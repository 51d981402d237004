"""Scalar C types of drivers: u8 … u64, s8 … s64, ptr; pointers to them and arrays of them.

A type says how many bytes a value has and whether it is signed. A value is taken modulo the
type's width, as in C. `u32.at(address)[i]` is `((u32 *)address)[i]`: each reading and writing
is one kernel call through the checked access path, any context.

Words are little-endian on both hosts, as on i386. The size of `ptr` and `long` is that of the
machine's architecture.
"""

import cython
from cython.cimports.cpus.atomic import unlikely
from cython.cimports.cpus.handle_cy import Handle, address_of
from cython.cimports.cpus.percpu_cy import enter, leave, this_process
from cython.cimports.cpus.word_cy import bad_access, load_word, store_word, word_bytes
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cython.cimports.cpython.long import PyLong_AsUnsignedLongLongMask, PyLong_Check
from cython.cimports.smpmm.mm.access_cy import read_bytes, write_bytes

_function_address: object = None
_array_type: object = None


def set_array_type(array_type: object) -> None:
    """Register what `u8 * 16` makes."""
    global _array_type
    _array_type = array_type


def set_function_hook(hook: object) -> None:
    """Register what turns a Python function that is stored in a pointer into its address."""
    global _function_address
    _function_address = hook


class Scalar:
    """A C type of one word. `Scalar(value)` is the cast, `Scalar * n` the array type."""

    def __init__(self, name: str, nr_bytes: int, signed: bool, is_pointer: bool = False):
        self.name = name
        self.fixed_bytes = nr_bytes
        self.signed = signed
        self.is_pointer = is_pointer

    @property
    def nr_bytes(self) -> int:
        return scalar_bytes(self)

    def at(self, address: object):
        """Return a pointer to values of this type."""
        pointer: Pointer = Pointer.__new__(Pointer)
        pointer.address = address_of(address)
        pointer.scalar = self
        return pointer

    def array_at(self, address: object, nr_items: cython.ulonglong):
        """Return an array of `nr_items` values of this type."""
        array: Array = Array.__new__(Array)
        array.address = address_of(address)
        array.scalar = self
        array.nr_items = nr_items
        return array

    def __mul__(self, nr_items: object):
        return _array_type(self, nr_items)

    def __rmul__(self, nr_items: object):
        return _array_type(self, nr_items)

    def __call__(self, value: object = 0):
        return value_of(self, word_of(self, value, None))

    def __reduce__(self):
        return scalar_named, (self.name,)

    def __repr__(self):
        return self.name


def scalar_bytes(scalar):
    return scalar.fixed_bytes or word_bytes


def word_of(scalar, value, what):
    if PyLong_Check(value):
        return PyLong_AsUnsignedLongLongMask(value)
    if isinstance(value, Handle):
        return address_of(value)
    if scalar.is_pointer:
        if callable(value) and _function_address is not None:
            return address_of(_function_address(value))
        if value is None or hasattr(value, "address"):
            return address_of(value)
    kind = type(value).__name__
    raise TypeError(
        f"{what or scalar.name}: {value!r} ({kind}) is no value of a {scalar.name}"
    )


def value_of(scalar, word):
    shift: u32 = 64 - 8 * scalar_bytes(scalar)
    word <<= shift
    if scalar.signed:
        return cython.cast(cython.longlong, word) >> shift
    return word >> shift


def need_machine():
    if unlikely(this_process == cython.NULL):
        from smpmm.symbols import OutsideMachine

        raise OutsideMachine(
            "memory of a machine is used outside of one: do it in a function given to "
            "Machine.run or spawn, or in a driver"
        )
    return 0


def load(scalar, address):
    word: u64 = 0
    failed: cython.int
    need_machine()
    enter()
    failed = load_word(address, scalar_bytes(scalar), cython.address(word))
    leave()
    if unlikely(failed):
        bad_access(b"read", address)
    return value_of(scalar, word)


def store(scalar, address, word):
    failed: cython.int
    need_machine()
    enter()
    failed = store_word(address, scalar_bytes(scalar), word)
    leave()
    if unlikely(failed):
        bad_access(b"write", address)
    return 0


class Pointer:
    """A pointer to scalars: `p[i]` without a bound, `p.value` is `p[0]`."""

    def __getitem__(self, index: cython.longlong):
        return load(self.scalar, self.address + index * scalar_bytes(self.scalar))

    def __setitem__(self, index: cython.longlong, value: object):
        word: u64 = word_of(self.scalar, value, None)
        store(self.scalar, self.address + index * scalar_bytes(self.scalar), word)

    @property
    def value(self):
        return load(self.scalar, self.address)

    @value.setter
    def value(self, value: object):
        store(self.scalar, self.address, word_of(self.scalar, value, None))

    def __reduce__(self):
        return rebuild_pointer, (self.scalar, int(self.address))

    def __repr__(self):
        return f"<{self.scalar.name} * at {self.address:#x}>"


class Array:
    """An array field: a pointer that knows its length."""

    def __len__(self):
        return self.nr_items

    def __getitem__(self, index: object):
        if isinstance(index, slice):
            return self.read()[index]
        return load(self.scalar, self.item_address(index))

    def __setitem__(self, index: object, value: object):
        if not isinstance(index, slice):
            word: u64 = word_of(self.scalar, value, None)
            store(self.scalar, self.item_address(index), word)
            return
        each = range(self.nr_items)[index]
        items = list(value)
        if len(items) != len(each):
            raise ValueError(f"{len(items)} values for {len(each)} items of {self!r}")
        for i, item in zip(each, items, strict=True):
            self[i] = item

    def item_address(self, index: object) -> int:
        """Return the address of an item; IndexError beyond the array's ends."""
        i: cython.longlong = index
        if i < 0 or cython.cast(u64, i) >= self.nr_items:
            raise IndexError(f"item {i} of {self!r}")
        return self.address + i * scalar_bytes(self.scalar)

    def __iter__(self):
        for i in range(self.nr_items):
            yield self[i]

    def __bytes__(self):
        """Return the bytes of the array, read in one call."""
        nr_bytes: u64 = self.nr_items * scalar_bytes(self.scalar)
        data: bytes = PyBytes_FromStringAndSize(cython.NULL, nr_bytes)
        done: u64
        need_machine()
        enter()
        done = read_bytes(PyBytes_AS_STRING(data), self.address, nr_bytes)
        leave()
        if unlikely(done < nr_bytes):
            bad_access(b"read", self.address + done)
        return data

    @property
    def __nr_bytes__(self) -> int:
        return self.nr_items * scalar_bytes(self.scalar)

    def read(self):
        """Return the values: bytes for an array of bytes, else a list."""
        if scalar_bytes(self.scalar) == 1:
            return bytes(self)
        return list(self)

    def fill(self, data: object) -> None:
        """Store a bytes-like object and zeroes behind it; ValueError when it is too long."""
        nr_bytes: u64 = self.nr_items * scalar_bytes(self.scalar)
        padded: bytes = bytes(data)
        if cython.cast(u64, len(padded)) > nr_bytes:
            raise ValueError(f"{len(padded)} bytes for the {nr_bytes} of {self!r}")
        padded = padded.ljust(nr_bytes, b"\0")
        done: u64
        need_machine()
        enter()
        done = write_bytes(self.address, PyBytes_AS_STRING(padded), nr_bytes)
        leave()
        if unlikely(done < nr_bytes):
            bad_access(b"write", self.address + done)

    def __reduce__(self):
        return rebuild_array, (self.scalar, int(self.address), self.nr_items)

    def __repr__(self):
        return f"<{self.scalar.name}[{self.nr_items}] at {self.address:#x}>"


def rebuild_pointer(scalar: Scalar, address: int):
    """Make the pointer that was pickled."""
    return scalar.at(address)


def rebuild_array(scalar: Scalar, address: int, nr_items: int):
    """Make the array that was pickled."""
    return scalar.array_at(address, nr_items)


def scalar_named(name: str) -> Scalar:
    """Return the type that was pickled."""
    return SCALARS[name]


SCALARS = {
    scalar.name: scalar
    for scalar in (
        Scalar("u8", 1, False),
        Scalar("u16", 2, False),
        Scalar("u32", 4, False),
        Scalar("u64", 8, False),
        Scalar("s8", 1, True),
        Scalar("s16", 2, True),
        Scalar("s32", 4, True),
        Scalar("s64", 8, True),
        Scalar("ulong", 0, False),
        Scalar("long", 0, True),
        Scalar("ptr", 0, False, True),
        Scalar("native_ptr", 8, False, True),  # in a struct of our own
    )
}
