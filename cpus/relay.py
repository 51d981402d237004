"""The monitor's switchboard: clients on one side, CPUs on the other, requests between them.

Clients are host processes of the same user: the one that started the machine, on a socket
pair, and others, on the socket in the run directory. Payloads are passed on unread.
"""

import os
import pickle
import selectors
import signal as host_signal
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from cpus import channel, deaths, event_cy, host_cy, monitor, percpu_cy, segment_cy, task_cy
from cpus.channel import FrameReader, Message, Outbox
from cpus.monitor import Child, Monitor

LAST_LOG_CHARS: Final = 100_000  # of the log, told with the end: fits into a socket's buffer
FIRST_TASK_PID: Final = 1001  # tasks of clients are numbered in the order of spawning
FIRST_CALL_PID: Final = 1 << 20  # system calls from outside have numbers of their own

DEFERRED: Final = object()  # a query whose answer comes by `finish_query`

# What a client may ask of the monitor itself: function(relay, args) -> answer.
queries: dict[str, Callable[["Relay", Any], Any]] = {}


def register_query(name: str, function: Callable[["Relay", Any], Any]) -> None:
    """Answer a client's query `name` in the monitor, also when no CPU answers."""
    queries[name] = function


@dataclass
class Client:
    """A host process that uses the machine."""

    socket: socket.socket
    reader: FrameReader
    outbox: Outbox
    number: int
    first: bool = False
    gone: bool = False
    numbers: dict[int, int] = field(default_factory=dict)  # its request number -> ours


@dataclass
class Request:
    """A call that a CPU has yet to answer."""

    number: int  # ours
    client: Client | None  # None: the monitor's own job
    client_number: int
    cpu: int
    pid: int
    is_syscall: bool = False
    message: bytes = b""  # of a job: to be sent again if its CPU dies
    done: Callable[[Message], None] | None = None


class Relay:
    def __init__(self, machine: Monitor, control: socket.socket, directory: str):
        self.machine = machine
        self.directory = directory
        self.clients: list[Client] = []
        self.requests: dict[int, Request] = {}
        self.facts: dict[str, Any] = {}
        self.segment_fd = -1
        self.nr_requests = 0
        self._asking: tuple[Client, int]
        self._deferred: dict[int, tuple[Client, int]] = {}
        self._nr_deferred = 0
        self._settling: list[tuple[int, int]] = []  # deferred queries: number, deaths
        self._next_pid = FIRST_TASK_PID
        self._next_call_pid = FIRST_CALL_PID
        self._next_client = channel.FIRST_CLIENT
        self._listener: socket.socket | None = None
        machine.relay = self
        self._add_client(control, first=True)

    # Clients

    def listen(self) -> None:
        """Open the run directory's socket, for other processes of the same user."""
        listener = self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.setblocking(False)
        listener.bind(os.path.join(self.directory, "socket"))
        listener.listen(64)
        self.machine.selector.register(
            listener, selectors.EVENT_READ, lambda events: self._accept(listener)
        )

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        _, uid, _ = struct.unpack("iII", credentials)
        if uid != os.getuid():
            connection.close()
            return
        client = self._add_client(connection)
        client.outbox.put(self._greeting(client))

    def greet(self, layout: dict[str, Any], config: Any, **more: Any) -> None:
        """Tell the first client that the machine runs, and what it needs to know of it."""
        self.facts = more | {
            "monitor_pid": os.getpid(),
            "directory": self.directory,
            "nr_cpus": self.machine.nr_cpus,
            "config": config,
            "layout": layout,
        }
        self.to_client(self.clients[0], self._greeting(self.clients[0]))

    def _greeting(self, client: Client) -> bytes:
        facts = self.facts | {"client": client.number}
        return channel.pack(channel.READY, pickle.dumps(facts))

    def _add_client(self, connection: socket.socket, *, first: bool = False) -> Client:
        fd = connection.fileno()
        client = Client(connection, FrameReader(fd), Outbox(fd), self._next_client, first)
        self._next_client += 1
        self.clients.append(client)
        self.machine.selector.register(
            fd, selectors.EVENT_READ, lambda events: self._client_ready(client, events)
        )
        return client

    def _client_ready(self, client: Client, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            client.outbox.flush()
            self._watch(client)
        if events & selectors.EVENT_READ:
            alive = client.reader.read()
            for message in client.reader.messages():
                self._from_client(client, message)
            if not alive and client in self.clients:
                self._client_gone(client)

    def _watch(self, client: Client) -> None:
        """Wait for a client's socket to take more, exactly while there is more."""
        key = self.machine.selector.get_key(client.reader.fd)
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.outbox else 0)
        if key.events != events:
            self.machine.selector.modify(key.fd, events, key.data)

    def _client_gone(self, client: Client) -> None:
        """Forget a client, as a process that was killed.

        Its system calls end and its files are closed; the tasks that it began go on, and
        nobody gets their results.
        """
        self.machine.selector.unregister(client.reader.fd)
        client.socket.close()
        self.clients.remove(client)
        client.gone = True
        if client.first:
            self.machine.end("its control socket was closed")
            return
        for number in client.numbers.values():
            if self.requests[number].is_syscall:
                self._send_signal(self.requests[number], channel.SIGNAL_KILL)
        self._exit_client(client)

    def _exit_client(self, client: Client) -> None:
        """Have a CPU give back what a client had, once its last system call has ended."""
        if any(self.requests[number].is_syscall for number in client.numbers.values()):
            return
        names = tuple(monitor.client_exit_names)
        self.job(pickle.dumps(("cpus.recovery:client_exit", (names, client.number), {})))

    def to_client(self, client: Client, message: bytes) -> None:
        if client in self.clients:
            client.outbox.put(message)
            self._watch(client)

    # Requests

    def _from_client(self, client: Client, message: Message) -> None:
        if message.kind == channel.CALL:
            self._call(client, message)
        elif message.kind == channel.SIGNAL:
            self._signal(client, message)
        elif message.kind == channel.QUERY:
            self._query(client, message)
        elif message.kind == channel.CLOSE:
            self.machine.end("closed")

    def least_loaded(self) -> int | None:
        """Return the live CPU with the fewest requests, the first of several."""
        cpus = self.machine.cpus
        return min(cpus, key=lambda n: (len(cpus[n].requests), n)) if cpus else None

    def _call(self, client: Client, message: Message) -> None:
        cpu = message.cpu if message.cpu != channel.ANY_CPU else self.least_loaded()
        if cpu is None or cpu not in self.machine.cpus:
            died = channel.pack(
                channel.DIED, cpu=-1 if cpu is None else cpu, number=message.number
            )
            self.to_client(client, died)
            return
        if message.flags & channel.FLAG_SYSCALL:
            pid, self._next_call_pid = self._next_call_pid, self._next_call_pid + 1
        else:
            pid, self._next_pid = self._next_pid, self._next_pid + 1
        request = self._new_request(client, message.number, cpu, pid)
        request.is_syscall = bool(message.flags & channel.FLAG_SYSCALL)
        task = channel.pack(
            channel.TASK,
            message.payload,
            flags=message.flags,
            pid=pid,
            uid=message.uid,
            number=request.number,
        )
        self.machine.send(self.machine.cpus[cpu], task)
        placed = channel.pack(channel.PLACED, cpu=cpu, pid=pid, number=message.number)
        self.to_client(client, placed)

    def _new_request(self, client: Client | None, number: int, cpu: int, pid: int) -> Request:
        self.nr_requests += 1
        request = Request(self.nr_requests, client, number, cpu, pid)
        self.requests[request.number] = request
        self.machine.cpus[cpu].requests.add(request.number)
        if client is not None:
            client.numbers[number] = request.number
        return request

    def job(
        self,
        payload: bytes,
        cpu: int | None = None,
        done: Callable[[Message], None] | None = None,
        pid: int = 0,
    ) -> bool:
        """Run a call as the kernel's own task; on another CPU when its CPU dies.

        False when there is no live CPU. `done` is called with the answer.
        """
        if cpu not in self.machine.cpus:
            cpu = self.least_loaded()
        if cpu is None:
            return False
        request = self._new_request(None, 0, cpu, pid)
        request.done = done
        request.message = channel.pack(channel.JOB, payload, pid=pid, number=request.number)
        self.machine.send(self.machine.cpus[cpu], request.message)
        return True

    def _signal(self, client: Client, message: Message) -> None:
        request = self.requests.get(client.numbers.get(message.number, 0))
        if request is not None:
            self._send_signal(request, message.flags)

    def _send_signal(self, request: Request, which: int) -> None:
        if (child := self.machine.cpus.get(request.cpu)) is not None:
            self.machine.send(
                child, channel.pack(channel.SIGNAL, flags=which, number=request.number)
            )
            os.kill(child.pid, host_signal.SIGUSR1)  # also a task that calls no kernel

    def _query(self, client: Client, message: Message) -> None:
        name, args = pickle.loads(message.payload)
        self._asking = (client, message.number)
        try:
            answer, failed = queries[name](self, args), False
        except Exception as error:
            answer, failed = f"{name}: {type(error).__name__}: {error}", True
        if answer is not DEFERRED:
            self._reply(client, message.number, answer, failed)

    def _reply(self, client: Client, number: int, answer: Any, failed: bool) -> None:
        data = pickle.dumps(answer)
        self.to_client(client, channel.pack(channel.REPLY, data, flags=failed, number=number))

    def defer_query(self) -> int:
        """Return a number by which the query that is being served is answered later."""
        self._nr_deferred += 1
        self._deferred[self._nr_deferred] = self._asking
        return self._nr_deferred

    def finish_query(self, number: int, answer: Any, failed: bool) -> None:
        """Answer a query that was deferred."""
        self._reply(*self._deferred.pop(number), answer, failed)

    def from_child(self, child: Child, message: Message) -> None:
        """Pass on what a process of the machine sends."""
        request = self.requests.get(message.number)
        if message.kind == channel.OUTPUT:
            client = request.client if request is not None else None
            self.to_client(
                client or self.clients[0],
                channel.pack(channel.OUTPUT, message.payload, flags=message.flags),
            )
        elif request is None:
            return
        elif message.kind in (channel.RESULT, channel.JOB_DONE):
            self._forget(request)
            if request.client is not None:
                self.to_client(
                    request.client,
                    channel.pack(
                        channel.RESULT, message.payload, number=request.client_number
                    ),
                )
            elif request.done is not None:
                request.done(message)

    def _forget(self, request: Request) -> None:
        del self.requests[request.number]
        if request.cpu in self.machine.cpus:
            self.machine.cpus[request.cpu].requests.discard(request.number)
        if request.client is not None:
            request.client.numbers.pop(request.client_number, None)
            if request.client.gone and request.is_syscall:
                self._exit_client(request.client)

    # Deaths and the end

    def died(self, child: Child) -> None:
        """Answer the requests of a dead CPU, and have a live one repair what it left."""
        how = child.death.how.encode() if child.death else b""
        for number in sorted(child.requests):
            request = self.requests.get(number)
            if request is None:
                continue
            self._forget(request)
            if request.client is not None:
                self.to_client(
                    request.client,
                    channel.pack(
                        channel.DIED, how, cpu=child.cpu, number=request.client_number
                    ),
                )
            else:
                payload = request.message[channel.ENVELOPE.size :]
                if not self.job(payload, None, request.done, request.pid):
                    event_cy.log("smpmm: no CPU is left", 0)
        self._recover(child)

    def _recover(self, child: Child) -> None:
        """Have a live CPU run what the layers registered, then let the slot be used again."""
        payload = pickle.dumps(
            (
                "cpus.recovery:run",
                (
                    tuple(monitor.recovery_names),
                    tuple(monitor.gate_recovery_names),
                    child.slot,
                    child.kind,
                    child.cpu,
                    child.gate_cpu,
                ),
                {},
            )
        )
        if not self.job(payload, None, lambda message: self._recovered(child)):
            self._recovered(child)

    def _recovered(self, child: Child) -> None:
        # A dead CPU's slot stays its own: what it had allocated names it.
        if child.kind != monitor.KIND_CPU:
            host_cy.release_slot(child.slot)
        if child.death is not None:
            child.death.recovered_ns = segment_cy.uptime_ns()
        for query, number in list(self._settling):
            if deaths.settled(number):
                self._settling.remove((query, number))
                self.finish_query(query, list(deaths.deaths), False)

    def wait_settled(self, number: int) -> Any:
        """Answer a query with the deaths, once `number` have died and all is put right."""
        if deaths.settled(number):
            return list(deaths.deaths)
        self._settling.append((self.defer_query(), number))
        return DEFERRED

    def cpu_facts(self) -> list[dict[str, Any]]:
        """Return what a user may know of each CPU: pid, state, the pid of its current task."""
        facts = []
        for number in range(self.machine.nr_cpus):
            info = percpu_cy.cpu_info(number)
            child, at = self.machine.cpus.get(number), info["current"]
            state = "dead" if child is None else "halted" if info["halted"] else "running"
            facts.append(
                {
                    "pid": child.pid if child else None,
                    "state": state,
                    "current": task_cy.task_words(at)[0] if child and at else None,
                }
            )
        return facts

    def say_end(self, reason: str) -> None:
        """Tell every client that the machine ends, why, and what its log said last."""
        payload = pickle.dumps((reason, event_cy.dmesg()[-LAST_LOG_CHARS:]))
        for client in self.clients:
            client.outbox.put(channel.pack(channel.NOTICE, payload))

    def close(self) -> None:
        """Leave nothing behind in the host's file system."""
        if self._listener is not None:
            self._listener.close()
        for name in ("socket",):
            try:
                os.unlink(os.path.join(self.directory, name))
            except FileNotFoundError:
                pass
        try:
            os.rmdir(self.directory)
        except OSError:
            pass


def start_kthread(
    machine: Monitor, child: Child | None, thread: tuple[int, bytes, int | None]
) -> None:
    """Start a kernel thread for a process of the machine: (pid, call, cpu or None)."""
    pid, payload, cpu = thread
    if not machine.relay.job(payload, cpu, pid=pid):
        raise RuntimeError("no CPU is alive")


monitor.register_request("kthread", start_kthread)
register_query("deaths", lambda relay, number: relay.wait_settled(number))
register_query("cpus", lambda relay, args: relay.cpu_facts())
