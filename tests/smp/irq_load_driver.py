"""A driver for the stress of the gate: three lines whose handlers use the allocators.

`words`: [0] interrupts, [1] objects and pages that were not what they were left as.
"""

from smpmm.kernel import *

LINES = (5, 6, 7)
words = 0


def churn(tag):
    """Take objects of this CPU's arrays and a page, mark them, look again, give them back."""
    taken = []
    for i in range(4):
        address = kmalloc(256, GFP_ATOMIC)
        if address:
            poke(address, bytes((tag + i,)) * 32)
            taken.append((address, tag + i))
    page = __get_free_page(GFP_ATOMIC)
    if page:
        poke(page, bytes((tag + 7,)) * 32)
    for address, mark in taken:
        if peek(address, 32) != bytes((mark,)) * 32:
            atomic_inc(words + 8)
        kfree(address)
    if page:
        if peek(page, 32) != bytes((tag + 7,)) * 32:
            atomic_inc(words + 8)
        free_page(page)


def handler(irq, dev_id, regs):
    atomic_inc(words)
    churn(16 * irq)


@module_init
def load_init():
    global words
    words = kmalloc(64, GFP_KERNEL)
    memset(words, 0, 64)
    printk(f"words {words}")
    for line in LINES:
        result = request_irq(line, handler, SA_SHIRQ, "load", words)
        if result:
            return result
    return 0


@module_exit
def load_exit():
    for line in LINES:
        free_irq(line, words)
    kfree(words)
