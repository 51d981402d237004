"""Ctrl-C in a command that saves something: it ends the load, and not the saving.

    with sigint.Interrupts() as interrupts:
        try:
            load()
            interrupts.hold()
        except KeyboardInterrupt:
            ...                       # held from here on as well
        save()
        return interrupts.code(findings)

While held, the first Ctrl-C is noted and said so; the next one raises, for who does not want
to wait for a machine that does not answer.
"""

import os
import signal
import threading
from types import FrameType
from typing import Any, Final

INTERRUPTED: Final = 130
NOTED: Final = b"smpmm: the run is being saved; Ctrl-C again ends it unsaved\n"


class Interrupts:
    """What SIGINT does: raise KeyboardInterrupt, or be noted. The main thread's alone."""

    def __init__(self) -> None:
        self.came = False
        self._held = False
        self._noted = False
        self._installed = False

    def __enter__(self) -> "Interrupts":
        # Where SIGINT is ignored, as in the background of a script, it stays so.
        usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if usual and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._take)
            self._installed = True
        return self

    def __exit__(self, *exc_info: Any) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def hold(self) -> None:
        """From now on a first Ctrl-C is noted."""
        self._held = True

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        if self._held and not self._noted:
            self._noted = True
            os.write(2, NOTED)
            return
        self._held = True
        raise KeyboardInterrupt

    def code(self, found: object) -> int:
        """Return a command's exit code: interrupted, else whether something was found."""
        return INTERRUPTED if self.came else 1 if found else 0
