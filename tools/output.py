"""Where reports go: rich tables on a terminal, plain aligned text in a pipe or a file.

A renderer gets a `Page` and never asks which of the two it is. Rich is imported for a terminal
only.
"""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TextIO

GAP: Final = "  "
STYLES: Final = {"good": "green", "bad": "bold red", "warn": "yellow", "dim": "dim", "": ""}


@dataclass(frozen=True)
class Column:
    """A column of a table; numbers stand on the right."""

    name: str
    right: bool = False
    folds: bool = False  # over several lines when the terminal is narrow
    spare: int = 0  # left out when it is narrower still, the highest first; 0 = never


FOLDED_WIDTH: Final = 20


def left(name: str, folds: bool = False, spare: int = 0) -> Column:
    return Column(name, False, folds, spare)


def right(name: str, spare: int = 0) -> Column:
    return Column(name, True, False, spare)


class Page:
    """Plain text, written to a stream."""

    def __init__(self, stream: TextIO):
        self.stream = stream

    def line(self, text: str = "", style: str = "") -> None:
        """Write a line; `style` is one of STYLES."""
        self.stream.write(text + "\n")

    def heading(self, text: str) -> None:
        self.line()
        self.line(text)
        self.line("-" * len(text))

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
        """Write a table; cells are text."""
        self.stream.write(plain_table(columns, list(rows)))

    def block(self, text: str) -> None:
        """Write text as it is, line breaks included."""
        self.stream.write(text if text.endswith("\n") else text + "\n")


class RichPage(Page):
    """The same for a terminal."""

    def __init__(self, stream: TextIO):
        from rich.console import Console

        super().__init__(stream)
        self.console = Console(file=stream, highlight=False, markup=False, emoji=False)

    def line(self, text: str = "", style: str = "") -> None:
        self.console.print(text, style=STYLES[style], soft_wrap=True)

    def heading(self, text: str) -> None:
        self.console.print()
        self.console.print(text, style="bold")

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        lines = list(rows)
        shown = fitting(columns, lines, self.console.width)
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
        for index in shown:
            table.add_column(
                columns[index].name,
                justify="right" if columns[index].right else "left",
                no_wrap=not columns[index].folds,
                overflow="fold",
            )
        for line in lines:
            table.add_row(*(Text(line[index]) for index in shown))
        self.console.print(table)
        if len(shown) < len(columns):
            names = ", ".join(c.name for i, c in enumerate(columns) if i not in shown)
            self.line(f"(too narrow for: {names})", "dim")

    def block(self, text: str) -> None:
        self.console.print(text.rstrip("\n"), soft_wrap=True)


def fitting(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Return the indexes of the columns that a terminal of this width has room for."""
    needs = []
    for index, column in enumerate(columns):
        need = max(len(text) for text in (column.name, *(row[index] for row in rows)))
        needs.append(min(need, FOLDED_WIDTH) if column.folds else need)
    shown = list(range(len(columns)))
    while sum(needs[i] + len(GAP) for i in shown) > width:
        spare = max(shown, key=lambda i: columns[i].spare)
        if not columns[spare].spare:
            break
        shown.remove(spare)
    return shown


def plain_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as aligned text with a ruler below its head."""
    texts = [[column.name for column in columns], *rows]
    widths = [max(len(row[i]) for row in texts) for i in range(len(columns))]

    def laid_out(row: Sequence[str]) -> str:
        cells = (
            cell.rjust(width) if column.right else cell.ljust(width)
            for column, cell, width in zip(columns, row, widths, strict=True)
        )
        return GAP.join(cells).rstrip() + "\n"

    ruler = GAP.join("-" * width for width in widths) + "\n"
    return laid_out(texts[0]) + ruler + "".join(laid_out(row) for row in rows)


def page(stream: TextIO | None = None) -> Page:
    """Return the page for a stream: rich when it is a terminal that can show it."""
    stream = stream or sys.stdout
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        return RichPage(stream)
    return Page(stream)


def time_text(ns: float) -> str:
    """Return a time with the unit that suits it, two decimals, as perf does."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:.2f} {unit}"
    return f"{ns:.0f} ns"


def bytes_text(count: float) -> str:
    """Return a number of bytes with the binary unit that suits it."""
    for unit, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count >= 1 << shift:
            return f"{count / (1 << shift):.1f} {unit}"
    return f"{count:.0f} B"


def count_text(count: float) -> str:
    """Return a number with its thousands apart."""
    return f"{count:,.0f}"


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """Return `3 leaks`, `1 leak`, `0 leaks`."""
    return f"{count_text(count)} {noun if count == 1 else nouns or noun + 's'}"


class Progress:
    """A bar of the elapsed time on standard error; nothing where that is no terminal."""

    def __init__(self, title: str, seconds: float):
        self._title = title
        self._seconds = seconds
        self._progress: Any = None
        self._bar: Any = None

    def __enter__(self) -> "Progress":
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bars

            self._progress = Bars(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._progress.start()
            self._bar = self._progress.add_task(self._title, total=self._seconds, note="")
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, elapsed: float, note: str = "", title: str | None = None) -> None:
        """Move the bar to `elapsed` seconds."""
        if self._progress is not None:
            self._progress.update(
                self._bar,
                completed=min(elapsed, self._seconds),
                note=note,
                description=title or self._title,
            )

    @property
    def visible(self) -> bool:
        return self._progress is not None


Render = Callable[[Page], None]
