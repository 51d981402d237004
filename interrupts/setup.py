"""Interrupts as a part of the machine: what runs at boot, what the monitor does for them.

The monitor forks a line's handler process when that is first requested and again after it died
and the line was freed, keeps one timer device, starts and stops synthetic devices, and after a
death shuts the line, frees what the dead CPU kept, and has a live CPU adopt its tasklets.
"""

import pickle
from typing import Any, Final

from cpus import asleep, event_cy, monitor, relay
from interrupts import (
    devices,
    handler,
    irq_cy,
    irq_manage_cy,
    softirq,
    softirq_cy,
    tasklet_cy,
    tasklet_deaths_cy,
    timer_cy,
    tqueue,
    tqueue_cy,
)

KERN_ERR: Final = 3
KERN_INFO: Final = 6

# In the monitor: the timer's slot, and the slots of synthetic devices by line.
_timer_slot: int | None = None
_synthetic: dict[int, int] = {}
_machine: Any = None


def regions(config: object) -> dict[str, int]:
    return {}


def attach(config: object) -> None:
    """Register the hooks that the forked processes inherit."""
    softirq.register()
    softirq.bottom_halves.update(
        {
            devices.TIMER_BH: timer_cy.run_timers,
            devices.TQUEUE_BH: tqueue.tqueue_bh,
            tqueue.IMMEDIATE_BH_NUMBER: tqueue.immediate_bh,
        }
    )


def on_start(machine: Any, config: object) -> None:
    """Start the timer device; called in the monitor when the CPUs run."""
    global _machine
    _machine = machine
    monitor.register_child_main("irq_handler", handler.handler_main)
    monitor.register_child_main("timer", devices.timer_main)
    monitor.register_child_main("synthetic", devices.synthetic_main)
    monitor.register_request("irq_handler", start_handler)
    monitor.register_request("start_synthetic", lambda m, child, args: start_synthetic(*args))
    monitor.register_request("stop_synthetic", lambda m, child, line: stop_synthetic(line))
    monitor.register_request("keventd", lambda m, child, payload: run_keventd())
    relay.register_query("raise_irq", lambda r, args: irq_cy.raise_irq(*args))
    relay.register_query("start_synthetic", lambda r, args: start_synthetic(*args))
    relay.register_query("stop_synthetic", lambda r, line: stop_synthetic(line))
    monitor.on_death(on_death)
    asleep.busy_hooks.append(is_busy)
    monitor.register_recovery("interrupts.setup:recover")
    start_timer()


def is_busy() -> bool:
    """Whether a device, a timer, a task queue or an edge may still wake a task."""
    queues = (tqueue_cy.TIMER, tqueue_cy.IMMEDIATE, tqueue_cy.CONTEXT)
    return (
        bool(_synthetic)
        or timer_cy.may_fire()
        or any(tqueue_cy.nr_queued(queue) for queue in queues)
        or irq_cy.any_edge()
    )


def start_timer() -> None:
    """Fork the timer device."""
    global _timer_slot
    _timer_slot = _machine.fork("timer", monitor.KIND_DEVICE, "timer", 0).slot


def start_handler(machine: Any, child: Any, line: int) -> None:
    """Fork the handler process of a line unless it has one."""
    if irq_manage_cy.has_handler(line):
        return
    try:
        machine.fork("irq_handler", monitor.KIND_HANDLER, f"irq{line}", 0, line)
    except (OSError, OverflowError) as error:
        event_cy.log(f"irq {line}: no process for its handler: {error}", KERN_ERR)
        irq_manage_cy.refuse_handler(line)


def run_keventd() -> None:
    """Have a CPU run the tasks of schedule_task, as a task of the kernel's own."""
    _machine.relay.job(pickle.dumps(("interrupts.tqueue:run_context_queue", (), {})))


def start_synthetic(line: int, rate: float, seed: int) -> None:
    """Start a device that raises `line` `rate` times a second; one for each line."""
    if not 0 <= line < irq_cy.NR_LINES or rate <= 0:
        raise ValueError(f"synthetic device: line {line}, {rate} interrupts a second")
    stop_synthetic(line)
    child = _machine.fork(
        "synthetic", monitor.KIND_DEVICE, f"synthetic{line}", 0, line, rate, seed
    )
    _synthetic[line] = child.slot


def stop_synthetic(line: int) -> bool:
    """End the synthetic device of a line; false when there is none."""
    slot = _synthetic.pop(line, None)
    if slot is None or slot not in _machine.children:
        return False
    _machine.terminate(slot)
    return True


def on_death(slot: int, kind: int, cpu: int) -> None:
    """Put right at once what needs no kernel call; in the monitor."""
    line = irq_cy.line_of(slot)
    if kind == monitor.KIND_HANDLER and line >= 0:
        irq_cy.shut_line(line)
        event_cy.log(f"irq {line}: handler process died, line disabled", KERN_ERR)
    if kind == monitor.KIND_CPU:
        irq_cy.release_irqlock(cpu)
        tasklet_cy.release_bh_lock(cpu)
        if _machine.cpus:
            tasklet_deaths_cy.adopt_tasklets(cpu, min(_machine.cpus))
    if slot == _timer_slot:
        start_timer()
        event_cy.log("timer: restarted", KERN_INFO)
    for line, device in list(_synthetic.items()):
        if device == slot:
            del _synthetic[line]


def recover(slot: int, kind: int, cpu: int) -> None:
    """Adopt the deferred work of a dead CPU; a kernel task on a live one."""
    if kind == monitor.KIND_CPU:
        softirq_cy.adopt_softirqs(cpu)
        timer_cy.adopt_timers(cpu)
        tqueue_cy.adopt_queues(cpu)
        if tqueue_cy.nr_queued(tqueue_cy.CONTEXT):
            tqueue.wake_keventd()
