"""Leak at unload: a module that keeps memory when it goes.

    smpmm run examples/leak.py

This file is the driver as well as the workload: host_main inserts and removes it.

The bug: the module allocates a table and a name and frees only the table. What is left belongs
to nobody until the next reboot.

The report: rmmod names what the module did not free, by call site: 1 object of size-64 from
leak_init, 64 bytes. The run ends with exit code 1.

The fix: free in reverse order what was allocated, in the exit function and in init's own
error path.
"""

from smpmm.kernel import *

EXPECT = ("leak", "leak_init")


class Leak(KStruct):
    table: ptr
    name: ptr


leak = Leak.static()


@module_init
def leak_init():
    leak.table = kmalloc(1024, GFP_KERNEL)
    if not leak.table:
        return -ENOMEM
    leak.name = kmalloc(40, GFP_KERNEL)
    if not leak.name:
        kfree(leak.table)
        return -ENOMEM
    poke(leak.name, b"leak\0")
    return 0


@module_exit
def leak_exit():
    kfree(leak.table)  # and leak.name


def host_main(machine):
    machine.insmod(__file__)
    machine.rmmod("leak")
