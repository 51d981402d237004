"""A module's file, on the user's side: found, read, and compiled for the machine.

What insmod of the modutils does: the kernel gets an object, not a source. A CPU that loads one
needs neither the compiler nor what it leaves behind.
"""

from __future__ import annotations

import ast
import contextlib
import marshal
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cpus.errors import ConfigError
from smpmm import parameters

DRIVERS = os.path.join(os.path.dirname(__file__), "drivers")


@dataclass(frozen=True)
class Object:
    """A compiled module and its parameters."""

    name: str
    file: str
    code: bytes  # its top level, marshalled
    words: tuple[str, ...]  # the parameters that are words in RAM
    values: dict[str, Any]  # the parameters that were given


def compile_source(name: str, file: str, source: str, given: Mapping[str, Any]) -> Object:
    """Compile a module's source with the parameters of an insmod."""
    with _reading(name, file):
        tree = ast.parse(source, file)
    declared = parameters.declared(tree, name)
    values = parameters.check_given(name, declared, given)
    words = tuple(one for one, letter in declared.items() if letter != "s")
    with _reading(name, file):
        code = compile(parameters.rewrite(tree, words), file, "exec")
    return Object(name, file, marshal.dumps(code), words, values)


def find_source(name: str) -> tuple[str, str, str]:
    """Return (module's name, path, source) of a bundled driver or a path to a .py file.

    Runs on the user's side. ConfigError when there is none.
    """
    path = name
    if not name.endswith(".py") and os.sep not in name:
        path = os.path.join(DRIVERS, f"{name}.py")
    if not os.path.isfile(path):
        bundled = ", ".join(sorted(filter(is_driver, os.listdir(DRIVERS)))).replace(".py", "")
        raise ConfigError(f"insmod: {name}: no module by that name; bundled are {bundled}")
    stem = os.path.splitext(os.path.basename(path))[0]
    return stem, os.path.realpath(path), read_text(path)


def is_driver(name: str) -> bool:
    """Return whether a file of the bundled drivers declares an init function."""
    return name.endswith(".py") and "@module_init" in read_text(os.path.join(DRIVERS, name))


def read_text(path: str) -> str:
    """Return the text of a Python file; ConfigError when it is none."""
    with open(path, encoding="utf-8") as file:
        try:
            return file.read()
        except UnicodeDecodeError as error:
            raise ConfigError(f"insmod: {path} is no Python source: {error}") from None


@contextlib.contextmanager
def _reading(name: str, file: str) -> Iterator[None]:
    """Name the file, and the line, in an error of the compiler: a ConfigError."""
    try:
        yield
    except (SyntaxError, ValueError) as error:  # ValueError: a null byte
        where, what = "", str(error)
        if isinstance(error, SyntaxError):
            where = f", line {error.lineno}," if error.lineno else ""
            what = error.msg + (f": {error.text.strip()[:80]}" if error.text else "")
        raise ConfigError(f"insmod {name}: {file}{where} cannot be compiled: {what}") from None
