"""Imports go one way: cpus, interrupts, smpmm, tools; a module never imports a later layer."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import LAYERS, ROOT, build, files, name

RANK = {"cpus": 0, "interrupts": 1, "smpmm": 2, "smpmm_tools": 3, "tools": 3, "tests": 4}
WIRES_IT_ALL = "smpmm/machine.py"

# In a .pxd every import is a cimport; `from a.b cimport c`, `cimport a.b, c.d as e`.
CIMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+c?import\b[ \t]*(\([^)]*\)|[^\n#]*)"
    r"|c?import[ \t]+([^\n#]+))",
    re.MULTILINE,
)


def imports_of_python(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of each absolute import, also of those inside functions."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"
        elif (
            isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)
        ):
            function = ast.unparse(node.func).rpartition(".")[2]
            if function in ("import_module", "__import__"):
                yield node.lineno, str(node.args[0].value)


def imports_of_header(text: str) -> Iterator[tuple[int, str]]:
    for match in CIMPORT.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        if match[1]:
            for word in re.findall(r"\w+", match[2]) or [""]:
                yield line, f"{match[1]}.{word}"
        else:
            for word in match[3].split(","):
                yield line, word.split()[0]


def breaches(path: str, text: str) -> list[str]:
    """Name each import of `text`, the file `path`, that is of a later layer."""
    found = imports_of_header(text) if path.endswith(".pxd") else imports_of_python(text)
    own = RANK[path.split("/")[0]]
    result = []
    for line, imported in sorted(set(found)):
        target = imported.removeprefix("cython.cimports.").split(".")[0]
        if target == "tools":
            result.append(f"{path}:{line}: imports {imported}: its name is smpmm_tools")
        elif RANK.get(target, -1) > own and (path != WIRES_IT_ALL or target == "tests"):
            result.append(f"{path}:{line}: imports {imported}, which is of a later layer")
    return result


def test_no_module_imports_a_later_layer() -> None:
    found = [
        breach
        for path in files(".py", ".pyi", ".pxd")
        for breach in breaches(name(path), path.read_text())
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("cpus/a.py", "import interrupts.line"),
        ("cpus/a.py", "def f():\n    from smpmm import Machine"),
        ("cpus/a_cy.py", "from cython.cimports.smpmm.mm.slab_cy import kmalloc"),
        ("cpus/a_cy.py", "from cython.cimports import interrupts"),
        ("cpus/a_cy.pxd", "from interrupts.line_cy cimport raise_line"),
        ("interrupts/a_cy.pxd", "cimport cpus.atomic, smpmm.mm.page_cy as page_cy"),
        ("smpmm/a.py", "importlib.import_module('smpmm_tools.cli')"),
        ("smpmm/machine.py", "import tests.house"),
        ("tools/a.py", "from tools import cli"),
        ("tools/a.py", "from tests.house import tree"),
    ],
)
def test_an_import_of_a_later_layer_is_seen(path: str, text: str) -> None:
    assert len(breaches(path, text)) == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("cpus/a.py", "import cpus.task\nimport os\nfrom . import smpmm"),
        ("interrupts/a_cy.py", "from cython.cimports.cpus.atomic import u64"),
        (
            "smpmm/a_cy.pxd",
            "from cpus.atomic cimport u64, u32\nfrom libc.string cimport memset",
        ),
        ("smpmm/machine.py", "from interrupts import line\nimport smpmm_tools"),
        ("tools/a.py", "import smpmm, cpus.lockstat\nfrom smpmm_tools import report"),
    ],
)
def test_an_import_of_an_earlier_layer_is_allowed(path: str, text: str) -> None:
    assert breaches(path, text) == []


def test_every_folder_with_code_is_a_package() -> None:
    """Without an `__init__.py` it would be left out of the wheel, silently."""
    folders = {path.parent for path in files(".py", ".pyi", ".pxd", ".h")}
    found = [
        name(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()
    ]
    assert not found, f"no __init__.py in {', '.join(found)}"


def test_setup_builds_these_layers() -> None:
    assert set(build().FOLDERS.values()) == set(LAYERS)
    assert all((ROOT / layer).is_dir() for layer in LAYERS), "a layer is missing"


def test_the_walk_sees_files() -> None:
    assert any(Path(path).name == "atomic.pxd" for path in files(".pxd"))
