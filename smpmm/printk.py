"""printk and BUG (kernel/printk.c, asm/page.h)."""

from __future__ import annotations

import os
import sys
from typing import Final, NoReturn

from cpus import bug, event_cy, percpu_cy
from cpus.errors import KernelBug

DEFAULT_MESSAGE_LOGLEVEL: Final = 4


def printk(text: str) -> int:
    """Write to the kernel log; `<0>` to `<7>` in front is the level. Any context.

    A text without a newline gets one. Returns the length of what was written.
    """
    percpu_cy.preemption_point()
    level = DEFAULT_MESSAGE_LOGLEVEL
    if len(text) > 2 and text[0] == "<" and text[2] == ">" and text[1] in "01234567":
        level, text = int(text[1]), text[3:]
    event_cy.log(text, level)
    return len(text)


def BUG() -> NoReturn:
    """Report `kernel BUG at FILE:LINE!`, the caller's, and end this context. Any context."""
    caller = sys._getframe(1)
    percpu_cy.preemption_point()
    file = os.path.basename(caller.f_code.co_filename)
    bug.report(
        KernelBug,
        f"kernel BUG at {file}:{caller.f_lineno}!",
        linux="an invalid opcode: the task is killed, in an interrupt the machine panics",
    )
    raise AssertionError("a BUG ends its context")
