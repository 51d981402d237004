"""Style that a formatter does not see (and, for headers and C, what it would see)."""

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.house.tree import ROOT, files, name

LIBRARIES = ("cpus", "interrupts", "smpmm")
SPEAKING = ("smpmm/examples/", "smpmm/drivers/")
EVERYWHERE = ("cpus", "interrupts", "smpmm", "tools", "tests", "examples")
LINE_LENGTH = 95
FILE_LINES = 500
GENERATED = ROOT / "smpmm/kernel.pyi"

UNOWNED_TODO = re.compile(r"\b(?:TODO|FIXME)\b(?!\(#\d+\))")
PLACE_ON_A_HOST = re.compile(r"(?<![\w./<-])/(?:work|home)/\w")


def too_long(text: str) -> list[tuple[int, str]]:
    return [
        (number, f"{len(line)} columns, more than {LINE_LENGTH}")
        for number, line in enumerate(text.splitlines(), 1)
        if len(line) > LINE_LENGTH
    ]


def matches(pattern: re.Pattern[str], message: str) -> Callable[[str], list[tuple[int, str]]]:
    return lambda text: [
        (number, message)
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def prints(text: str) -> list[tuple[int, str]]:
    return [
        (node.lineno, "print in a library")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]


unowned_todo = matches(UNOWNED_TODO, "without an issue: TO" + "DO(#12)")
place_on_a_host = matches(PLACE_ON_A_HOST, "names a folder of one person's host")


def findings(paths: list[Path], rule: Callable[[str], list[tuple[int, str]]]) -> str:
    return "\n".join(
        f"{name(path)}:{line}: {message}"
        for path in paths
        for line, message in rule(path.read_text())
    )


def sources() -> list[Path]:
    found = [*files(".py", ".pyi", ".pxd", ".h", folders=EVERYWHERE), ROOT / "setup.py"]
    return [path for path in found if path != Path(__file__)]


def test_lines_are_short() -> None:
    assert not (found := findings(sources(), too_long)), found


def test_files_are_short() -> None:
    found = [
        f"{name(path)}: {lines} lines, more than {FILE_LINES}"
        for path in sources()
        if path != GENERATED and (lines := path.read_text().count("\n")) > FILE_LINES
    ]
    assert not found, "\n".join(found)


def test_what_is_left_to_do_has_an_issue() -> None:
    assert not (found := findings(sources(), unowned_todo)), found


def test_no_path_of_one_host() -> None:
    texts = [*ROOT.glob("*.md"), *ROOT.glob("*.toml"), ROOT / "Makefile", *sources()]
    assert not (found := findings(texts, place_on_a_host)), found


def test_libraries_do_not_print() -> None:
    silent = [
        path for path in files(".py", folders=LIBRARIES) if not name(path).startswith(SPEAKING)
    ]
    assert not (found := findings(silent, prints)), found


def test_no_module_has_the_name_of_its_package() -> None:
    """Cython would take one for the other when it looks for headers."""
    found = [name(path) for path in files(".py", ".pxd") if path.stem == path.parent.name]
    assert not found, ", ".join(found)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (too_long, "x" * (LINE_LENGTH + 1)),
        (unowned_todo, "# TODO: later"),
        (unowned_todo, "# FIXME"),
        (place_on_a_host, "open('/home/me/smpmm')"),
        (prints, "if x:\n    print('x')"),
    ],
)
def test_a_breach_is_seen(rule: Callable[[str], list[tuple[int, str]]], text: str) -> None:
    assert len(rule(text)) == 1


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (too_long, "x" * LINE_LENGTH),
        (unowned_todo, "# TODO(#12): later"),
        (place_on_a_host, "https://example.org/home/page ./work/x"),
        (prints, "# print(x)\nconsole.print(x)"),
    ],
)
def test_what_is_allowed_passes(
    rule: Callable[[str], list[tuple[int, str]]], text: str
) -> None:
    assert rule(text) == []
