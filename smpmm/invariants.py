"""Machine.check(): every invariant of the machine's memory, on one of its CPUs."""

from smpmm.mm.buffer_check_cy import check_buffers
from smpmm.mm.page_check_cy import check_pages
from smpmm.mm.slab_check import check_slabs
from smpmm.mm.slab_corruption import check_objects
from smpmm.mm.vm_check_cy import check_vmalloc
from smpmm.table_check_cy import check_tables


def check_machine() -> None:
    """Compare every index with the truth; CorruptionError names the first difference.

    In a machine with slab_debug, SlabCorruption reports objects that a driver has damaged.
    """
    check_pages()
    check_slabs()
    check_vmalloc()
    check_buffers()
    check_tables()
    check_objects()
