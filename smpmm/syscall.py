"""What every system call has: it is kernel code, and its end is noted with its faults.

A task that is killed inside of one ends behind it: what the call has begun, it finishes.
"""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable
from typing import Any, TypeVar

from cpus import runqueue_cy
from smpmm import fault_log_cy

Function = TypeVar("Function", bound=Callable[..., Any])


def system_call(name: str) -> Callable[[Function], Function]:
    """Decorate the body of a system call; `name` is what fault records call it."""
    encoded = name.encode()

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            runqueue_cy.change_depth(1)
            fault_log_cy.begin_call(encoded)
            try:
                result = function(*args, **kwargs)
                fault_log_cy.end_call(_count(result))
            except BaseException as error:
                fault_log_cy.end_call(*_ending(error))
                raise
            finally:
                runqueue_cy.change_depth(-1)
            return result

        return call  # type: ignore[return-value]

    return decorate


def _ending(error: BaseException) -> tuple[int, bytes]:
    """Return (negative errno, b"") of what stands for one, else (0, name of the exception)."""
    if isinstance(error, MemoryError):
        return -errno.ENOMEM, b""
    if isinstance(error, OSError) and error.errno:
        return -error.errno, b""
    return 0, type(error).__name__.encode()


def _count(result: Any) -> int:
    if isinstance(result, int):
        return result
    return len(result) if isinstance(result, (bytes, str)) else 0
