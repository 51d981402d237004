"""After a death: what each layer does about it, on a CPU that lives."""

from cpus import event_cy, ship


def run(names: tuple[str, ...], slot: int, kind: int, cpu: int) -> None:
    """Run the registered recovery functions, each "module:function", for a dead process.

    A kernel task on a live CPU; may sleep. One that fails does not keep the others from running.
    """
    for name in names:
        try:
            ship.named(name)(slot, kind, cpu)
        except Exception as error:
            event_cy.log(f"smpmm: recovery {name} after slot {slot}: {error!r}", 2)
