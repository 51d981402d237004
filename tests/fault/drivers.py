"""What the sweeps do to a driver, and what must hold afterwards."""

import errno
from collections.abc import Callable
from dataclasses import astuple

import smpmm

OPEN_FOR_BOTH = "r+b"


def prepare() -> None:
    """Let GFP_KERNEL and single pages fail as well; nothing is armed."""
    from smpmm import fault

    fault.fault_inject("failslab", ignore_gfp_wait=0, verbose=0)
    fault.fault_inject(
        "fail_page_alloc", ignore_gfp_wait=0, ignore_gfp_highmem=0, min_order=0, verbose=0
    )


def arm(nth: int) -> None:
    from smpmm import fault_cy
    from smpmm.kernel import current

    fault_cy.set_fail_nth(current().pid, nth)


def disarm() -> int:
    """Cancel fail-nth; returns how far it was: 0 when the fault was injected."""
    from smpmm import fault_cy
    from smpmm.kernel import current

    left = fault_cy.fail_nth_left(current().pid)
    fault_cy.set_fail_nth(current().pid, 0)
    return left


def with_fault(nth: int, function: Callable, *args: object) -> tuple[bool, object]:
    """Call with the nth eligible allocation failing: (injected, result or errno name)."""
    arm(nth)
    try:
        result: object = function(*args)
    except MemoryError:
        result = "ENOMEM"
    except OSError as error:
        result = errno.errorcode.get(error.errno or 0, str(error))
    finally:
        left = disarm()
    return left == 0, result


def use(path: str, size: int) -> str:
    """Open for writing (which trims), write, read back, close: what the task saw."""
    data = bytes(n % 251 for n in range(size))
    with smpmm.open(path, "wb", 0) as device:
        if device.write_whole(data) != size:
            return "short"
    with smpmm.open(path, OPEN_FOR_BOTH, 0) as device:
        found = device.read_whole(size)
    return "same" if found == data else "different"


def use_with_fault(path: str, size: int, nth: int) -> tuple[bool, object]:
    prepare()
    return with_fault(nth, use, path, size)


def insmod_with_fault(name: str, nth: int) -> tuple[bool, object]:
    """Load a bundled module with the nth eligible allocation of its init failing."""
    from smpmm import module, objfile

    image = objfile.compile_source(*objfile.find_source(name), {})
    prepare()
    return with_fault(nth, module.insmod, *astuple(image))


def rmmod_with_fault(name: str, nth: int) -> tuple[bool, object]:
    from smpmm import module

    prepare()
    injected, report = with_fault(nth, module.rmmod, name)
    return injected, str(report) if report else ""


def read_with_fault(path: str, size: int, nth: int) -> tuple[bool, object]:
    """Read a device behind what was written: scull makes list items even then."""
    prepare()

    def read() -> int:
        with smpmm.open(path, "rb", 0) as device:
            device.seek(size)
            return len(device.read_whole(16))

    return with_fault(nth, read)


def in_use() -> dict[str, int]:
    """Return what is allocated, by kind and call site: a leak shows as a difference."""
    from cpus import callsite_cy
    from smpmm import pages_by_site_cy
    from smpmm.mm import slab_state_cy, vm_state_cy

    found: dict[str, int] = {}
    for area in vm_state_cy.all_areas():
        where = f"area at {callsite_cy.site_text(area['caller'])}"
        found[where] = found.get(where, 0) + 1
    for one in slab_state_cy.allocated_objects():
        where = f"{one['cache']} at {callsite_cy.site_text(one['site'])}"
        found[where] = found.get(where, 0) + 1
    for (site, order), count in pages_by_site_cy.allocated_blocks().items():
        found[f"order {order} at {callsite_cy.site_text(site)}"] = count
    return found


def settle() -> None:
    """Let a tick pass, so that what an interrupt has begun is done."""
    from smpmm.kernel import TASK_INTERRUPTIBLE, schedule_timeout, set_current_state

    set_current_state(TASK_INTERRUPTIBLE)
    schedule_timeout(1)
