"""What travels between processes, and as what it arrives."""

import collections.abc
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


WITHOUT_DILL = """
import sys
sys.path[:] = {path!r}
from cpus import ship
data = sys.stdin.buffer.read()
sys.modules["dill"] = None  # what needs it, fails
function, args, kwargs = ship.load_call(data)
sys.stdout.buffer.write(ship.dump_result(function(*args, **kwargs)))
"""
SCRIPT = """
import collections, functools
step = 3
class Base:
    size = 4
    def twice(self):
        return 2 * self.size
class Derived(Base):
    size = step
    @property
    def more(self):
        return super().twice() + 1
    @classmethod
    def make(cls):
        return cls()
class Slow(Exception):
    pass
def outer(first):
    def count(n, *, by=1):
        return 0 if n <= 0 else by + count(n - by)
    late = lambda: later
    later = first
    return count, late
def work(n, value=[1, 2], *, plus=0):
    try:
        raise Slow(n)
    except Slow as error:
        (caught,) = error.args
    count, late = outer(caught)
    table = collections.OrderedDict(a=Derived.make().more, b=count(5), c=late())
    return [dict(table), value, plus, functools.reduce(lambda a, b: a + b, range(n)), int]
"""


def test_code_is_loaded_and_plain_results_go_back_without_dill():
    space = {"__name__": "__main__"}
    exec(compile(SCRIPT, "script.py", "exec"), space)
    call = ship.dump_call(space["work"], (4,), {"plus": {"x": (1, b"y")}})
    assert b"dill" in call
    code = WITHOUT_DILL.format(path=[entry or os.getcwd() for entry in sys.path])
    done = subprocess.run([sys.executable, "-c", code], input=call, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    expected = [{"a": 7, "b": 5, "c": 4}, [1, 2], {"x": (1, b"y")}, 6, int]
    assert ship.load_outcome(done.stdout) == expected


def test_what_is_loaded_here_is_what_dill_loads():
    import dill

    def outer(n):
        def inner(m=2, *rest, key=None):
            return n + m, rest, key

        inner.mark = "x"
        return inner

    data = ship.dumps([outer(1), sys, os.path, slice(1, 2), type(None), collections.abc])
    for loads in (ship.loads, dill.loads):
        function, *others = loads(data)
        assert function(5, 6, key=7) == (6, (6,), 7) and function.mark == "x"
        assert others == [sys, os.path, slice(1, 2), type(None), collections.abc]


@pytest.mark.parametrize("name", ["even", "inner", "pair"])
def test_functions_that_call_themselves_and_each_other_travel(name):
    text = "def even(n):\n    return n == 0 or odd(n - 1)\n"
    text += "def odd(n):\n    return n > 0 and even(n - 1)\n"
    text += "def outer():\n"
    text += "    def inner(n):\n        return n == 0 or inner(n - 1)\n"
    text += "    def one(n):\n        return n == 0 or two(n - 1)\n"
    text += "    def two(n):\n        return n > 0 and one(n - 1)\n"
    text += "    return inner, one\n"
    text += "inner, pair = outer()\n"
    _, data = elsewhere(text, name, 4)
    assert ship.load_outcome(data) is True


def test_an_empty_cell_stays_empty():
    def outer():
        def inner():
            return missing

        return inner
        missing = 1

    with pytest.raises(NameError):
        ship.loads(ship.dumps(outer()))()


def test_a_reducer_is_asked_first_by_name_and_by_value():
    class Mark:
        pass

    def reduce(obj):
        return (str, ("marked",)) if type(obj) is Mark else NotImplemented

    assert ship.loads(ship.dumps([Mark(), 1], reduce)) == ["marked", 1]
    loaded, function = ship.loads(ship.dumps([Mark(), lambda: 5], reduce))
    assert loaded == "marked" and function() == 5
