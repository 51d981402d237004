"""The machine as its user sees it: boot, tasks, files, reports, power-off."""

from __future__ import annotations

import os
import pickle
import shutil
import socket
import subprocess
import sys
import weakref
from collections.abc import Callable
from typing import Any

from cpus import channel, ship
from cpus.client import Connection, Task
from cpus.errors import CpuDied, MachineError
from smpmm import frozen
from smpmm.config import Config, check_host, make_config
from smpmm.machine_calls import MachineCalls, check_number, check_uid

BOOT_TIMEOUT_S = 30
CLOSE_TIMEOUT_S = 5
SETTLED_S = 30  # for what the dead left to be put right
ANSWER_S = 5  # for a report from a CPU; then the segment is read from outside
# The collector waits until the modules are loaded: what a boot makes, stays.
START = """import gc; gc.disable()
import sys; sys.path[:] = {path!r}; sys.prefix, sys.exec_prefix = {prefix!r}
from cpus import late; late.install()
from smpmm.boot import main; main({fd}, {pid}, {hooked!r})"""
HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Cpu:
    """A CPU of a machine, as the user sees it."""

    def __init__(self, machine: Machine, number: int):
        self._machine = machine
        self.number = number

    def __repr__(self) -> str:
        return f"<Cpu {self.number} {self.state}>"

    @property
    def pid(self) -> int | None:
        """The host's number of its process; None when it is dead."""
        return self._machine._cpu_facts()[self.number]["pid"]

    @property
    def state(self) -> str:
        """One of offline, halted, running, dead."""
        return self._machine._cpu_facts()[self.number]["state"]

    @property
    def current(self) -> int | None:
        """The pid of the task that runs on it; None when it is idle."""
        return self._machine._cpu_facts()[self.number]["current"]


class Machine(MachineCalls):
    """A machine of `cpus` processors, booted by the constructor; a context manager.

    Arguments are those of `smpmm.config.make_config`. ConfigError for a bad one, MachineError
    when the host has no room or the boot fails.
    """

    _ram: Any = None  # its RAM as a file, once something of it is mapped

    def __init__(self, *args: Any, **kwargs: Any):
        self.config: Config = make_config(*args, **kwargs)
        check_host(self.config)
        ours, theirs = socket.socketpair()
        try:
            self._process = start_monitor(theirs)
        finally:
            theirs.close()
        self._connection = Connection(ours)
        self._connection.post(channel.pack(channel.CONFIG, pickle.dumps(self.config)))
        self._owner_pid = os.getpid()
        share_on_fork(self._connection)
        self._wait_for_boot()
        self.cpus = [Cpu(self, number) for number in range(self.config.cpus)]
        self._finalizer = weakref.finalize(
            self, power_off, self._connection, self._process, self._owner_pid
        )

    def _wait_for_boot(self) -> None:
        connection = self._connection
        connection.wait(
            lambda: connection.facts is not None or connection.failure is not None,
            BOOT_TIMEOUT_S,
        )
        if connection.facts is None:
            why = connection.failure or connection.ended or f"no answer in {BOOT_TIMEOUT_S} s"
            connection.close()
            end_monitor(self._process)
            raise MachineError(f"the machine did not boot: {why}")

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        config = self.config
        return f"<Machine {config.cpus} CPUs, {config.ram_bytes >> 20} MiB, {config.kernel}>"

    def __reduce__(self) -> tuple:
        connection = self._connection_here()
        connection.shared = True
        return attach, (connection.booted["directory"],)

    @property
    def boot_values(self) -> list[Any]:
        """What each function of `boot=` returned: the address of its memory, mostly."""
        return ship.loads(self._connection_here().booted["boot_values"])

    def close(self) -> None:
        """Power the machine off; every process of it has ended on return."""
        if os.getpid() == self._owner_pid:
            self._finalizer()

    def _connection_here(self) -> Connection:
        """Return this process's connection: a forked child makes one of its own."""
        if os.getpid() != self._connection.pid:
            self._connection = connect(self._connection.booted["directory"])
        return self._connection

    def _new_opener(self) -> int:
        connection = self._connection_here()
        return next(connection.opens) * (channel.CLIENT_MASK + 1) | connection.booted["client"]

    def _segment(self) -> tuple[int, int]:
        """Return a descriptor of the machine's RAM, opened once, and the bytes of a page."""
        booted = self._connection_here().booted
        if self._ram is None:
            path = f"/proc/{booted['monitor_pid']}/fd/{booted['segment_fd']}"
            self._ram = os.fdopen(os.open(path, os.O_RDWR | os.O_CLOEXEC), "rb+", 0)
        return self._ram.fileno(), 1 << self.config.profile.memory.page_shift

    # Tasks

    def spawn(
        self,
        function: Callable | str,
        /,
        *args: Any,
        cpu: int | None = None,
        uid: int = 0,
        **kwargs: Any,
    ) -> Task:
        """Start `function(*args, **kwargs)` as a task, on `cpu` or the least loaded one.

        `uid` is the user whose program the task is: 0, the superuser, has every capability,
        any other none, and capable() in the kernel code that the task enters says so.
        FrozenStateWarning for each place where it keeps state in Python, which other CPUs do
        not see.
        """
        frozen.warn_spawned(function)
        return self._call(function, args, kwargs, cpu, uid=uid)

    def run(
        self,
        function: Callable | str,
        /,
        *args: Any,
        cpu: int | None = None,
        uid: int = 0,
        **kwargs: Any,
    ) -> Any:
        """Run a task as `spawn` does and return its result; Ctrl-C interrupts it."""
        frozen.warn_spawned(function)
        task = self._call(function, args, kwargs, cpu, uid=uid)
        try:
            return task.result()
        except KeyboardInterrupt:
            task.interrupt()
            raise

    def _call(
        self,
        function: Callable | str,
        args: tuple,
        kwargs: dict,
        cpu: int | None = None,
        *,
        uid: int = 0,
        flags: int = 0,
    ) -> Task:
        check_uid(uid)
        if cpu is not None:
            check_number("cpu", cpu, self.config.cpus, "CPUs")
        payload = ship.dump_call(function, args, kwargs)
        connection = self._connection_here()
        number = channel.ANY_CPU if cpu is None else cpu
        pending = connection.request(channel.CALL, payload, cpu=number, uid=uid, flags=flags)
        name = function if isinstance(function, str) else getattr(function, "__name__", "task")
        return Task(connection, pending, name)

    def _syscall(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Run a kernel function, "module:name", as the superuser's system call."""
        return self._syscall_as(0, name, *args, **kwargs)

    def _syscall_as(self, uid: int, name: str, *args: Any, **kwargs: Any) -> Any:
        task = self._call(name, args, kwargs, uid=uid, flags=channel.FLAG_SYSCALL)
        try:
            return task.result()
        except KeyboardInterrupt:
            task.interrupt()
            raise

    def _report(self, name: str, outside: str, args: tuple = ()) -> Any:
        """Run "module:name" on a CPU; when none answers, have `outside` read the segment."""
        try:
            return self._call(name, args, {}, flags=channel.FLAG_SYSCALL).result(ANSWER_S)
        except (CpuDied, TimeoutError):
            return self._query(outside, args)

    def proc(self, name: str) -> str:
        """Return a /proc file, as text; read from outside when no CPU answers, and says so."""
        return self._report("smpmm.proc.registry:read", "proc", (name,))

    def dmesg(self) -> str:
        """Return the kernel log; read from outside when no CPU answers, and says so.

        Of a machine that has ended by itself, by a panic for one, the end of its log.
        """
        connection = self._connection_here()
        if connection.ended is not None and connection.last_log:
            return connection.last_log
        return self._report("cpus.event_cy:dmesg", "dmesg")

    def lock_stat(self) -> Any:
        """Return the statistics of every lock: a record, whose str() is a table.

        Read from outside when no CPU answers; its `note` says so.
        """
        return self._report("cpus.lockstat:gather", "lock_stat")

    @property
    def ended(self) -> str | None:
        """Why the machine has ended; None while it runs."""
        return self._connection.ended

    def check(self) -> None:
        """Walk every invariant of the machine's memory; CorruptionError says what broke.

        Waits until what dead processes left is put right. If the CPU that walks dies, another
        one begins anew.
        """
        while True:
            self._deaths()
            try:
                self._syscall("smpmm.invariants:check_machine")
                return
            except CpuDied:
                if all(cpu["pid"] is None for cpu in self._cpu_facts()):
                    raise

    def _deaths(self, number: int = 0) -> list[Any]:
        """Return a record of each death, once `number` have died and all is put right."""
        try:
            return self._query("deaths", number, SETTLED_S)
        except MachineError as error:
            if self.ended is not None:
                raise
            raise MachineError(f"{error}\n{self._query('sysrq')}") from None

    def _query(self, name: str, args: Any = None, timeout: float = 10) -> Any:
        """Ask the monitor itself."""
        return self._connection_here().query(name, args, timeout)

    def _cpu_facts(self) -> list[dict[str, Any]]:
        return self._query("cpus")


def start_monitor(control: socket.socket) -> subprocess.Popen:
    """Start the monitor: a fresh interpreter that finds modules where this one does."""
    fd = control.fileno()
    path = [entry or os.getcwd() for entry in sys.path]
    if HOME not in path:  # found by an import hook, which the monitor begins without
        path.append(HOME)
    prefix = (sys.prefix, sys.exec_prefix)
    hooked = hooked_modules(path)
    code = START.format(path=path, prefix=prefix, fd=fd, pid=os.getpid(), hooked=hooked)
    return subprocess.Popen(
        [sys.executable, "-S", "-c", code],
        pass_fds=(fd,),
        start_new_session=True,
        stdin=subprocess.DEVNULL,
    )


def hooked_modules(path: list[str]) -> dict[str, str]:
    """Return the files of top-level modules that were found elsewhere than on `path`.

    An import hook gave them, as that of an editable install does.
    """
    found = {}
    for name, module in list(sys.modules.items()):
        origin = getattr(getattr(module, "__spec__", None), "origin", None)
        if "." in name or name == "__main__" or not origin or not origin.endswith(".py"):
            continue
        place, file = os.path.split(origin)
        if file == "__init__.py":
            place, file = os.path.split(place)
            file += ".py"
        if place not in path or file != f"{name}.py":
            found[name] = origin
    return found


def share_on_fork(connection: Connection) -> None:
    """Note when this process forks: its children may then use the machine."""
    known = weakref.ref(connection)

    def forked() -> None:
        if (found := known()) is not None:
            found.shared = True

    os.register_at_fork(after_in_parent=forked)


def connect(directory: str) -> Connection:
    """Connect to a running machine by its run directory."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(os.path.join(directory, "socket"))
    except OSError as error:
        sock.close()
        raise MachineError(f"no machine answers in {directory}: {error}") from None
    connection = Connection(sock)
    connection.wait(lambda: connection.facts is not None, BOOT_TIMEOUT_S)
    if connection.facts is None:
        raise MachineError(f"no machine answers in {directory}: {connection.ended}")
    return connection


def attach(directory: str) -> Machine:
    """Return a handle of a running machine: what a pickled `Machine` becomes."""
    machine = Machine.__new__(Machine)
    machine._connection = connect(directory)
    machine.config = machine._connection.booted["config"]
    machine._owner_pid = -1
    machine.cpus = [Cpu(machine, number) for number in range(machine.config.cpus)]
    return machine


def power_off(connection: Connection, process: subprocess.Popen, owner_pid: int) -> None:
    """End a machine from the program that started it; its monitor has ended on return."""
    if os.getpid() != owner_pid:
        return
    if connection.ended is None:
        connection.post(channel.pack(channel.CLOSE))
    try:
        connection.wait(lambda: False, CLOSE_TIMEOUT_S)
    finally:
        connection.close()
        end_monitor(process)
        if connection.facts is not None and process.returncode != 0:
            shutil.rmtree(connection.facts["directory"], ignore_errors=True)


def end_monitor(process: subprocess.Popen) -> None:
    """Wait until a monitor whose connection was closed has put away what it made; kill it."""
    try:
        process.wait(CLOSE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
