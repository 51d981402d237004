"""Kill CPUs and handlers under the stress of the gate; be their monitor. Prints counts as
JSON.

    python gate_killer.py ROOT KILLS SEED

Every other kill waits until the victim passes a named point of the gate, the rest come at
random instants. At the end everyone stops and every CPU's words must be as before the first
interrupt.
"""

import json
import mmap
import os
import random
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import gate_harness as harness  # noqa: E402

NR_CPUS, NR_HANDLERS = 3, 4
POINTS = ("gate_counted", "gate_taken", "gate_releasing", "standing_still")
DEADLINE_S = 20.0


class Killer:
    """The monitor of one run: who lives in which slot."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.stop = mmap.mmap(-1, 4096)  # [0] < [1]: the CPUs go on
        self.stop[1] = 1
        self.pids: dict[int, tuple[int, int, int]] = {}  # slot: (pid, kind, cpu)

    def start(self, kind: int, cpu: int = 0) -> None:
        from cpus import percpu_cy

        slot = percpu_cy.free_slot()
        percpu_cy.take_slot(slot, kind, f"p{slot}", cpu)
        if kind == harness.KIND_CPU:
            pid = harness.fork(run_cpu, slot, self.stop)
        else:
            pid = harness.fork(run_handler, slot, self.stop)
        self.pids[slot] = (pid, kind, cpu)

    def kill_one(self) -> None:
        """Kill somebody, at a point or at once, and start another in its place."""
        from cpus import kill_cy

        if self.dice.random() < 0.5:
            point = self.dice.choice(POINTS)
            kill_cy.arm(point)
            wait_until(self.dead, f"nobody passes {point}")
            slot = self.dead()
            os.waitpid(self.pids[slot][0], 0)
        else:
            # A random instant is what this kill is about: nothing is waited for.
            time.sleep(self.dice.random() * 0.003)
            slot = self.dice.choice(list(self.pids))
            os.kill(self.pids[slot][0], signal.SIGKILL)
            os.waitpid(self.pids[slot][0], 0)
        _, kind, cpu = self.reap(slot)
        self.start(kind, cpu)

    def dead(self) -> int:
        """Return the slot of one that has died and is not reaped yet, 0 = none."""
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is None:
            return 0
        return next(slot for slot, entry in self.pids.items() if entry[0] == found.si_pid)

    def reap(self, slot: int) -> tuple[int, int, int]:
        """Do what a monitor does about a death."""
        from cpus import host_cy, percpu_cy, reap_cy
        from interrupts import gatestress_cy

        entry = self.pids.pop(slot)
        percpu_cy.mark_dead(slot)
        gatestress_cy.forget(slot)
        wait_until(lambda: reap_cy.reap_slot(slot), f"slot {slot} is not reaped")
        host_cy.release_slot(slot)
        return entry

    def end(self) -> None:
        """Stop everyone: handlers first, since CPUs let the last of them in."""
        self.stop[2] = 1
        for kind in (harness.KIND_HANDLER, harness.KIND_CPU):
            for pid, of, _ in self.pids.values():
                if of == kind:
                    assert os.waitpid(pid, 0)[1] == 0
            self.stop[0] = 1


def run_cpu(slot: int, stop: mmap.mmap) -> None:
    harness.run_cpu(slot, 0, stop)


def run_handler(slot: int, stop: mmap.mmap) -> None:
    from cpus import percpu_cy
    from interrupts import gatestress_cy

    percpu_cy.become(slot, os.getpid())
    while not stop[2]:
        gatestress_cy.run_interrupts(20, NR_CPUS, 500)


def wait_until(condition, what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"{what}\n{words()}")
        time.sleep(0.0002)  # between two looks: the others need the processors


def words() -> str:
    """Return the words of all CPUs and processes, for a failure."""
    from cpus import percpu_cy

    lines = [str(percpu_cy.cpu_info(cpu)) for cpu in range(NR_CPUS)]
    infos = (percpu_cy.slot_info(slot) for slot in range(40))
    keys = ("slot", "state", "kind", "cpu", "inside", "interrupted", "counted_cpu")
    lines += [str({key: info[key] for key in keys}) for info in infos if info["state"]]
    return "\n".join(lines)


def main(root: str, kills: int, seed: int) -> None:
    sys.path.insert(0, root)
    from cpus import callsite_cy, kill_cy, percpu_cy
    from interrupts import gatestress_cy

    memory = harness.make_segment([percpu_cy, callsite_cy, kill_cy, gatestress_cy], NR_CPUS)
    percpu_cy.take_slot(0, 0, "monitor")
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    killer = Killer(seed)
    for cpu in range(NR_CPUS):
        killer.start(harness.KIND_CPU, cpu)
    for _ in range(NR_HANDLERS):
        killer.start(harness.KIND_HANDLER)
    for n in range(kills):
        taken = gatestress_cy.interrupts_taken()
        wait_until(lambda t=taken: gatestress_cy.interrupts_taken() > t, f"stuck: kill {n}")
        killer.kill_one()
    killer.end()
    print(json.dumps(report(killer, kill_cy.hits(), gatestress_cy.result())))
    memory.flush()


def report(killer: Killer, hits: dict[str, int], result: dict[str, int]) -> dict[str, object]:
    """Return the counts, and how many CPUs' words are not as they were at boot."""
    from cpus import percpu_cy

    cpus = [percpu_cy.cpu_info(cpu) for cpu in range(NR_CPUS)]
    own = {cpu: slot + 1 for slot, (_, kind, cpu) in killer.pids.items() if kind == 1}
    wrong = [
        info
        for info in cpus
        if info["pending"] & 0xFFFF
        or info["irqs_off"]
        or info["preempt_count"]
        or info["runner"] != own[info["cpu"]]
    ]
    if wrong:
        print(words(), file=sys.stderr)
    return {
        "overlaps": result["overlaps"],
        "sections": result["sections"],
        "interrupts": result["interrupts"],
        "wrong": len(wrong),
        **{point: hits[point] for point in POINTS},
    }


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
