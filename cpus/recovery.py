"""After a death, or when a client has gone: what each layer does, on a CPU that lives."""

from typing import Final

from cpus import callsite_cy, event_cy, exit_cy, lockstat_cy, monitor, ship

EVENT_DIED: Final = 14


def run(
    names: tuple[str, ...],
    gate_names: tuple[str, ...],
    slot: int,
    kind: int,
    cpu: int,
    gate_cpu: int,
) -> None:
    """Run the registered recovery functions, each "module:function", for a dead process.

    `gate_names` first, if it had interrupted `gate_cpu`, which lives: with (slot, gate_cpu);
    the others with (slot, kind, cpu). A kernel task on a live CPU; may sleep. One that fails
    does not keep the others from running.
    """
    event_cy.event(EVENT_DIED, slot, kind, cpu, 0)
    calls: list[tuple[str, tuple[int, ...]]]
    calls = [(name, (slot, gate_cpu)) for name in gate_names if gate_cpu >= 0]
    calls += [(name, (slot, kind, cpu)) for name in names]
    for name, arguments in calls:
        try:
            ship.named(name)(*arguments)
        except Exception as error:
            event_cy.log(f"smpmm: recovery {name} after slot {slot}: {error!r}", 2)


def client_exit(names: tuple[str, ...], client: int) -> None:
    """Run what the layers registered for a client that has gone; a kernel task, may sleep."""
    for name in names:
        try:
            ship.named(name)(client)
        except Exception as error:
            event_cy.log(f"smpmm: {name} after client {client:#x} has gone: {error!r}", 2)


def tasks(slot: int, kind: int, cpu: int) -> None:
    """Bury the tasks of a dead CPU, name what they held, and wake who may have missed it."""
    if kind == monitor.KIND_CPU:
        names = lockstat_cy.class_names()
        for pid, name, held in exit_cy.bury_tasks(cpu):
            for _, class_, site in held:
                lock = names[class_][0] if class_ < len(names) else "?"
                event_cy.log(
                    f"smpmm: task {name}/{pid} died with CPU {cpu} holding {lock}, "
                    f"taken at {callsite_cy.site_text(site)}: given up",
                    1,
                )
    exit_cy.recover_queues()
