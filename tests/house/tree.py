"""The source tree as the house tests see it."""

import functools
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]

# Folder of each layer, lowest first; a module imports its own layer or an earlier one.
LAYERS = ("cpus", "interrupts", "smpmm", "tools")


@functools.cache
def build() -> ModuleType:
    """Load setup.py: it knows what is compiled, from what, and what is out of date."""
    spec = importlib.util.spec_from_file_location("smpmm_setup", ROOT / "setup.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def files(*suffixes: str, folders: tuple[str, ...] = LAYERS) -> Iterator[Path]:
    """Yield the files below `folders` with one of these suffixes, in order."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in suffixes and path.is_file():
                yield path


def name(path: Path) -> str:
    """Return the path as a message should show it."""
    return str(path.relative_to(ROOT))
