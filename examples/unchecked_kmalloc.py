"""Unchecked kmalloc: the pointer is used although the allocation failed.

    smpmm run examples/unchecked_kmalloc.py

The bug: kmalloc returns 0 when there is no memory, and nobody looks. On a machine with memory
to spare it never happens, so fault injection makes it happen: failslab fails every allocation
that may not sleep (interval 1, probability 100 %, space 0, times unlimited).

The report: NullDereference at the poke: `Unable to handle kernel NULL pointer dereference at
virtual address 00000000`. The report of the run says which injected fault led to it.

The fix: test the pointer before its first use, and return -ENOMEM.
"""

from smpmm.kernel import *

EXPECT = ("NullDereference", "NULL pointer dereference")
MACHINE = {"cmdline": "failslab=1,100,0,-1"}


def main():
    buffer = kmalloc(256, GFP_ATOMIC)
    poke(buffer, b"hello")
    kfree(buffer)
