"""The wheel, installed in an environment of its own, works and owns no common name."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import LAYERS, ROOT, build

CONTENTS = ("pyproject.toml", "setup.py", "README.md", "LICENSE", *LAYERS)


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command outside the tree, as little of our environment with it as may be."""
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SMPMM"))
    }
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=110,
    )
    assert done.returncode == 0, f"{command} in {cwd}:\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Build a wheel of a copy of the tree.

    The compiled modules are the ones in place, which are no older than their sources (the
    tests would not have started): they are put where the build looks for what it has made.
    """
    top = tmp_path_factory.mktemp("wheel")
    tree = top / "tree"
    tree.mkdir()
    for entry in CONTENTS:
        if (ROOT / entry).is_dir():
            ignore = shutil.ignore_patterns("*.so", "*.so.new", "__pycache__")
            shutil.copytree(ROOT / entry, tree / entry, ignore=ignore)
        else:
            shutil.copy2(ROOT / entry, tree / entry)
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    for module, source in build().modules().items():
        binary = source.with_name(source.stem + suffix)
        target = top / "lib" / Path(*module.split(".")).with_name(binary.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(binary, target)
    translated = ROOT / "build" / "cython"
    if translated.is_dir():
        shutil.copytree(translated, tree / "build" / "cython")
        for path in [*(tree / "build").rglob("*.c")]:
            os.utime(path)
        for path in [*(top / "lib").rglob("*.so")]:
            os.utime(path)
    setup = (sys.executable, "setup.py", "-q")
    steps = ("build", "--build-lib", top / "lib", "bdist_wheel", "--dist-dir", top)
    run(*setup, *steps, cwd=tree)
    (built,) = top.glob("*.whl")
    yield built
    shutil.rmtree(top, ignore_errors=True)


def test_wheel_owns_only_our_names(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {entry.split("/")[0] for entry in names}
    packages = {entry for entry in top if not entry.endswith(".dist-info")}
    assert packages == set(build().FOLDERS)
    assert not packages & {"tools", "tests"}


def test_wheel_has_every_module_and_header(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    for package, folder in build().FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".pxd", ".h", ".pyi"):
                inside = f"{package}/{path.relative_to(ROOT / folder)}"
                assert inside in names, f"{inside} is not in the wheel"
    for module in build().modules():
        assert module.replace(".", "/") + suffix in names, f"{module} is not compiled"


def test_wheel_runs_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=tmp_path)
    python = environment / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    run(*pip, "--no-deps", "--no-index", wheel, cwd=tmp_path)
    # The dependencies are lent by this environment, whose own .pth files are not followed.
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(run(python, "-c", where, cwd=tmp_path).strip())
    lent = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "lent.pth").write_text("\n".join(sorted(lent)) + "\n")

    whence = run(python, "-c", "import smpmm; print(smpmm.__file__)", cwd=tmp_path)
    assert whence.startswith(str(site)), f"not the installed one: {whence}"
    assert "Usage" in run(environment / "bin" / "smpmm", "--help", cwd=tmp_path)
