"""A process without site packages runs `site` when an import would fail, once."""

import subprocess
import sys

PROGRAM = """
import sys
sys.path[:] = {path!r}
from cpus import late_site
late_site.install()
assert callable(quit)
assert "site" in sys.modules and isinstance(sys.meta_path[-1], late_site.LateSite)
import json
assert isinstance(sys.meta_path[-1], late_site.LateSite)
late_site.hooked["its_own_name"] = {file!r}
import its_own_name
assert its_own_name.value == 7
assert isinstance(sys.meta_path[-1], late_site.LateSite)
try:
    import nt
except ModuleNotFoundError:
    assert isinstance(sys.meta_path[-1], late_site.LateSite)
before = list(sys.path)
try:
    import no_such_module_anywhere
except ModuleNotFoundError:
    assert not isinstance(sys.meta_path[-1], late_site.LateSite)
    assert sys.path[:len(before)] == before
    print("as it should be")
"""


def test_site_runs_once_when_a_module_is_missed(tmp_path):
    file = tmp_path / "other.py"
    file.write_text("value = 7\n")
    code = PROGRAM.format(path=[entry or "." for entry in sys.path], file=str(file))
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout == "as it should be\n", done.stderr
