"""Reports read from the segment by no CPU: what is left to ask when no CPU answers.

What takes no lock is read by the monitor itself. A /proc file may need locks that somebody
holds for ever, so a process of its own reads it, and the monitor goes on.
"""

import sys
from typing import Any, Final

from cpus import event_cy, monitor, relay, ship, worker

NOTE: Final = "no CPU answers: read from outside"


def dmesg(switchboard: "relay.Relay", args: Any) -> str:
    return f"[{NOTE}]\n{event_cy.dmesg()}"


def lock_stat(switchboard: "relay.Relay", args: Any) -> Any:
    from cpus import lockstat  # a report is rare, and every CPU has what this process imports

    return lockstat.gather(NOTE)


def proc(switchboard: "relay.Relay", args: Any) -> Any:
    """Have a process of its own read the file; it answers the query."""
    number = switchboard.defer_query()
    machine = switchboard.machine
    machine.fork("outside", monitor.KIND_DEVICE, "outside", 0, number, args[0])
    return relay.DEFERRED


def reader_main(slot: int, number: int, name: str) -> None:
    """Read a /proc file and send it to the monitor: the life of the reader."""
    worker.begin()
    try:
        text, failed = f"[{NOTE}]\n{ship.named('smpmm.proc.registry:read')(name)}", False
    except Exception as error:
        text, failed = f"{name}: {type(error).__name__}: {error}", True
    worker.request_monitor("outside", (number, text, failed))
    sys.stdout.flush()


def finish(machine: Any, child: Any, answer: tuple[int, str, bool]) -> None:
    """Pass on what a reader read."""
    machine.relay.finish_query(*answer)


relay.register_query("dmesg", dmesg)
relay.register_query("lock_stat", lock_stat)
relay.register_query("proc", proc)
monitor.register_child_main("outside", reader_main)
monitor.register_request("outside", finish)
