"""bootmem: the allocator of the boot phase (mm/bootmem.c, 2.3.23 to 2.6).

While a machine boots there is one CPU and no page allocator: memory is handed out by going
through the map of low page frames from a goal on, and nobody gives it back singly. When the
page allocator is ready, `free_all` hands it every frame that is left and the map is gone.

Pure arithmetic: a configuration is judged with it before any process starts, and the monitor
boots with it (`bootmem_calls`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field

from cpus.errors import KernelBug


class BootmemFull(Exception):
    """No run of free low memory is long enough: Linux panics."""


def _bug(what: str) -> KernelBug:
    return KernelBug(f"kernel BUG at bootmem.c: {what}")


@dataclass
class Bootmem:
    """Low memory as frames [0, end) of `page` bytes: at first all reserved.

    Addresses are physical, sizes in bytes.
    """

    end: int
    page: int
    log: Callable[[str], None] = lambda text: None
    # Free runs of frames, ascending, never adjacent; end exclusive.
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    # Where the newest allocation ends: its last frame, and the bytes used of that (0: all).
    last_frame: int = -1
    last_offset: int = 0

    def is_free(self, first: int, last: int) -> bool:
        """Whether the frames [first, last) are all free."""
        at = bisect_right(self.starts, first) - 1
        return at >= 0 and last <= self.ends[at]

    def free(self, address: int, size: int) -> None:
        """Make frames free that lie wholly in the range; a partial frame stays reserved."""
        first, last = -(-address // self.page), (address + size) // self.page
        if size <= 0:
            raise _bug(f"free_bootmem({address:#x}, {size}): no bytes")
        if last > self.end:
            raise _bug(
                f"free_bootmem({address:#x}, {size}): frame {last - 1:#x} of {self.end:#x}"
            )
        frame = self._free_within(first, last)
        if frame is not None:
            raise _bug(f"free_bootmem({address:#x}, {size}): frame {frame:#x} is free")
        if first < last:
            self._add(first, last)

    def reserve(self, address: int, size: int) -> None:
        """Reserve every frame that the range touches; one that is reserved is logged."""
        first, last = address // self.page, -(-(address + size) // self.page)
        if size <= 0:
            raise _bug(f"reserve_bootmem({address:#x}, {size}): no bytes")
        if last > self.end:
            raise _bug(
                f"reserve_bootmem({address:#x}, {size}): frame {last - 1:#x} of {self.end:#x}"
            )
        for frame in range(first, last):
            if not self.is_free(frame, frame + 1):
                self.log(f"hm, page {frame * self.page:08x} reserved twice.")
        self._remove(first, last)

    def alloc(self, size: int, align: int, goal: int) -> int:
        """Return the address of `size` bytes, at or above `goal` if that can be.

        A part of a frame follows the newest allocation when its frames would.
        """
        if size <= 0:
            raise _bug(f"__alloc_bootmem({size}, {align}, {goal:#x}): no bytes")
        if align <= 0 or align & (align - 1):
            raise _bug(
                f"__alloc_bootmem({size}, {align}, {goal:#x}): {align} is no power of 2"
            )
        frames = -(-size // self.page)
        start = self._find(size, frames, align, goal)
        if align <= self.page and self.last_offset and self.last_frame + 1 == start:
            return self._append(start, size, align)
        self.last_frame = start + frames - 1
        self.last_offset = size % self.page
        self._remove(start, start + frames)
        return start * self.page

    def _append(self, start: int, size: int, align: int) -> int:
        offset = -(-self.last_offset // align) * align
        address = self.last_frame * self.page + offset
        beyond = offset + size - self.page  # what does not fit in that frame
        if beyond < 0:
            self.last_offset = offset + size
            return address
        frames = -(-beyond // self.page)
        self.last_frame = start + frames - 1
        self.last_offset = beyond % self.page
        self._remove(start, start + frames)
        return address

    def _find(self, size: int, frames: int, align: int, goal: int) -> int:
        step = max(1, align // self.page)
        preferred = 0
        if goal // self.page < self.end:
            preferred = -(-goal // align) * align // self.page
        for first in (preferred, 0) if preferred else (0,):
            start = self._search(frames, step, first)
            if start is not None:
                return start
        raise BootmemFull(
            f"bootmem alloc of {size} bytes failed! The longest free run of low memory has "
            f"{max(self._lengths(), default=0) * self.page} bytes"
        )

    def _search(self, frames: int, step: int, first: int) -> int | None:
        """Return the lowest of first, first + step, … from which `frames` frames are free."""
        at = max(0, bisect_right(self.starts, first) - 1)
        for start, end in zip(self.starts[at:], self.ends[at:], strict=True):
            start = first + -(-max(0, start - first) // step) * step
            if start + frames <= end:
                return start
        return None

    def _lengths(self) -> list[int]:
        return [end - start for start, end in zip(self.starts, self.ends, strict=True)]

    def _free_within(self, first: int, last: int) -> int | None:
        """Return the first free frame of [first, last), None when there is none."""
        at = bisect_right(self.ends, first)
        if first < last and at < len(self.starts) and self.starts[at] < last:
            return max(first, self.starts[at])
        return None

    def _add(self, first: int, last: int) -> None:
        at = bisect_left(self.starts, first)
        if at < len(self.starts) and self.starts[at] == last:
            last = self.ends[at]
            del self.starts[at], self.ends[at]
        if at > 0 and self.ends[at - 1] == first:
            self.ends[at - 1] = last
        else:
            self.starts.insert(at, first)
            self.ends.insert(at, last)

    def _remove(self, first: int, last: int) -> None:
        low, high = bisect_right(self.ends, first), bisect_left(self.starts, last)
        if low == high:
            return
        kept = ((self.starts[low], first), (last, self.ends[high - 1]))
        pieces = [(start, end) for start, end in kept if start < end]
        self.starts[low:high] = [start for start, _ in pieces]
        self.ends[low:high] = [end for _, end in pieces]

    def reserved(self) -> tuple[tuple[int, int], ...]:
        """Return the runs of frames that are not free, ascending, end exclusive."""
        starts = [0, *self.ends]
        ends = [*self.starts, self.end]
        return tuple((a, b) for a, b in zip(starts, ends, strict=True) if a < b)
