"""Control channels: framed messages over pipes and sockets, one writer, one reader each.

A frame is what `multiprocess.connection.Connection` sends: four bytes of length, then the
message. A message is an envelope and a payload; the monitor reads the envelope only and passes
the payload on. CPUs, handlers and devices use a `Connection` and may block. The monitor parses
the same frames with `FrameReader` and writes with `Outbox`: it never blocks.
"""

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final

LENGTH: Final = Struct("!i")
LONG_LENGTH: Final = Struct("!Q")
# kind, flags, cpu (-1 = any or none), pid and user of the task, number of the request
ENVELOPE: Final = Struct("!BBhIIQ")
CHUNK_BYTES: Final = 1 << 18

ANY_CPU: Final = -1
# Clients have numbers of their own, above every pid: who has a file open is one or the other.
FIRST_CLIENT: Final = 1 << 32
# Above a client's number stands which of its opens it was.
CLIENT_MASK: Final = (1 << 33) - 1

# client → monitor
CALL: Final = 1  # run the payload as a task on `cpu`
SIGNAL: Final = 2  # to the task of the request; flags: SIGNAL_*
QUERY: Final = 3  # of the monitor itself; payload: pickled (name, args)
CLOSE: Final = 4
CONFIG: Final = 5  # the first message ever: the pickled configuration
# monitor → client
READY: Final = 16  # payload: pickled facts of the machine
FAILED: Final = 17  # the boot failed; payload: text
PLACED: Final = 18  # the task of the request runs on `cpu` as `pid`
DIED: Final = 19  # the task's CPU died; payload: of what, as text
REPLY: Final = 20  # to a QUERY; flags 1: payload is the text of an error
NOTICE: Final = 21  # the machine ends; payload: why, as text
# task → client, through the monitor
RESULT: Final = 32  # payload: ship.dump_result or ship.dump_failure
OUTPUT: Final = 33  # flags: 1 stdout, 2 stderr; payload: UTF-8
# monitor → CPU
TASK: Final = 48  # run the payload, a call
JOB: Final = 49  # the same for the kernel's own work; answered by JOB_DONE
STOP: Final = 50
# CPU, handler, device → monitor
REQUEST: Final = 64  # payload: pickled (kind, payload)
JOB_DONE: Final = 65
# monitor → who asked
ANSWER: Final = 66  # flags 1: payload is the text of an error

FLAG_SYSCALL: Final = 1  # of CALL: kernel code, gives way only where its version does
SIGNAL_INTERRUPT: Final = 1
SIGNAL_KILL: Final = 2


@dataclass(slots=True)
class Message:
    """A message: what its envelope says, and its payload."""

    kind: int
    flags: int
    cpu: int
    pid: int
    uid: int
    number: int
    payload: bytes


def pack(
    kind: int,
    payload: bytes = b"",
    *,
    flags: int = 0,
    cpu: int = -1,
    pid: int = 0,
    uid: int = 0,
    number: int = 0,
) -> bytes:
    """Return a message: envelope and payload."""
    return ENVELOPE.pack(kind, flags, cpu, pid, uid, number) + payload


def unpack(data: bytes | memoryview) -> Message:
    """Undo `pack`."""
    kind, flags, cpu, pid, uid, number = ENVELOPE.unpack_from(data)
    return Message(kind, flags, cpu, pid, uid, number, bytes(data[ENVELOPE.size :]))


def frame(message: bytes) -> bytes:
    """Return a message with its length before it."""
    if len(message) > 0x7FFFFFFF:
        return LENGTH.pack(-1) + LONG_LENGTH.pack(len(message)) + message
    return LENGTH.pack(len(message)) + message


def frame_bounds(data: bytes | bytearray) -> tuple[int, int] | None:
    """Return (start, end) of the first whole message in `data`, None while there is none."""
    if len(data) < LENGTH.size:
        return None
    start = LENGTH.size
    (length,) = LENGTH.unpack_from(data)
    if length == -1:
        start += LONG_LENGTH.size
        if len(data) < start:
            return None
        (length,) = LONG_LENGTH.unpack_from(data, LENGTH.size)
    end = start + length
    return (start, end) if len(data) >= end else None


class FrameReader:
    """Cuts what a descriptor delivers into messages, without blocking."""

    def __init__(self, fd: int):
        self.fd = fd
        self._data = bytearray()

    def read(self) -> bool:
        """Take what is there; false at the end of the stream."""
        try:
            chunk = os.read(self.fd, CHUNK_BYTES)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        self._data += chunk
        return bool(chunk)

    def messages(self) -> Iterator[Message]:
        """Yield the whole messages that have arrived."""
        while (bounds := frame_bounds(self._data)) is not None:
            start, end = bounds
            message = unpack(memoryview(self._data)[start:end].toreadonly())
            del self._data[:end]
            yield message


class Outbox:
    """What has yet to be written to a descriptor that may not block its writer."""

    def __init__(self, fd: int):
        os.set_blocking(fd, False)
        self.fd = fd
        self._parts: deque[memoryview] = deque()

    def __bool__(self) -> bool:
        return bool(self._parts)

    def put(self, message: bytes) -> None:
        """Add a message and write what goes at once."""
        self._parts.append(memoryview(frame(message)))
        self.flush()

    def flush(self) -> None:
        """Write as much as the descriptor takes; a reader that is gone loses the rest."""
        while self._parts:
            part = self._parts[0]
            try:
                written = os.write(self.fd, part)
            except BlockingIOError:
                return
            except (BrokenPipeError, ConnectionResetError):
                self._parts.clear()
                return
            if written < len(part):
                self._parts[0] = part[written:]
            else:
                self._parts.popleft()
