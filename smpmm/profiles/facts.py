"""Tables of facts: values by ranges of versions, and which of them holds at a point.

What a table does not know for a version is taken from the nearest earlier range, else from
the nearest later one, and is marked as borrowed: a machine says so in its boot log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from smpmm.profiles.version import Range, Version, range_of, text_of

T = TypeVar("T")


@dataclass(frozen=True)
class Found(Generic[T]):
    """A value at a point, and where it comes from."""

    value: T
    range: Range
    known: bool  # False: borrowed from another version

    @property
    def source(self) -> str:
        """The version nearest to the point of which the value is known."""
        return str(self.range)


class Facts(Generic[T]):
    """A named table: ranges of versions in ascending order, each with a value."""

    def __init__(self, name: str, rows: Mapping[str, T]) -> None:
        self.name = name
        self.rows = tuple((range_of(text), value) for text, value in rows.items())

    def at(self, version: Version) -> Found[T]:
        """Return what holds for `version`. O(rows)."""
        found, first = self.rows[0]
        if version < found.first:
            return Found(first, found, False)
        value = first
        for range_, value_of_range in self.rows:
            if range_.first > version:
                break
            found, value = range_, value_of_range
        return Found(value, found, version in found)

    def value(self, version: Version) -> T:
        """Return the value that holds for `version`, known or borrowed."""
        return self.at(version).value


@dataclass(frozen=True)
class Borrowed:
    """A part of a machine that is another version's."""

    part: str
    source: str  # version or range

    def __str__(self) -> str:
        return f"{self.part} of {self.source}"


class Reader:
    """Reads tables for one version and keeps what was borrowed."""

    def __init__(self, version: Version) -> None:
        self.version = version
        self.borrowed: list[Borrowed] = []

    def read(self, facts: Facts[T]) -> T:
        """Return a table's value; a borrowed one is noted."""
        found = facts.at(self.version)
        if not found.known:
            nearest = found.range.last or found.range.first
            if self.version < found.range.first:
                nearest = found.range.first
            note = Borrowed(facts.name, text_of(nearest))
            if note not in self.borrowed:
                self.borrowed.append(note)
        return found.value
