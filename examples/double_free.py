"""Double free: the same buffer goes to kfree twice.

    smpmm run examples/double_free.py

The bug: an error path frees what the normal path has freed already. Linux 2.4 without
CONFIG_DEBUG_SLAB does not notice: the object stands in the free list twice, the next two
kmallocs get the same memory, and the damage shows somewhere else.

The report: BadFree at the second kfree, with what the allocator's own record says of the
object: free, and its last owner. Nothing is harmed. With slab_debug 2.4 says BUG itself.

The fix: one owner, one kfree; set the pointer to 0 after it, since kfree(0) does nothing.
"""

from smpmm.kernel import *

EXPECT = ("BadFree", "")


def fill(buffer):
    memset(buffer, 0, 128)
    error = -EIO
    if error:
        kfree(buffer)  # the caller does that
    return error


def main():
    buffer = kmalloc(128, GFP_KERNEL)
    if not buffer:
        return -ENOMEM
    error = fill(buffer)
    kfree(buffer)
    return error
