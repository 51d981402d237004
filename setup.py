"""Build smpmm: what is compiled and what is a package is read from the tree.

One rule, no list: a file whose name ends in `_cy.py` is an extension module, a folder with
an `__init__.py` below cpus, interrupts, smpmm or tools is a package. The folder `tools` is
installed as `smpmm_tools`. What does not compile does not keep the rest from being built.
The tests load this file to ask `outdated()`.

Environment:
    SMPMM_PLAIN_GATE=1       compile with -DSMPMM_PLAIN_GATE (a variant for one stress test;
                             give it a --build-lib and a --build-temp of its own)
    SMPMM_SKIP_EXTENSIONS=1  compile nothing: `make` does it in a step of its own
"""

import fcntl
import os
import platform
import re
import shutil
import sys
import sysconfig
import time
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

FOLDERS = {
    "cpus": "cpus",
    "interrupts": "interrupts",
    "smpmm": "smpmm",
    "smpmm_tools": "tools",
}
ROOT = Path(__file__).resolve().parent
MACHINES = {"x86_64", "amd64", "aarch64", "arm64"}
COMPILE_ARGS = ["-O2", "-g", "-Wall", "-Werror=incompatible-pointer-types"]
# A call of tens of nanoseconds is a tenth slower when it begins in the middle of a cache line,
# which is chance: a change anywhere before it in its file moves it.
COMPILE_ARGS.append("-falign-functions=64")
DIRECTIVES = {
    "language_level": "3",
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
}


# What a source refers to at compile time: `.py`, `.pxd` and `.h` files have one form each.
CIMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+cython\.cimports\.([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n#]*)"
    r"|from[ \t]+([\w.]+)[ \t]+cimport[ \t]+(\([^)]*\)|[^\n#]*)"
    r"|import[ \t]+cython\.cimports\.([\w.]+)"
    r"|cimport[ \t]+([\w., \t]+))",
    re.MULTILINE,
)
ALIAS = re.compile(r"\bas[ \t]+\w+|#.*")
INCLUDE = re.compile(
    r"^[ \t]*(?:cdef[ \t]+extern[ \t]+from|include|#[ \t]*include)[ \t]+[\"']([^\"'\n]+)[\"']",
    re.MULTILINE,
)


class Module(Extension):
    """An extension module that can be a member of a set: cythonize keeps one of failures."""

    __hash__ = object.__hash__


def check_host() -> None:
    if not sys.platform.startswith("linux") or platform.machine().lower() not in MACHINES:
        sys.exit(
            "smpmm runs on Linux on x86-64 and aarch64 only; "
            f"this host is {platform.system()} on {platform.machine()}."
        )


def packages() -> list[str]:
    found = []
    for package, folder in FOLDERS.items():
        if Path(folder, "__init__.py").exists():
            found += [package, *(f"{package}.{sub}" for sub in find_packages(folder))]
    return found


def extensions() -> list[Module]:
    if os.environ.get("SMPMM_SKIP_EXTENSIONS") == "1":
        return []
    args = list(COMPILE_ARGS)
    if os.environ.get("SMPMM_PLAIN_GATE") == "1":
        args.append("-DSMPMM_PLAIN_GATE")
    return [
        Module(
            name,
            [str(path.relative_to(ROOT))],
            include_dirs=["cpus"],
            extra_compile_args=args,
            # What the loader relocates shares pages with the module's variables: of each of
            # the sixty modules a page less that every process of a machine has.
            extra_link_args=["-Wl,-z,norelro"],
        )
        for name, path in modules().items()
    ]


def pxd_files(name: str, importer: Path) -> list[Path]:
    """List the headers that stand for the dotted `name`, seen from the file `importer`."""
    if name.startswith("."):
        base = importer.parent
        for _ in range(len(name) - len(name.lstrip(".")) - 1):
            base = base.parent
        base = base.joinpath(*name.lstrip(".").split("."))
    else:
        package, *rest = name.split(".")
        base = ROOT.joinpath(FOLDERS.get(package, package), *rest)
    return [p for p in (base.with_suffix(".pxd"), base / "__init__.pxd") if p.is_file()]


def compile_sources(path: Path) -> set[Path]:
    """List the files that the binary of a compiled module is made from; `path` is its source.

    This file is one of them: it has the options of the compiler.
    Cython's own list leaves out headers that a header includes and modules that are imported
    as a whole from `cython.cimports.<package>`.
    """
    todo, found = [path, *pxd_files("." + path.stem, path)], {ROOT / "setup.py"}
    while todo:
        path = todo.pop()
        if path in found:
            continue
        found.add(path)
        text = path.read_text()
        for match in CIMPORT.finditer(text):
            base, names = match[1] or match[3], match[2] or match[4] or ""
            if base:
                todo += pxd_files(base, path)
                prefix = base + "." if base.strip(".") else base
                for name in re.findall(r"\w+", ALIAS.sub("", names)):
                    todo += pxd_files(prefix + name, path)
            for name in re.findall(r"[\w.]+", ALIAS.sub("", match[5] or match[6] or "")):
                todo += pxd_files(name, path)
        for name in INCLUDE.findall(text):
            todo += [p for p in (path.parent / name, ROOT / "cpus" / name) if p.is_file()][:1]
    return found


def modules() -> dict[str, Path]:
    """Map the name of each compiled module to its source."""
    return {
        ".".join((package, *path.relative_to(ROOT / folder).with_suffix("").parts)): path
        for package, folder in FOLDERS.items()
        for path in sorted((ROOT / folder).rglob("*_cy.py"))
    }


def outdated() -> dict[str, str]:
    """Say of each compiled module that must be built again why."""
    reasons = {}
    for name, path in modules().items():
        binary = path.with_name(path.stem + sysconfig.get_config_var("EXT_SUFFIX"))
        if not binary.exists():
            reasons[name] = "is not compiled"
            continue
        newest = max(compile_sources(path), key=lambda p: p.stat().st_mtime_ns)
        if newest.stat().st_mtime_ns > binary.stat().st_mtime_ns:
            reasons[name] = f"is older than {newest.relative_to(ROOT)}"
    return reasons


class BuildExt(build_ext):
    """Translate and compile in parallel, go on after a failure, never half-write a binary.

    Whatever this build makes is dated back to its beginning, so a source that is edited
    while it runs is newer than the binary and is compiled again by the next one.
    """

    user_options = [
        *build_ext.user_options,
        ("only=", None, "compile modules named *TEXT* only"),
    ]

    def initialize_options(self) -> None:
        super().initialize_options()
        self.only = None

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()
        if self.inplace:  # apart from build/lib.*, which goes into wheels as it is
            self.build_lib = os.path.join("build", "inplace")

    def run(self) -> None:
        if self.only:
            self.extensions = [e for e in self.extensions if self.only in e.name]
            if not self.extensions:
                sys.exit(f"--only {self.only}: no compiled module has this in its name")
        if self.inplace and not self.only and self.extensions:
            self._remove_orphans()
        if not self.extensions:
            return
        os.environ.setdefault("CC", "gcc")
        os.makedirs("build", exist_ok=True)
        with open("build/.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._failed: list[str] = []
            started_ns = time.time_ns()
            self._translate(started_ns)
            super().run()
            for ext in self.extensions:
                self._date_back(self._built_path(ext), started_ns)
            if self.inplace:
                self._publish()
        if self._failed:
            sys.exit("not compiled: " + ", ".join(sorted(self._failed)))

    def _translate(self, started_ns: int) -> None:
        from Cython.Build import cythonize

        # A folder whose package has another name: Cython looks for headers by package.
        include = Path("build/include")
        include.mkdir(parents=True, exist_ok=True)
        for package, folder in FOLDERS.items():
            if package != folder and not (include / package).is_symlink():
                (include / package).symlink_to(ROOT / folder)

        depends = {}
        for ext in self.extensions:
            source = Path(ext.sources[0])
            used = compile_sources(ROOT / source)
            depends[ext.name] = [str(p.relative_to(ROOT)) for p in sorted(used)]
            translated = Path("build/cython", source.with_suffix(".c"))
            newest_ns = max(p.stat().st_mtime_ns for p in used if p.suffix != ".h")
            if translated.exists() and translated.stat().st_mtime_ns < newest_ns:
                os.utime(translated, (0, 0))

        nthreads = min(os.cpu_count() or 1, len(self.extensions))
        done = {
            ext.name: ext
            for ext in cythonize(
                list(self.extensions),
                build_dir="build/cython",
                include_path=[str(ROOT), str(include)],
                compiler_directives=DIRECTIVES,
                nthreads=nthreads if nthreads > 1 else 0,
                exclude_failures=True,
            )
        }
        self._failed += [ext.name for ext in self.extensions if ext.name not in done]
        self.extensions = [ext for ext in self.extensions if ext.name in done]
        for ext in self.extensions:
            ext.sources, ext.depends = done[ext.name].sources, depends[ext.name]
            self._date_back(ext.sources[0], started_ns)

    def build_extension(self, ext: Module) -> None:
        try:
            super().build_extension(ext)
        except CompileError as error:
            self.warn(f"{ext.name}: {error}")
            self._failed.append(ext.name)

    def copy_extensions_to_source(self) -> None:
        """Do nothing: `_publish` does it once the dates are right."""

    def _built_path(self, ext: Module) -> str:
        return os.path.join(
            self.build_lib, self.get_ext_filename(self.get_ext_fullname(ext.name))
        )

    def _publish(self) -> None:
        for ext in self.extensions:
            if ext.name in self._failed:
                continue
            package, _, _ = ext.name.rpartition(".")
            built = self._built_path(ext)
            folder = self.get_finalized_command("build_py").get_package_dir(package)
            target = os.path.join(folder, os.path.basename(built))
            if (
                not os.path.exists(target)
                or os.stat(target).st_mtime != os.stat(built).st_mtime
            ):
                shutil.copy2(built, target + ".new")
                os.replace(target + ".new", target)

    def _remove_orphans(self) -> None:
        for folder in FOLDERS.values():
            for binary in Path(folder).rglob("*_cy.*.so"):
                if not binary.with_name(binary.name.split(".")[0] + ".py").exists():
                    binary.unlink()

    @staticmethod
    def _date_back(path: str, started_ns: int) -> None:
        if os.path.exists(path) and os.stat(path).st_mtime_ns > started_ns:
            os.utime(path, ns=(started_ns, started_ns))


if __name__ == "__main__":
    check_host()
    setup(
        packages=packages(),
        package_dir={
            package: folder for package, folder in FOLDERS.items() if package != folder
        },
        ext_modules=extensions(),
        cmdclass={"build_ext": BuildExt},
    )
