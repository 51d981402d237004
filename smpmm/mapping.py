"""A device's pages in the user's own memory: what `mmap` of an open device returns.

The pages are the machine's RAM itself, without a copy: what a task writes is there at once,
and what is written here a task reads. A page is asked of the driver when it is first touched.
"""

from __future__ import annotations

from typing import Any

from cpus.errors import CpuDied
from smpmm.host_view_cy import HostView


class BusError(OSError):
    """An access to a mapping where the device has no page: a process would get SIGBUS."""


class Mapping:
    """`length` bytes of a device from `offset` on; indexed and sliced as a bytearray.

    `view(offset, length)` is a memoryview of a part, for as long as it is wanted. BusError
    where the device has no page, TypeError for a write to a mapping of a file that is open for
    reading only. `close()`, or the end of a `with`, gives the pages back; BufferError while
    there is a view.
    """

    def __init__(self, file: Any, calls: Any, length: int, offset: int) -> None:
        self._file = file
        self._calls = calls
        self._owner = calls.owner()
        try:
            self._handle, self.writable = calls.call(
                "sys_mmap", file._handle, length, offset, self._owner
            )
        except CpuDied:
            calls.forget(self._owner)
            raise
        self.name = file.name
        self._fd, self._page = calls.segment()
        self._length = length
        nr_pages = -(-length // self._page)
        self._host: HostView | None = HostView(nr_pages * self._page, self.writable)
        self._present = bytearray(nr_pages)

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        state = "closed" if self._host is None else f"{self._length} bytes"
        return f"<Mapping of {self.name!r}, {state}>"

    def __enter__(self) -> Mapping:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __getitem__(self, key: int | slice) -> Any:
        start, stop, step = self._range(key)
        with self.view(start, stop - start) as view:
            return view[0] if isinstance(key, int) else bytes(view[::step])

    def __setitem__(self, key: int | slice, value: Any) -> None:
        start, stop, step = self._range(key)
        if not self.writable:
            raise TypeError(f"{self.name}: not open for writing")
        with self._map(start, stop - start, True) as view:
            if isinstance(key, int):
                view[0] = value
            else:
                view[::step] = value

    def _range(self, key: int | slice) -> tuple[int, int, int]:
        if isinstance(key, slice):
            start, stop, step = key.indices(self._length)
            if step < 1:
                raise ValueError("a mapping is sliced forwards only")
            return start, max(start, stop), step
        index = key + self._length if key < 0 else key
        if not 0 <= index < self._length:
            raise IndexError(f"{self.name}: byte {key} of a mapping of {self._length}")
        return index, index + 1, 1

    def view(self, offset: int = 0, length: int | None = None) -> memoryview:
        """Return `length` bytes from `offset` on, or all to the end, without a copy."""
        if length is None:
            length = self._length - offset
        if offset < 0 or length < 0 or offset + length > self._length:
            raise ValueError(
                f"{self.name}: {length} bytes at {offset} of a mapping of {self._length}"
            )
        return self._map(offset, length, False)

    def _map(self, offset: int, length: int, write: bool) -> memoryview:
        if self._host is None:
            raise ValueError("operation on a closed mapping")
        for index in range(offset // self._page, -(-(offset + length) // self._page)):
            if not self._present[index]:
                self._fault(index, write)
        with memoryview(self._host) as whole:
            return whole[offset : offset + length]

    def _fault(self, index: int, write: bool) -> None:
        assert self._host is not None
        pfn = self._calls.call("sys_fault", self._handle, index, write)
        if pfn < 0:
            raise BusError(
                f"SIGBUS: {self.name} has no page at {index * self._page:#x} of the mapping"
            )
        at = index * self._page
        self._host.place(at, self._fd, pfn * self._page, self._page)
        self._present[index] = 1

    def close(self) -> None:
        """Give the pages back; the driver has closed the mapping on return."""
        if self._host is None:
            return
        self._host.close()
        self._host = None
        self._file._unmapped(self, self._handle, self._owner)
