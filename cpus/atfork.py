"""What Python's library does after a fork, left out where the monitor forks its children.

`threading` and `logging` make their locks anew in a child, for a fork amid other threads. The
monitor has one thread and holds none of those locks, and what they write to would be host
memory of each child's own, a third of a megabyte. A fork by anybody else, a task for one, runs
all handlers.
"""

import os
from collections.abc import Callable
from typing import Final

NEEDLESS: Final = ("threading", "logging")  # modules whose handlers the monitor's forks skip

_before: list[Callable[[], object]] = []
_in_parent: list[Callable[[], object]] = []
_in_child: list[Callable[[], object]] = []
_skipped = False
_register = os.register_at_fork


def collect() -> None:
    """Have handlers registered here from now on: before `threading` is imported."""
    _register(before=_run_before, after_in_parent=_run_in_parent, after_in_child=_run_in_child)
    os.register_at_fork = register


def register(
    *,
    before: Callable[[], object] | None = None,
    after_in_child: Callable[[], object] | None = None,
    after_in_parent: Callable[[], object] | None = None,
) -> None:
    """Stand in for `os.register_at_fork`."""
    given = {
        "before": before,
        "after_in_child": after_in_child,
        "after_in_parent": after_in_parent,
    }
    given = {name: function for name, function in given.items() if function is not None}
    if not all(getattr(each, "__module__", "") in NEEDLESS for each in given.values()):
        _register(**given)
        return
    if before is not None:
        _before.insert(0, before)
    if after_in_parent is not None:
        _in_parent.append(after_in_parent)
    if after_in_child is not None:
        _in_child.append(after_in_child)


def skip(yes: bool) -> None:
    """Leave the handlers out of the forks that follow, or not."""
    global _skipped
    _skipped = yes


def _run_before() -> None:
    if not _skipped:
        _run(_before)


def _run_in_parent() -> None:
    if not _skipped:
        _run(_in_parent)


def _run_in_child() -> None:
    if not _skipped:
        _run(_in_child)


def _run(handlers: list[Callable[[], object]]) -> None:
    for handler in handlers:
        handler()
