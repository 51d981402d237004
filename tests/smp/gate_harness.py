"""Run the stress of the interrupt gate in processes of its own and print its counts as JSON.

    python gate_harness.py ROOT SECTIONS INTERRUPTS [CPUS [HANDLERS]]

ROOT is the folder whose packages are used: the tree itself, or a copy whose gate is a plain
store. CPUs run sections for as long as the handlers have interrupts left, and at least
SECTIONS each.
"""

import json
import mmap
import os
import signal
import sys
import traceback

KIND_CPU, KIND_HANDLER = 1, 2
ROUND = 20_000  # sections between two looks at whether the handlers are done
SIGNAL_EVERY = 0.002  # seconds between two host signals to a CPU


def make_segment(modules: list, cpus: int) -> mmap.mmap:
    from cpus import segment_cy

    regions: dict[str, int] = {}
    for module in modules:
        regions.update(module.regions())
    header_at, offsets, size = segment_cy.layout(4096, regions)
    memory = mmap.mmap(-1, size)
    address = segment_cy.buffer_address(memory)
    segment_cy.format_header(address, 4096, size, header_at, regions, offsets, cpus, 100)
    segment_cy.attach(address, header_at)
    for module in modules:
        module.attach()
    return memory


def run_cpu(slot: int, sections: int, done: mmap.mmap) -> None:
    from cpus import percpu_cy
    from interrupts import gatestress_cy

    def serve(*_: object) -> None:
        percpu_cy.preemption_point()
        gatestress_cy.count_signal()

    signal.signal(signal.SIGUSR1, serve)
    percpu_cy.become(slot, os.getpid())
    done_sections = 0
    while done_sections < sections or done[0] < done[1]:
        gatestress_cy.run_sections(ROUND)
        done_sections += ROUND
    percpu_cy.set_cpu_state(slot - 1, 0)


def run_handler(slot: int, interrupts: int, cpus: int) -> None:
    from cpus import percpu_cy
    from interrupts import gatestress_cy

    percpu_cy.become(slot, os.getpid())
    gatestress_cy.run_interrupts(interrupts, cpus, 2000)


def fork(function, *args) -> int:
    """Run `function(*args)` in a child, which ends with this process."""
    from cpus import host_cy

    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            host_cy.die_with_parent()
            if os.getppid() != parent:
                os._exit(status)
            function(*args)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return pid


def nudge(children: set[int], cpus: set[int], done: mmap.mmap) -> None:
    """Reap the children; signal the CPUs meanwhile."""
    failed = 0
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            children.discard(pid)
            failed += status != 0
            if pid not in cpus:
                done[0] += 1
            cpus.discard(pid)
            continue
        for each in cpus:
            os.kill(each, signal.SIGUSR1)
        signal.sigtimedwait([], SIGNAL_EVERY)
    if failed:
        sys.exit(f"{failed} processes failed")


def main(root: str, sections: int, interrupts: int, cpus: int = 2, handlers: int = 4) -> None:
    sys.path.insert(0, root)
    from cpus import callsite_cy, percpu_cy
    from interrupts import gatestress_cy

    memory = make_segment([percpu_cy, callsite_cy, gatestress_cy], cpus)
    done = mmap.mmap(-1, 4096)
    done[1] = handlers
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    for cpu in range(cpus):
        percpu_cy.take_slot(1 + cpu, KIND_CPU, f"cpu{cpu}", cpu)
    pids = {fork(run_cpu, 1 + cpu, sections, done) for cpu in range(cpus)}
    while any(percpu_cy.cpu_info(cpu)["state"] != 1 for cpu in range(cpus)):
        signal.sigtimedwait([], 0.001)
    children = set(pids)
    for handler in range(handlers):
        percpu_cy.take_slot(1 + cpus + handler, KIND_HANDLER, f"irq{handler}")
        children.add(fork(run_handler, 1 + cpus + handler, interrupts, cpus))
    nudge(children, pids, done)
    print(json.dumps(gatestress_cy.result()))
    memory.flush()


if __name__ == "__main__":
    main(sys.argv[1], *(int(each) for each in sys.argv[2:]))
