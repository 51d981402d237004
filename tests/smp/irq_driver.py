"""A driver for tests of interrupts: its handler counts by CPU and schedules a tasklet.

Memory at `words`: [0] interrupts, [1] tasklets, [2] tasklets that found themselves elsewhere,
from 64 on the tasklet; from 128 on a timer that adds itself
again; [31] how often it ran.
"""

from interrupts.callbacks import function_address
from smpmm.kernel import *

words = 0


def handler(irq, dev_id, regs):
    atomic_inc(words)
    tasklet_schedule(words + 64)


def bottom_half(data):
    atomic_inc(words + 8)
    if not in_softirq() or in_irq():
        atomic_inc(words + 16)


def timer_function(data):
    atomic_inc(words + 248)
    mod_timer(words + 128, jiffies() + 1)


@module_init
def driver_init():
    global words
    words = kmalloc(256, GFP_KERNEL)
    memset(words, 0, 256)
    tasklet_init(words + 64, bottom_half, 0)
    init_timer(words + 128)
    poke(words + 152, function_address(timer_function).to_bytes(8, "little"))
    mod_timer(words + 128, 0)
    printk(f"words {words}")
    return request_irq(5, handler, SA_SHIRQ, "irq_driver", words)


@module_exit
def driver_exit():
    free_irq(5, words)
    tasklet_kill(words + 64)
    del_timer_sync(words + 128)
    kfree(words)
