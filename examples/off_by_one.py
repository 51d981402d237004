"""Off by one: a terminating zero is written behind the buffer.

    smpmm run examples/off_by_one.py

The bug: the buffer has room for the text and not for the byte that ends it. Linux 2.4 does not
notice unless it was built with CONFIG_DEBUG_SLAB: the byte belongs to the next object.

The report: SlabCorruption at the kfree, when the word behind the object is looked at: the
bytes found there, who allocated the object, when it was last whole. Who wrote is not known:
it was somebody between the two. Without slab_debug nothing is reported.

The fix: kmalloc(length + 1).
"""

from smpmm.kernel import *

MACHINE = {"cmdline": "slab_debug"}
EXPECT = ("SlabCorruption", "behind object")
TEXT = b"x" * 64


def copy_text():
    text = kmalloc(len(TEXT), GFP_KERNEL)
    poke(text, TEXT + b"\0")
    return text


def main():
    kfree(copy_text())
