"""Every invariant of a machine, walked layer by layer: what `Machine.check` runs.

A walk takes the locks that it needs, compares the index with the truth, and raises
CorruptionError, which names the invariant. Tasks may go on meanwhile.
"""

from __future__ import annotations

from typing import Final

from cpus import ship

# "module:function" of each layer's walk, in the order of the layers.
WALKS: Final = ("smpmm.mm.page_check_cy:check_pages",)


def run() -> None:
    """Walk everything; CorruptionError from the first walk that finds something."""
    for place in WALKS:
        ship.named(place)()
