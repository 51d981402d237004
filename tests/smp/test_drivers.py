"""The bundled drivers against the book: geometry, ioctls, errors, /proc, memory, irqs."""

import array
import errno
import os
import re
import threading
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import smpmm
from smpmm import Machine, frozen
from smpmm.drivers import ioctl

NR_HOSTS, NR_THREADS = 2, 2
SHORT_IRQ = 7
NR_RECORDS = 40
RESULT_S = 60


class Kind(NamedTuple):
    """A member of the family, small: a quantum of `quantum` bytes, `qset` in an item."""

    name: str
    letter: str  # of its ioctls
    word: str  # of what QUANTUM or ORDER is called in /proc
    unit: str  # QUANTUM or ORDER
    default: int
    default_qset: int
    parameters: tuple[tuple[str, int], ...]
    quantum: int
    qset: int
    is_cleared: bool  # a new quantum reads as zeroes
    blank: str  # in /proc, behind an index


KINDS = (
    Kind(
        "scull", "k", "q", "QUANTUM", 4000, 1000,
        (("scull_quantum", 24), ("scull_qset", 3)), 24, 3, False, " ",
    ),
    Kind(
        "scullc", "K", "quantum", "QUANTUM", 4000, 500,
        (("scullc_quantum", 24), ("scullc_qset", 3)), 24, 3, True, "",
    ),
    Kind(
        "scullp", "K", "order", "ORDER", 0, 500,
        (("scullp_qset", 3),), 4096, 3, True, "",
    ),
    Kind(
        "scullv", "K", "order", "ORDER", 4, 500,
        (("scullv_qset", 3), ("scullv_order", 1)), 8192, 3, True, "",
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    from cpus import ship

    ship.register_by_value("tests")
    with Machine(cpus=2) as booted:
        for kind in KINDS:
            booted.insmod(kind.name, **dict(kind.parameters))
        yield booted
        for kind in KINDS:
            assert not booted.rmmod(kind.name)
        booted.check()


def perform(path: str, operations: list[tuple]) -> list[Any]:
    """Empty a device, then read and write it as told; a task."""
    with smpmm.open(path, "wb", buffering=0):
        pass
    results: list[Any] = []
    with smpmm.open(path, "r+b", buffering=0) as device:
        for name, position, what in operations:
            device.seek(position)
            results.append(device.write(what) if name == "write" else device.read(what))
    return results


class Model:
    """A scull device as the book describes it: quanta come into being when written to."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.size = 0
        self.quanta: dict[int, list[int | None]] = {}  # None: a byte that nobody wrote

    def room(self, position: int) -> tuple[int, int, int]:
        index, offset = divmod(position, self.kind.quantum)
        return index, offset, self.kind.quantum - offset

    def write(self, position: int, data: bytes) -> int:
        index, offset, room = self.room(position)
        count = min(len(data), room)
        fresh: list[int | None] = [0 if self.kind.is_cleared else None]
        quantum = self.quanta.setdefault(index, fresh * self.kind.quantum)
        quantum[offset : offset + count] = data[:count]
        self.size = max(self.size, position + count)
        return count

    def read(self, position: int, count: int) -> list[int | None]:
        index, offset, room = self.room(position)
        if position >= self.size or index not in self.quanta:
            return []
        return self.quanta[index][offset : offset + min(count, room, self.size - position)]


def around_boundaries(kind: Kind) -> st.SearchStrategy[int]:
    """Positions near the ends of quanta and items."""
    ends = st.integers(0, 2 * kind.qset + 1).map(lambda n: n * kind.quantum)
    return st.builds(lambda end, by: max(0, end + by), ends, st.integers(-2, 2))


def operations(kind: Kind) -> st.SearchStrategy[list[tuple]]:
    position = around_boundaries(kind)
    write = st.tuples(st.just("write"), position, st.binary(min_size=1, max_size=30))
    read = st.tuples(st.just("read"), position, st.integers(1, 2 * kind.quantum))
    return st.lists(st.one_of(write, read), min_size=1, max_size=12)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_device_is_its_model_at_every_boundary(machine: Machine, kind: Kind) -> None:
    @settings(max_examples=40, deadline=None, database=None, derandomize=True)
    @given(operations(kind))
    def compare(todo: list[tuple]) -> None:
        model = Model(kind)
        results = machine.run(perform, f"/dev/{kind.name}1", todo)
        for (name, position, what), result in zip(todo, results, strict=True):
            if name == "write":
                assert result == model.write(position, what)
                continue
            wanted = model.read(position, what)
            assert len(result) == len(wanted)
            pairs = zip(result, wanted, strict=True)
            assert all(want in (None, got) for got, want in pairs)

    compare()


def command(kind: Kind, name: str) -> int:
    return getattr(ioctl, f"{kind.name.upper()}_IOC{name}")


@pytest.mark.parametrize("what", ["unit", "qset"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_six_ioctls_of_an_integer(machine: Machine, kind: Kind, what: str) -> None:
    name = kind.unit if what == "unit" else "QSET"
    default = kind.default if what == "unit" else kind.default_qset
    value = array.array("i", [5])
    with machine.open(f"/dev/{kind.name}2", "r+b", buffering=0) as device:
        before = device.ioctl(command(kind, f"Q{name}"))
        assert device.ioctl(command(kind, f"S{name}"), value) == 0
        assert device.ioctl(command(kind, f"Q{name}")) == 5
        assert device.ioctl(command(kind, f"T{name}"), 6) == 0
        assert device.ioctl(command(kind, f"G{name}"), value) == 0
        assert value[0] == 6
        value[0] = 7
        assert device.ioctl(command(kind, f"X{name}"), value) == 0
        assert value[0] == 6
        assert device.ioctl(command(kind, f"H{name}"), 8) == 7
        for letter in ("S", "G", "X"):
            refused(device, command(kind, f"{letter}{name}"), 0, errno.EFAULT)
        refused(device, command(kind, f"T{name}"), -1, errno.EINVAL)
        assert device.ioctl(command(kind, f"Q{name}")) == 8
        other = "QSET" if what == "unit" else kind.unit
        kept = device.ioctl(command(kind, f"Q{other}"))
        assert device.ioctl(command(kind, "RESET")) == 0
        # scullc cannot go back to quanta bigger than the objects of its cache.
        if (kind.name, name) != ("scullc", "QUANTUM"):
            assert device.ioctl(command(kind, f"Q{name}")) == default
        device.ioctl(command(kind, f"T{name}"), before)
        device.ioctl(command(kind, f"T{other}"), kept)


def refused(device: Any, number: int, argument: Any, error: int) -> None:
    with pytest.raises(OSError) as caught:
        device.ioctl(number, argument)
    assert caught.value.errno == error


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_commands_of_others_and_devices_that_are_none(machine: Machine, kind: Kind) -> None:
    with machine.open(f"/dev/{kind.name}0", "rb", buffering=0) as device:
        refused(device, ioctl._IO("x", 1), 0, errno.ENOTTY)
        refused(device, ioctl._IO(kind.letter, 16), 0, errno.ENOTTY)
        # The right number, and another direction.
        refused(device, ioctl._IOR(kind.letter, 0, 4), 0, errno.ENOTTY)
    majors = re.findall(rf"^ *(\d+) {kind.name}$", machine.proc("devices"), re.M)
    machine.mknod(f"/dev/{kind.name}_far", int(majors[0]), 200)
    with pytest.raises(OSError) as caught:
        machine.open(f"/dev/{kind.name}_far", "rb")
    assert caught.value.errno == errno.ENODEV


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_new_geometry_holds_from_the_next_trim_on(machine: Machine, kind: Kind) -> None:
    path = f"/dev/{kind.name}3"
    with machine.open(path, "wb", buffering=0) as device:
        assert device.write(bytes(3 * kind.quantum)) == kind.quantum
        device.ioctl(command(kind, "TQSET"), 2)
    text = machine.proc(f"{kind.name}mem")
    with machine.open(path, "r+b", buffering=0) as device:  # does not trim
        device.seek(kind.quantum)
        assert device.write(b"x") == 1
    assert "Device 3: qset 3" in text
    with machine.open(path, "wb", buffering=0) as device:
        device.ioctl(command(kind, "TQSET"), kind.qset)
    assert "Device 3: qset 2" in machine.proc(f"{kind.name}mem")
    with machine.open(path, "wb"):
        pass


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_proc_text_to_the_column(machine: Machine, kind: Kind) -> None:
    size = (kind.qset + 1) * kind.quantum + 5
    with machine.open(f"/dev/{kind.name}0", "wb") as device:
        device.write(bytes(size))
    text = machine.proc(f"{kind.name}mem")
    first = text.partition("\nDevice 1:")[0]
    shown = (kind.quantum >> 13) if kind.unit == "ORDER" else kind.quantum
    pointer = "[0-9a-f]{8}"
    item = f"  item at {pointer}, qset at {pointer}\n"
    # The quanta of the last item only: two of them, the first with index 0.
    wanted = (
        f"\nDevice 0: qset {kind.qset}, {kind.word} {shown}, sz {size}\n{item}{item}"
        f"       0:{kind.blank}{pointer}\n       1:{kind.blank}{pointer}\n"
    )
    assert re.fullmatch(wanted, first), first
    assert [int(n) for n in re.findall(r"^Device (\d+):", text, re.M)] == [0, 1, 2, 3]
    with machine.open(f"/dev/{kind.name}0", "wb"):
        pass


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_no_memory_is_enomem_and_leaves_the_device_usable(
    machine: Machine, kind: Kind
) -> None:
    always = {"probability": 100, "interval": 1, "times": -1, "space": 0}
    # scullp's quanta are pages; its arrays are of kmalloc, as everybody's.
    machine.fault_inject("failslab", **always, ignore_gfp_wait=0)
    try:
        with machine.open(f"/dev/{kind.name}1", "wb", buffering=0) as device:
            with pytest.raises(OSError) as caught:
                device.write(b"no room")
            assert caught.value.errno == errno.ENOMEM
    finally:
        machine.fault_inject("failslab", probability=0, times=1, ignore_gfp_wait=1)
    with machine.open(f"/dev/{kind.name}1", "wb") as device:
        device.write(b"room again")
    with machine.open(f"/dev/{kind.name}1", "rb") as device:
        assert device.read() == b"room again"
    with machine.open(f"/dev/{kind.name}1", "wb"):
        pass


def use_devices(machine: Machine, host: int) -> list[str]:
    """Use devices of all kinds from several threads of this process; returns what failed."""
    wrong: list[str] = []

    def work(thread: int) -> None:
        number = 2 * host + thread
        for kind in KINDS:
            data = bytes([16 * host + thread]) * (5 * kind.quantum + 7)
            with machine.open(f"/dev/{kind.name}{number}", "wb") as device:
                device.write(data)
            with machine.open(f"/dev/{kind.name}{number}", "rb") as device:
                if device.read() != data:
                    wrong.append(f"{kind.name}{number}")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(NR_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


def test_processes_and_threads_have_the_devices_open_at_once(machine: Machine) -> None:
    pids = []
    for host in range(NR_HOSTS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # fork of a threaded process
            pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = len(use_devices(machine, host))
            finally:
                os._exit(code)
        pids.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0, 0]


def read_records(nr_records: int) -> list[bytes]:
    """Read records of the interrupt device; a task."""
    with smpmm.open("/dev/short0", "rb", buffering=0) as device:
        return [device.read(256) for _ in range(nr_records)]


def short_counts(machine: Machine) -> dict[str, int]:
    return {
        name: int(count)
        for name, count in re.findall(r"^(\w+) (\d+)$", machine.proc("shortmem"), re.M)
    }


def test_what_the_interrupt_device_receives_is_delivered_counted_and_freed() -> None:
    with Machine(cpus=2, seed=11) as machine:
        machine.insmod("short", short_backlog=50)
        machine.start_synthetic(SHORT_IRQ, 2000)
        tasks = [machine.spawn(read_records, NR_RECORDS, cpu=cpu) for cpu in (0, 1)]
        records = [one for task in tasks for one in task.result(RESULT_S)]
        machine.stop_synthetic(SHORT_IRQ)
        numbers = [int(record[:8]) for record in records]
        assert len(set(numbers)) == len(numbers) == 2 * NR_RECORDS
        for number, record in zip(numbers, records, strict=True):
            assert record[16:] == bytes([number & 0xFF]) * 240
        counts = short_counts(machine)
        lost = counts["dropped"] + counts["overrun"]
        assert counts["delivered"] == 2 * NR_RECORDS
        assert counts["received"] >= counts["delivered"] + lost
        assert not machine.rmmod("short")
        machine.check()


DRIVER = """
from smpmm.kernel import *

{state}

def read(filp, buf, count, f_pos):
{body}
    return 0

@module_init
def init():
    return 0
"""


@pytest.mark.parametrize(
    ("state", "body", "said"),
    [
        ("opens = 0", "    global opens\n    opens = 1", "rebinds the global 'opens'"),
        ("seen = []", "    seen.append(count)", "refers to the list 'seen', a global"),
        ("seen = {}", "    seen[count] = 1", "refers to the dict 'seen', a global"),
    ],
)
def test_insmod_refuses_state_in_python_by_name_and_line(
    machine: Machine, tmp_path: Any, state: str, body: str, said: str
) -> None:
    path = tmp_path / "stateful.py"
    path.write_text(DRIVER.format(state=state, body=body))
    with pytest.raises(frozen.FrozenStateError) as caught:
        machine.insmod(str(path))
    text = str(caught.value)
    lines = path.read_text().splitlines()
    line = 1 + lines.index(body.splitlines()[-1])
    assert f"stateful.py:{line}: read() {said}" in text
    assert "what changes lives in RAM" in text
    assert "stateful" not in machine.proc("modules")


def test_a_parameter_is_a_word_in_ram_and_no_state_in_python(
    machine: Machine, tmp_path: Any
) -> None:
    path = tmp_path / "counted.py"
    state = 'opens = 0\nMODULE_PARM("opens", "i")'
    path.write_text(DRIVER.format(state=state, body="    global opens\n    opens += 1"))
    machine.insmod(str(path))
    assert not machine.rmmod("counted")
