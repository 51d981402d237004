"""Structs in RAM: Python classes with typed fields in the machine's layout.

    class Entry(KStruct):
        link: list_head
        length: u32
        text: ptr
        name: u8 * 16

    entry = Entry.at(kmalloc(sizeof(Entry), GFP_KERNEL))
    entry.length = 7                       # a store to RAM, one kernel call

The layout is that of the architecture's C compiler: i386 aligns to at most 4 bytes. Our own
structs in it (locks, queues) have our native size and 8-byte alignment. A scalar field is read
and written through the checked access path; any other field reads as a handle at its place.
Nothing is kept in Python: an attribute that is no field cannot be set.
"""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any, Self

from cpus import word_cy
from smpmm import field_cy, promise, scalar_cy, symbols
from smpmm.field_cy import sizeof
from smpmm.scalar_cy import SCALARS, Scalar

RESERVED = ("at", "static")
NATIVE_ALIGN_BYTES = 8

if TYPE_CHECKING:
    from smpmm.kernel_types import long, ptr, s8, s16, s32, s64, u8, u16, u32, u64, ulong
else:
    u8, u16, u32, u64 = (SCALARS[name] for name in ("u8", "u16", "u32", "u64"))
    s8, s16, s32, s64 = (SCALARS[name] for name in ("s8", "s16", "s32", "s64"))
    ulong, long, ptr = (SCALARS[name] for name in ("ulong", "long", "ptr"))


class ArrayType:
    """The type of an array: `u8 * 16`, `Entry * 4`, `array(u32, 10)`."""

    __slots__ = ("item", "nr_items")

    def __init__(self, item: Any, nr_items: int) -> None:
        check_type(item, "the item of an array")
        if not isinstance(nr_items, int) or nr_items < 0:
            raise TypeError(f"an array of {nr_items!r} items: a number, 0 or more")
        self.item = item
        self.nr_items = nr_items

    @property
    def __nr_bytes__(self) -> int:
        return sizeof(self.item) * self.nr_items

    def at(self, address: Any) -> Any:
        """Return the array of this type at an address."""
        return self.array_at(address, None)

    def array_at(self, address: Any, lock_name: str | None) -> Any:
        """Return the array at an address; `lock_name` is of the locks in it."""
        if isinstance(self.item, Scalar):
            return self.item.array_at(address, self.nr_items)
        return field_cy.ItemArray(
            address, self.item, self.nr_items, sizeof(self.item), lock_name
        )

    def __mul__(self, nr_items: int) -> ArrayType:
        return ArrayType(self, nr_items)

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ArrayType):
            return NotImplemented
        return (self.item, self.nr_items) == (other.item, other.nr_items)

    def __hash__(self) -> int:
        return hash((self.item, self.nr_items))

    def __reduce__(self) -> tuple:
        return ArrayType, (self.item, self.nr_items)

    def __repr__(self) -> str:
        return f"{getattr(self.item, '__name__', self.item)} * {self.nr_items}"


def array(item: Any, nr_items: int) -> ArrayType:
    """Return the type of an array of `nr_items` values of type `item`."""
    return ArrayType(item, nr_items)


def _function_address(function: Any) -> int:
    """Give a function that is stored in a pointer its address in the kernel's text."""
    from smpmm import text

    return text.register(function)


scalar_cy.set_array_type(ArrayType)
scalar_cy.set_function_hook(_function_address)


def check_type(kind: Any, what: str) -> None:
    """Raise TypeError, which names `what`, unless `kind` is the type of a field."""
    if isinstance(kind, (Scalar, ArrayType)):
        return
    if isinstance(kind, type) and issubclass(kind, field_cy.Placed):
        if hasattr(kind, "__nr_bytes__"):
            return
    names = ", ".join(SCALARS)
    raise TypeError(
        f"{what}: {kind!r} is no type of a field; there are {names}, "
        "arrays (u8 * 16), KStruct classes, list_head, atomic_t, locks, queues"
    )


def align_bytes(kind: Any) -> int:
    """Return the alignment of a type in the machine's architecture."""
    if isinstance(kind, Scalar):
        return min(kind.nr_bytes, word_cy.pointer_bytes())
    if isinstance(kind, ArrayType):
        return align_bytes(kind.item)
    return kind.__align_bytes__


class StructType(type):
    """The type of what has a layout in RAM: makes the fields of its annotations."""

    def __new__(
        mcls, name: str, bases: tuple, namespace: dict[str, Any], **options: Any
    ) -> StructType:
        namespace = dict(namespace)
        namespace["__slots__"] = ()
        fields = namespace.get("__fields__")
        if fields is not None:  # a class that travelled: its fields are made anew
            for field in fields:
                namespace.pop(field, None)
        cls = super().__new__(mcls, name, bases, namespace, **options)
        if fields is None:
            annotations = cls.__annotations__
            fields = _evaluate(name, annotations, sys._getframe(1))
            for field in fields:
                if field in namespace:
                    raise TypeError(f"field {field} of {name}: a field has no default")
        if fields or "__fields__" in namespace:
            _lay_out(cls, fields)
        return cls

    def __mul__(cls, nr_items: int) -> ArrayType:
        return ArrayType(cls, nr_items)

    __rmul__ = __mul__


def _evaluate(struct: str, annotations: dict[str, Any], frame: Any) -> dict[str, Any]:
    """Return the types that annotations mean, in the scope of the class statement."""
    fields = {}
    for name, kind in annotations.items():
        what = f"field {name} of {struct}"
        if name in RESERVED or name.startswith("__"):
            raise TypeError(f"{what}: the name is reserved")
        if isinstance(kind, str):
            try:
                kind = eval(kind, frame.f_globals, {**_TYPES, **frame.f_locals})
            except Exception as error:
                raise TypeError(f"{what}: {kind!r} cannot be evaluated: {error}") from error
        check_type(kind, what)
        fields[name] = kind
    return fields


_TYPES = dict(SCALARS)


def _lay_out(cls: Any, fields: dict[str, Any]) -> None:
    """Place the fields behind those of the base class, and make their descriptors."""
    base = cls.__base__
    offsets = dict(getattr(base, "__offsets__", {}))
    at = getattr(base, "__nr_bytes__", 0)
    align = getattr(base, "__align_bytes__", 1)
    for name, kind in fields.items():
        own = align_bytes(kind)
        align = max(align, own)
        at = (at + own - 1) // own * own
        type.__setattr__(cls, name, _descriptor(f"{cls.__name__}.{name}", kind, at))
        offsets[name] = at
        at += sizeof(kind)
    cls.__fields__ = fields
    cls.__offsets__ = offsets
    cls.__align_bytes__ = align
    cls.__nr_bytes__ = (at + align - 1) // align * align


def _descriptor(name: str, kind: Any, offset: int) -> Any:
    if isinstance(kind, Scalar):
        return field_cy.ScalarField(name, kind, offset)
    if isinstance(kind, ArrayType):
        return field_cy.ArrayField(name, kind, offset)
    return field_cy.EmbeddedField(name, kind, offset)


class KStruct(field_cy.Placed, metaclass=StructType):
    """A struct in RAM; a subclass annotates its fields."""

    def __init__(self, *_: Any) -> None:
        name = type(self).__name__
        raise TypeError(
            f"{name}() has no memory: {name}.at(address) is the struct at an address, "
            f"{name}.static() one in the module's or task's static data"
        )

    @classmethod
    def static(cls) -> Self:
        """Return a zeroed struct in the static data of the module or task that calls.

        It lives until that ends. Outside a machine, at the top level of a script, it stands
        for one struct of each machine that it is shipped to.
        """
        check_type(cls, f"{cls.__name__}.static()")
        return new_static(cls, ())


def new_static(cls: Any, args: tuple) -> Any:
    """Return a struct or lock in static data, initialised if its class knows how."""
    place = promise.calling_place()
    if not symbols.inside_machine():
        handle = cls.at(promise.make(cls, args, place))
        promise.name_lock(handle, place)
        return handle
    from smpmm import static

    handle = cls.at(static.static_alloc(sizeof(cls)))
    promise.name_lock(handle, place)
    initialise = getattr(cls, "__initialise__", None)
    if initialise is not None:
        initialise(handle, *args)
    return handle


def offsetof(kind: Any, member: str) -> int:
    """Return the offset of a field in bytes; "inner.field" goes into an embedded struct."""
    if not isinstance(kind, type):
        kind = type(kind)
    offset = 0
    for name in member.split("."):
        offsets = getattr(kind, "__offsets__", {})
        if name not in offsets:
            known = ", ".join(offsets) or "none"
            raise AttributeError(f"{kind.__name__} has no field {name}; it has {known}")
        offset += offsets[name]
        field = inspect.getattr_static(kind, name)
        kind = getattr(field, "type", None)
    return offset


field_cy.set_offset_hook(offsetof)
