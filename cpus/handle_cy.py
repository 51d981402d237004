"""Handles: Python objects that stand for something at an address of the machine.

A cache, a page, a task, a lock or a struct in RAM is known to Python code by a `Handle`: its
class says what is there, its address where. A handle is accepted wherever its address is, is
equal to it, and travels between processes as the two: its class and its address.
"""

import cython
from cython.cimports.cpython.long import PyLong_AsUnsignedLongLongMask, PyLong_Check


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
        return self.address

    def __index__(self):
        return self.address

    def __bool__(self):
        return self.address != 0

    def __hash__(self):
        # The hash of the int of the same value: the two are equal.
        return hash(self.address)

    def __eq__(self, other: object):
        if isinstance(other, Handle):
            return self.address == cython.cast(Handle, other).address
        if isinstance(other, int):
            return int(self.address) == other
        return NotImplemented

    def __reduce__(self):
        return rebuild_handle, (type(self), int(self.address))

    def __repr__(self):
        return f"<{type(self).__name__} at {self.address:#x}>"


def rebuild_handle(cls: type, address: int) -> Handle:
    """Make the handle that was pickled."""
    return cls.handle_at(address)


def address_of(o):
    # As in C, an int is taken modulo 2**64: -ENOMEM is an address that nothing is mapped at.
    if PyLong_Check(o):
        return PyLong_AsUnsignedLongLongMask(o)
    if isinstance(o, Handle):
        return cython.cast(Handle, o).address
    if o is None:
        return 0
    address = getattr(o, "address", None)
    if not isinstance(address, int):
        raise TypeError(f"{o!r} ({type(o).__name__}) is neither an address nor has one")
    return PyLong_AsUnsignedLongLongMask(address)
