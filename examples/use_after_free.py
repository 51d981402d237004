"""Use after free: a field is written when its struct is gone.

    smpmm run examples/use_after_free.py

The bug: the count is taken down after the object has been given back. Linux 2.4 does not
notice until somebody else has the object and finds a wrong number in it.

The report: SlabCorruption at the next kmalloc that gets the object, for a free one is full of
poison: which bytes changed, who had allocated it and who freed it. Without slab_debug nothing
is reported.

The fix: the free comes last.
"""

from smpmm.kernel import *

MACHINE = {"cmdline": "slab_debug"}
EXPECT = ("SlabCorruption", "was written to")


class Request(KStruct):
    users: u32
    length: u32


def put(request):
    kfree(request)
    request.users = 0  # too late


def main():
    put(Request.at(kmalloc(sizeof(Request), GFP_KERNEL)))
    return kmalloc(sizeof(Request), GFP_KERNEL)
