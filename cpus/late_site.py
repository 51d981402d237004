"""Site packages for a process that was started without them (`python -S`), when one is missed.

The monitor is given the module path of the user's program, and so finds what that finds;
running `site` again would cost a tenth of the boot. What only `site` makes importable
(editable installs by import hooks) is there as soon as an import would fail without it; what
the user's program has of it, sooner.
"""

import importlib.util
import site
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

# Modules that an import hook gave the user's program: name → file.
hooked: dict[str, str] = {}


class LateSite:
    """The last finder: what hooks gave the user's program; else runs `site` once, and asks
    all finders again."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a top-level module that is found once `site` has run."""
        if path is not None or name in sys.stdlib_module_names:  # of other systems: nt
            return None
        if name in hooked:
            return importlib.util.spec_from_file_location(name, hooked[name])
        sys.meta_path.remove(self)
        before = list(sys.path)
        site.main()
        sys.path[:] = before + [entry for entry in sys.path if entry not in before]
        return importlib.util.find_spec(name)


def install() -> None:
    """Give this process what `site` gives to every program, the costly part when missed."""
    if not sys.flags.no_site:
        return
    site.setquit()
    site.setcopyright()
    site.sethelper()
    sys.meta_path.append(LateSite())
