"""Type stub of `smpmm.kernel`: what checkers and editors see of a namespace made at run time.

`python -m smpmm.kernel_stub` writes it (needs the compiled modules), `--check` says whether it
is what the table of names and the modules' signatures and docstrings give now.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from smpmm import constants, kernel_names
from smpmm.kernel_names import Place

STUB: Final = Path(__file__).with_name("kernel.pyi")
WIDTH: Final = 95
HEAD: Final = '''"""What `from smpmm.kernel import *` gives.

Made by `python -m smpmm.kernel_stub`. Kernel 2.4.5 on i386. A call is given here as a
machine's processes have it.
"""

from typing import Any, Final

'''
# Types of C and of Cython, as a checker knows them; `object` is what has an address.
TYPES: Final = {
    "object": "Address",
    "Scalar": "type[Scalar]",
    "ListWalk": "Any",
    "Handle": "Any",
}
# Parameters that are any object, not something in memory.
ANY_OBJECTS: Final = frozenset(
    {"condition", "cpu", "ctor", "data", "dtor", "function", "name"}
)
# Parameters that are whole numbers, converted by the call itself.
WHOLE: Final = frozenset(
    """
    byte capability count flags gfp_mask line msecs n nr offset order size state ticks type
    usecs
    """.split()
)
ANY_OBJECTS_OF: Final = {
    ("access_ok", "type"),
    ("list_entry", "type"),
    ("list_for_each_entry", "type"),
    ("list_for_each_entry_safe", "type"),
    ("put_user", "value"),
    ("sizeof", "thing"),
}
# What is returned where the signature does not say it: else an int.
RETURNS: Final = {
    "None": "__free_page __free_pages free_page free_pages kunmap kunmap_atomic",
    "Any": "alloc_page alloc_pages virt_to_page memcpy memmove memset",
}
SET_AT_BOOT: Final = frozenset({"HZ"})


def stub_text(version: str = kernel_names.DEFAULT_VERSION) -> str:
    """Return the stub of a kernel version. Imports every module behind a name."""
    places = {name: kernel_names.place_of(name) for name in kernel_names.names(version)}
    imports: dict[str, set[str]] = {"smpmm.kernel_types": {"Address"}}
    values: list[str] = []
    functions: list[str] = []
    for name, place in places.items():
        assert place is not None
        if not place.module:
            values.append(_constant(name, constants.VERSIONS[version][place.attribute]))
        elif name in kernel_names.OWN or place.is_value:
            values.append(f"{name}: {'Any' if name in kernel_names.OWN else 'int'}")
        else:
            _add_object(name, place, imports, functions)
    if any("Scalar" in function for function in functions):
        imports["smpmm.kernel_types"].add("Scalar")
    everything = _wrapped("__all__ = [", (f'"{name}"' for name in places), "]")
    return "".join(
        [HEAD, *_imports(imports), "\n", everything, "\n"]
        + [f"{line}\n" for line in (*values, "", *functions)]
    )


def _constant(name: str, value: object) -> str:
    if name in SET_AT_BOOT:
        return f"{name}: {type(value).__name__}"
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    return f"{name}: Final = {text}"


def _add_object(
    name: str, place: Place, imports: dict[str, set[str]], functions: list[str]
) -> None:
    """Declare a function or a class; what its module lacks is typed as Any."""
    try:
        found = getattr(importlib.import_module(place.module), place.attribute)
    except (ImportError, AttributeError):
        functions.append(f"def {name}(*args: Any) -> Any: ...")
        return
    if type(found).__name__ == "Scalar":
        imports["smpmm.kernel_types"].add(_imported(name, place.attribute))
    elif type(found).__name__ == "cython_function_or_method":
        functions.append("\n".join(_function(name, place, found)))
    else:
        imports.setdefault(place.module, set()).add(_imported(name, place.attribute))


def _imported(name: str, attribute: str) -> str:
    return name if name == attribute else f"{attribute} as {name}"


def _function(name: str, place: Place, found: Any) -> Iterator[str]:
    signature = inspect.signature(found)
    parameters = [_parameter(place.attribute, p) for p in signature.parameters.values()]
    head = f"def {name}({', '.join(parameters)}) -> {_result(place.attribute, signature)}:"
    if len(head) <= WIDTH:
        yield head
    else:
        yield f"def {name}("
        yield f"    {', '.join(parameters)}"
        yield head[head.rindex(") ->") :]
    lines = textwrap.wrap(_summary(found), WIDTH - 7)
    if len(lines) == 1:
        yield f'    """{lines[0]}"""'
        return
    yield f'    """{lines[0]}'
    yield from (f"    {line}" for line in lines[1:])
    yield '    """'


def _parameter(function: str, parameter: inspect.Parameter) -> str:
    kind = _type(parameter.annotation)
    anything = parameter.name in ANY_OBJECTS or (function, parameter.name) in ANY_OBJECTS_OF
    if kind == "Address" and anything:
        kind = "Any"
    elif kind == "Address" and parameter.name in WHOLE:
        kind = "int"
    default = "" if parameter.default is parameter.empty else " = ..."
    star = "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
    return f"{star}{parameter.name}: {kind}{default}"


def _type(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return "Any"
    text = str(getattr(annotation, "__name__", annotation))
    return "int" if text.startswith("cython.") else TYPES.get(text, text)


def _result(function: str, signature: inspect.Signature) -> str:
    if signature.return_annotation is inspect.Signature.empty:
        return next((kind for kind, of in RETURNS.items() if function in of.split()), "int")
    kind = _type(signature.return_annotation)
    return "Any" if kind == "Address" else kind


def _summary(found: Any) -> str:
    return " ".join((inspect.getdoc(found) or "").partition("\n\n")[0].split())


def _imports(imports: dict[str, set[str]]) -> Iterator[str]:
    for module in sorted(imports):
        yield _wrapped(f"from {module} import (", sorted(imports[module]), ")")


def _wrapped(opening: str, words: Iterable[str], closing: str) -> str:
    rows = textwrap.wrap(", ".join(words), WIDTH - 5)
    return "\n".join([opening, *(f"    {row}" for row in rows), closing, ""])


def main(arguments: list[str]) -> int:
    """Write the stub, or compare it; returns the exit code."""
    text = stub_text()
    if arguments == ["--check"]:
        if STUB.read_text() == text:
            return 0
        sys.stderr.write(f"{STUB} is out of date: run python -m smpmm.kernel_stub\n")
        return 1
    if arguments not in ([], ["--write"]):
        sys.stderr.write("usage: python -m smpmm.kernel_stub [--write | --check]\n")
        return 2
    STUB.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
