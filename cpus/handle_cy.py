"""Handles: Python objects that stand for something at an address of the machine.

A cache, a page, a task, a lock or a struct in RAM is known to Python code by a `Handle`: its
class says what is there, its address where. A handle is accepted wherever its address is, is
equal to it, and travels between processes as the two: its class and its address.

A struct or lock that is made outside of a machine has no address there. Its handle carries a
number, the promise, and gets an address where it is first used in a machine: the same one in
all its processes. The memory management registers what keeps promises.
"""

import cython
from cython.cimports.cpus.atomic import unlikely
from cython.cimports.cpython.long import PyLong_AsUnsignedLongLongMask, PyLong_Check

PROMISE_MARK = 1 << 63  # a promise is this and 62 bits
_promise_keeper: object = None


def set_promise_keeper(keeper: object) -> None:
    """Register what turns a promise into an address: keeper(promise) -> int."""
    global _promise_keeper
    _promise_keeper = keeper


class Handle:
    def __init__(self, address: object = 0):
        self.address = address_of(address)

    @classmethod
    def handle_at(cls, address: object):
        """Return a handle of this class for `address`, without its constructor."""
        handle: Handle = cls.__new__(cls)
        handle.address = address_of(address)
        return handle

    def __int__(self):
        return handle_address(self)

    def __index__(self):
        return handle_address(self)

    def __bool__(self):
        return self.address != 0

    def __hash__(self):
        # The hash of the int of the same value: the two are equal.
        return hash(handle_address(self))

    def __eq__(self, other: object):
        if isinstance(other, Handle):
            if self.address == cython.cast(Handle, other).address:
                return True
            return handle_address(self) == handle_address(cython.cast(Handle, other))
        if isinstance(other, int):
            return int(handle_address(self)) == other
        return NotImplemented

    def __reduce__(self):
        return rebuild_handle, (type(self), int(self.address))

    def __repr__(self):
        return f"<{type(self).__name__} at {self.address:#x}>"


def rebuild_handle(cls: object, address: int) -> Handle:
    """Make the handle that was pickled."""
    return cls.handle_at(address)


def handle_address(handle):
    if unlikely(handle.address >> PROMISE_SHIFT == PROMISE):
        keep_promise(handle)
    return handle.address


def keep_promise(handle):
    if _promise_keeper is None:
        raise RuntimeError("a kernel object that was made outside of a machine is used there")
    handle.address = _promise_keeper(handle.address)
    return 0


def address_of(o):
    # As in C, an int is taken modulo 2**64: -ENOMEM is an address that nothing is mapped at.
    if PyLong_Check(o):
        return PyLong_AsUnsignedLongLongMask(o)
    if isinstance(o, Handle):
        return handle_address(cython.cast(Handle, o))
    if o is None:
        return 0
    address = getattr(o, "address", None)
    if not isinstance(address, int):
        raise TypeError(f"{o!r} ({type(o).__name__}) is neither an address nor has one")
    return PyLong_AsUnsignedLongLongMask(address)
