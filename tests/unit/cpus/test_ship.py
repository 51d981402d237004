"""What travels between processes, and as what it arrives."""

import json
import os
import subprocess
import sys

import pytest

from cpus import ship

LOADER = """
import sys
sys.path[:] = {path!r}
from cpus import ship
function, args, kwargs = ship.load_call(sys.stdin.buffer.read())
try:
    data = ship.dump_result(function(*args, **kwargs))
except BaseException as error:
    data = ship.dump_failure(error)
sys.stdout.buffer.write(data)
"""


def elsewhere(text: str, name: str, *args, **kwargs):
    """Run function `name` of a script's `text` in a fresh process, as a machine would."""
    space = {"__name__": "__main__"}
    exec(compile(text, "script.py", "exec"), space)
    call = ship.dump_call(space[name], args, kwargs)
    code = LOADER.format(path=[entry or os.getcwd() for entry in sys.path])
    done = subprocess.run([sys.executable, "-c", code], input=call, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return space, done.stdout


def test_a_function_of_the_main_module_travels_with_the_globals_that_it_names():
    text = "import json\nstep = 3\nunused = open(__import__('os').devnull)\n"
    text += "def helper(n):\n    return n * step\n"
    text += "def work(n, *, plus=0):\n    return json.dumps(helper(n) + plus)\n"
    _, data = elsewhere(text, "work", 4, plus=1)
    assert json.loads(ship.load_outcome(data)) == 13


def test_an_exception_of_the_script_comes_back_as_the_very_class():
    text = "class Broken(Exception):\n    pass\n"
    text += "def work():\n    raise Broken('here', 7)\n"
    space, data = elsewhere(text, "work")
    with pytest.raises(space["Broken"]) as caught:
        ship.load_outcome(data)
    assert caught.value.args == ("here", 7)
    remote = caught.value.__cause__
    assert isinstance(remote, ship.RemoteTraceback)
    assert "script.py" in str(remote)


def test_an_exception_that_cannot_be_pickled_arrives_as_its_name_and_text():
    class Odd(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one} and {two}")

    with pytest.raises(ship.RemoteError, match="Odd: 1 and 2"):
        ship.load_outcome(ship.dump_failure(Odd(1, 2)))


def test_a_result_that_cannot_be_pickled_arrives_as_its_text():
    value = ship.load_outcome(ship.dump_result(sys._getframe()))
    assert isinstance(value, ship.Unshippable)
    assert "frame" in value


def test_a_call_by_name_is_looked_up_where_it_arrives():
    function, args, kwargs = ship.load_call(ship.dump_call("os.path:join", ("a", "b"), {}))
    assert function(*args, **kwargs) == os.path.join("a", "b")


def test_a_class_that_was_shipped_before_is_not_made_again():
    space = {"__name__": "__main__"}
    exec("class Point:\n    def __init__(self, x):\n        self.x = x\n", space)
    first = ship.loads(ship.dumps(space["Point"](1)))
    second = ship.loads(ship.dumps(space["Point"](2)))
    assert type(first) is type(second) is space["Point"]
    assert (first.x, second.x) == (1, 2)


@pytest.mark.parametrize("value", [None, True, -(1 << 70), 1.5, "dill __main__", b"\0dill"])
def test_plain_results_come_back(value):
    data = ship.dump_result(value)
    assert ship.load_outcome(data) == value
    assert type(ship.load_outcome(data)) is type(value)


def test_a_call_by_name_needs_no_dill(monkeypatch):
    monkeypatch.setattr(ship, "Unpickler", None)
    function, args, kwargs = ship.load_call(ship.dump_call("os:getpid", (1,), {"a": b"x"}))
    assert (function, args, kwargs) == (os.getpid, (1,), {"a": b"x"})
