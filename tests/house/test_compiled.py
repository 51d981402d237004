"""A `_cy` module is compiled, always: body, header and binary stand side by side."""

import importlib
import os
from importlib.machinery import ExtensionFileLoader
from pathlib import Path

import pytest

from tests.house.tree import build, files, name

MODULES = build().modules()


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_as_compiled(module: str) -> None:
    imported = importlib.import_module(module)
    assert isinstance(imported.__loader__, ExtensionFileLoader), (
        f"{module} is interpreted: {imported.__file__}; run `make build`"
    )


@pytest.mark.parametrize("module", MODULES)
def test_module_has_a_header(module: str) -> None:
    assert MODULES[module].with_suffix(".pxd").is_file(), f"{module} has no .pxd beside it"


def test_no_binary_without_source() -> None:
    found = [
        name(path)
        for path in files(".so")
        if not path.with_name(path.name.split(".")[0] + ".py").is_file()
    ]
    assert not found, f"{', '.join(found)}: no .py beside it; run `make build`"


def test_no_module_is_compiled_by_another_rule() -> None:
    found = [name(path) for path in files(".pyx", ".pxi", ".c", ".cpp")]
    assert not found, f"{', '.join(found)}: what is compiled is a .py whose name ends in _cy"


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of one compiled module and everything that it refers to."""
    texts = {
        "setup.py": "",
        "cpus/a_cy.py": "from cython.cimports.cpus import whole\nimport cython\n",
        "cpus/a_cy.pxd": "from cpus.atomic cimport (\n    u64,\n    u32,\n)\n",
        "cpus/whole.pxd": "from .near cimport x as y\n",
        "cpus/near.pxd": "cimport libc.string, interrupts.far\n",
        "interrupts/far.pxd": "",
        "cpus/atomic.pxd": 'cdef extern from "atomic.h" nogil:\n    pass\n',
        "cpus/atomic.h": '#pragma once\n# include "nested.h"\n#include <stdint.h>\n',
        "cpus/nested.h": "",
        "cpus/other.pxd": "",
    }
    for path, text in texts.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
        os.utime(tmp_path / path, (1000, 1000))
    monkeypatch.setattr(build(), "ROOT", tmp_path)
    return tmp_path


def test_every_header_of_a_module_is_found(sources: Path) -> None:
    found = build().compile_sources(sources / "cpus/a_cy.py")
    every = {path for path in sources.rglob("*") if path.is_file()}
    assert every - found == {sources / "cpus/other.pxd"}


def test_a_binary_older_than_a_header_is_outdated(sources: Path) -> None:
    assert build().outdated() == {"cpus.a_cy": "is not compiled"}
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    binary = sources / f"cpus/a_cy{suffix}"
    binary.touch()
    os.utime(binary, (2000, 2000))
    assert build().outdated() == {}
    os.utime(sources / "cpus/nested.h", (3000, 3000))
    assert build().outdated() == {"cpus.a_cy": "is older than cpus/nested.h"}
