"""What a type checker sees of the kernel's names is what there is."""

import ast
import importlib

import pytest

from smpmm import kernel, kernel_stub
from tests.house.tree import ROOT, build, files, name

STUBS = [path for path in files(".pyi") if path.stem.endswith("_cy")]


def declared(text: str) -> set[str]:
    """Return the names that a stub declares at its top level."""
    found: set[str] = set()
    for node in ast.parse(text).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign):
            found.add(ast.unparse(node.target))
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
    return found


def test_the_stub_is_up_to_date() -> None:
    assert kernel_stub.main(["--check"]) == 0, "run `python -m smpmm.kernel_stub`"


def test_every_name_is_declared() -> None:
    missing = set(kernel.__all__) - declared(kernel_stub.STUB.read_text())
    assert not missing, f"not in kernel.pyi: {', '.join(sorted(missing))}"


@pytest.mark.parametrize("path", STUBS, ids=name)
def test_a_stub_of_a_compiled_module_declares_what_it_has(path) -> None:
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            assert hasattr(module, node.name), f"{name(path)}:{node.lineno}: {node.name}"
    assert module.__name__ in build().modules()
