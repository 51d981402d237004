"""A task's standard output: it comes out of the user's own `sys.stdout`."""

import io
from collections.abc import Callable

MAX_HELD = 8192  # characters kept until a newline comes


class Console(io.TextIOBase):
    """A text stream whose lines are sent to the client of the task that writes them."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, send: Callable[[str], None], fd: int):
        super().__init__()
        self._send = send
        self._fd = fd
        self._held: list[str] = []
        self._nr_held = 0

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._fd

    def write(self, text: str) -> int:
        self._held.append(text)
        self._nr_held += len(text)
        if "\n" in text or self._nr_held > MAX_HELD:
            self.flush()
        return len(text)

    def flush(self) -> None:
        if self._held:
            text = "".join(self._held)
            self._held.clear()
            self._nr_held = 0
            self._send(text)
