"""Machine.check(): every invariant of the machine's memory, on one of its CPUs."""

from smpmm.mm.page_check_cy import check_pages
from smpmm.mm.slab_check import check_slabs


def check_machine() -> None:
    """Compare every index with the truth; CorruptionError names the first difference."""
    check_pages()
    check_slabs()
