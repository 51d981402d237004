"""Copying through drivers: real files, or a device that all CPUs use at once.

A call that fails for lack of memory is repeated; what became of each call that met an injected
fault is kept.
"""

import errno
import hashlib
import random
from collections.abc import Callable, Iterator
from typing import Any, Final

import smpmm
from cpus import segment_cy
from smpmm.kernel import *
from smpmm_tools.workload.control import Control, Refused, injected, wait_a_tick

CHUNK_BYTES: Final = 64 << 10  # per call of the file object
MOST_RETRIES: Final = 2000  # of one call for lack of memory


class Calls:
    """Makes the driver calls of a task; keeps what became of those that met an injected fault.

    `faulted` has a tuple for each: begin, end (ns since boot), what was called, its ending.
    """

    def __init__(self) -> None:
        self.nr_calls = 0
        self.nr_retries = 0
        self.faulted: list[tuple[int, int, str, str]] = []

    def call(self, what: str, function: Callable, *args: Any, whole: int | None = None) -> Any:
        """Call, and call again while there is no memory; returns what the call returned.

        A write may do less than `whole`: that is an ending of its own.
        """
        for attempt in range(MOST_RETRIES):
            before, began = injected(), segment_cy.uptime_ns()
            ending = "done all the same"
            self.nr_calls += 1
            try:
                result = function(*args)
                if whole is not None and result != whole:
                    ending = "short, the rest written again"
                return result
            except OSError as error:
                ending = f"{errno.errorcode.get(error.errno or 0, error.errno)}, repeated"
                if error.errno != errno.ENOMEM:
                    raise
            finally:
                if injected() != before:
                    self.faulted.append((began, segment_cy.uptime_ns(), what, ending))
            self.nr_retries += 1
            if attempt:
                wait_a_tick()
        raise Refused(f"{what}: ENOMEM {MOST_RETRIES} times in a row")

    def counts(self) -> dict[str, Any]:
        return {"calls": self.nr_calls, "retries": self.nr_retries, "faulted": self.faulted}


def write_all(calls: Calls, device: Any, name: str, data: bytes) -> None:
    """Write `data` in chunks; what a call leaves is written by the next."""
    position = 0
    while position < len(data):
        chunk = data[position : position + CHUNK_BYTES]
        position += calls.call(f"{name} write", device.write_whole, chunk, whole=len(chunk))


def read_digest(calls: Calls, device: Any, name: str, length: int) -> str:
    """Read `length` bytes and return their digest."""
    digest = hashlib.blake2b(digest_size=16)
    left = length
    while left:
        part = calls.call(f"{name} read", device.read_whole, min(left, CHUNK_BYTES))
        if not part:
            break
        digest.update(part)
        left -= len(part)
    return digest.hexdigest()


def copy_files(
    address: int, number: int, path: str, files: tuple[str, ...], seed: int
) -> dict[str, Any]:
    """Copy files through the device at `path`, this task's alone, until told to stop."""
    control = Control.at(address)
    done = u64.at(control.progress)
    calls, mismatches = Calls(), []
    nr_files = nr_bytes = 0
    for source in endless(files, seed):
        if control.stop:
            break
        with open(source, "rb") as file:
            data = file.read()
        if copy_one(calls, path, data) != digest_of(data):
            mismatches.append(source)
        nr_files += 1
        nr_bytes += len(data)
        done[number] = nr_bytes
    return {
        "kind": "copy", "device": path, "cpu": smp_processor_id(), "pid": current().pid,
        "files": nr_files, "bytes": nr_bytes, "mismatches": mismatches, **calls.counts(),
    }  # fmt: skip


def endless(files: tuple[str, ...], seed: int) -> Iterator[str]:
    """Yield the files in an order of the seed, again and again."""
    order = list(files)
    random.Random(seed).shuffle(order)
    while True:
        yield from order


def digest_of(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def copy_one(calls: Calls, path: str, data: bytes) -> str:
    """Write `data` into the device and return the digest of what it gives back."""
    name = path.removeprefix("/dev/").rstrip("0123456789")
    with calls.call(f"{name} open", smpmm.open, path, "wb", 0) as device:
        write_all(calls, device, name, data)
    with calls.call(f"{name} open", smpmm.open, path, "rb", 0) as device:
        return read_digest(calls, device, name, len(data))


def write_shared(
    address: int, number: int, path: str, offset: int, length: int, seed: int
) -> dict[str, Any]:
    """Write and read bytes at `offset` of a device that other CPUs use as well."""
    control = Control.at(address)
    done = u64.at(control.progress)
    calls, mismatches = Calls(), []
    name = path.removeprefix("/dev/").rstrip("0123456789")
    chance = random.Random(seed)
    nr_rounds = nr_bytes = 0
    with calls.call(f"{name} open", smpmm.open, path, "r+b", 0) as device:
        while not control.stop:
            data = chance.randbytes(length)
            calls.call(f"{name} seek", device.seek, offset)
            write_all(calls, device, name, data)
            calls.call(f"{name} seek", device.seek, offset)
            if read_digest(calls, device, name, length) != digest_of(data):
                mismatches.append(f"{path} at {offset:#x}, round {nr_rounds}")
            nr_rounds += 1
            nr_bytes += length
            done[number] = nr_bytes
    return {
        "kind": "shared", "device": path, "cpu": smp_processor_id(), "pid": current().pid,
        "rounds": nr_rounds, "bytes": nr_bytes, "mismatches": mismatches, **calls.counts(),
    }  # fmt: skip
