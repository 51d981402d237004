"""Modules that are loaded when something of them is used; files for a while."""

import os
import subprocess
import sys

from cpus import late
from smpmm import scratch

PROGRAM = """
import sys
sys.path[:] = {path!r}
from cpus import late
late.install()
import tempfile, dill, multiprocess.connection
from cpus import ship
assert not any(name in sys.modules for name in ("dill._dill", "shutil", "pathlib"))
call = ship.dump_call("os.path:join", ("a", "b"), {{}})
assert not ship.load_call(call)[2] and "dill._dill" not in sys.modules
call = ship.dump_call(eval("lambda x: x + 1", {{"__name__": "__main__"}}), (1,), {{}})
assert not any(name in sys.modules for name in ("dill.session", "shutil", "pathlib"))
function, args, _ = ship.load_call(call)
assert function(*args) == 2 and type(dill) is late.LateDill
assert type(tempfile) is late.Late and "shutil" not in sys.modules
assert os.path.isdir(tempfile.gettempdir()) and "shutil" in sys.modules
assert dill.source.getsource and dill.__version__ and type(dill) is type(sys)
from random import random
assert 0 <= random() < 1
try:
    dill.no_such_name
except AttributeError:
    print("as it should be")
"""
BOOT = """
import sys
sys.path[:] = {path!r}
from cpus import late
late.install()
import importlib
from smpmm import boot
for name in boot.LAYERS + boot.SHARED_MODULES:
    importlib.import_module(name)
loaded = [name for name, module in sys.modules.items() if not isinstance(module, late.Late)]
print(*(name for name in ({names}) if name in loaded))
late.settle()
from typing import Any, Protocol, get_type_hints
assert get_type_hints(eval("lambda: 0")) == {{}} and not isinstance(Any, late.Hint)
import subprocess
assert subprocess.run(["true"]).returncode == 0
"""


def test_a_module_is_loaded_when_something_of_it_is_used():
    code = "import os\n" + PROGRAM.format(path=[entry or "." for entry in sys.path])
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True)
    assert done.stdout == "as it should be\n", done.stderr


def test_the_processes_of_a_machine_share_what_they_need_and_no_more():
    names = late.DEFERRED + ("dill._dill", "logging", "subprocess", "typing", "ctypes")
    path = [entry or "." for entry in sys.path]
    code = BOOT.format(path=path, names=", ".join(map(repr, names)))
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("\n", "")


def test_scratch_is_this_user_s_alone_and_leaves_no_name(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with scratch.make_file("disk-") as file:
        file.write(b"x")
        assert os.fstat(file.fileno()).st_mode & 0o777 == 0o600
        assert list(tmp_path.iterdir()) == []
    path = scratch.make_directory("run-")
    assert os.path.dirname(path) == str(tmp_path)
    assert os.stat(path).st_mode & 0o777 == 0o700


def test_scratch_is_made_elsewhere_where_the_preferred_place_is_gone(monkeypatch):
    monkeypatch.setenv("TMPDIR", "/nowhere/at/all")
    path = scratch.make_directory("smpmm-test-")
    os.rmdir(path)
    scratch.make_file("smpmm-test-").close()
