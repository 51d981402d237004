"""A driver for tests that kill: a timer that adds itself again, a tasklet that it schedules.

It also moves another timer, which is pending for ever. Memory at `words`: [0] timer runs, [1]
tasklet runs; from 64 on the tasklet, from 128 on the timer, from 192 on the other.
"""

from interrupts.callbacks import function_address
from smpmm.kernel import *

FAR = 10_000_000  # jiffies

words = 0


def bottom_half(data):
    atomic_inc(words + 8)


def tick(data):
    atomic_inc(words)
    tasklet_schedule(words + 64)
    mod_timer(words + 128, jiffies() + 1)
    if not mod_timer(words + 192, jiffies() + FAR):
        printk(KERN_ALERT + "kill_driver: a pending timer was lost\n")


@module_init
def driver_init():
    global words
    words = kmalloc(256, GFP_KERNEL)
    memset(words, 0, 256)
    tasklet_init(words + 64, bottom_half, 0)
    init_timer(words + 192)
    mod_timer(words + 192, jiffies() + FAR)
    init_timer(words + 128)
    poke(words + 152, function_address(tick).to_bytes(8, "little"))
    mod_timer(words + 128, 0)
    return 0


@module_exit
def driver_exit():
    del_timer_sync(words + 128)
    if not del_timer_sync(words + 192):
        printk(KERN_ALERT + "kill_driver: a pending timer was lost\n")
    tasklet_kill(words + 64)
    kfree(words)
