"""What every process of a machine is doing, read from outside: SysRq-T for one that hangs.

The monitor answers it, without a lock and without a CPU's help, from the segment and from the
host's /proc. What it reads changes meanwhile: of a machine that stands still it is exact.
"""

from typing import Any

from cpus import callsite_cy, deaths, lockstat_cy, percpu_cy, relay, spinlock_cy, task_cy


def lock_name(lock: int) -> str:
    """Return the class of the spinlock or rwlock at a native address."""
    names, class_ = lockstat_cy.class_names(), spinlock_cy.class_of(lock)
    return f"{names[class_][0] if 0 < class_ < len(names) else '?'} ({lock:#x})"


def host_state(pid: int) -> str:
    """Return how the host sees a process: its state, and what it sleeps in."""
    try:
        stat = host_text(pid, "stat").rpartition(")")[2].split()
        sleeps_in = host_text(pid, "wchan").strip("0\n")
    except OSError:
        return "gone"
    used = f"{int(stat[11])}+{int(stat[12])} host ticks"
    return f"{stat[0]} {sleeps_in}, {used}" if sleeps_in else f"{stat[0]}, {used}"


def host_text(pid: int, name: str) -> str:
    with open(f"/proc/{pid}/{name}") as file:
        return file.read()


def process_lines(slot: int) -> list[str]:
    """Describe one process: its gate, what it holds, what it waits for, where it stands."""
    info = percpu_cy.slot_info(slot)
    gate = " ".join(
        f"{name}={info[name]:#x}"
        for name in ("state", "inside", "interrupted", "counted_cpu", "cpu")
    )
    lines = [f"{info['name']} (pid {info['pid']}, {host_state(info['pid'])}): {gate}"]
    for lock, site, _ in info["held"]:
        lines.append(f" holds {lock_name(lock)}, taken at {callsite_cy.site_text(site)}")
    if info["waiting_lock"]:
        lines.append(
            f" waits for {lock_name(info['waiting_lock'])} at "
            f"{callsite_cy.site_text(info['waiting_site'])}, {info['waiting_ns'] // 1000} us"
        )
    return lines + [f"  {callsite_cy.site_text(site)}" for site in info["stack"] if site]


def cpu_line(cpu: int) -> str:
    """Return the words of a CPU."""
    info = percpu_cy.cpu_info(cpu)
    info.pop("requested_ns")
    return " ".join(f"{name}={value:#x}" for name, value in info.items())


def task_line(task: dict[str, Any]) -> str:
    """Return the words of a task."""
    words = " ".join(
        f"{name}={task[name]:#x}"
        for name in ("state", "on_rq", "flags", "depth", "wait_queue", "waiting_for")
    )
    where = callsite_cy.site_text(task["waiting_site"]) if task["waiting_site"] else "nowhere"
    text = f"task {task['name']}/{task['pid']} of CPU {task['cpu']}, request {task['number']}"
    return f"{text}: {words}, slept last at {where}"


def request_line(request: "relay.Request") -> str:
    """Say which CPU has yet to answer a request."""
    who = "a client's" if request.client is not None else "the kernel's own"
    return f"request {request.number}, {who}: CPU {request.cpu}, pid {request.pid}"


def show_state(switchboard: "relay.Relay", args: Any = None) -> str:
    """Answer the query "sysrq": what every process, CPU, task and request is at."""
    machine = switchboard.machine
    lines = [f"{len(deaths.deaths)} processes died"]
    lines += [
        f"{death.name} died ({death.how}, {death.doing()}): not yet put right"
        for death in deaths.deaths
        if not death.recovered_ns
    ]
    lines += [f"{child.name} is not yet reaped" for child in machine._unreaped]
    lines += [cpu_line(cpu) for cpu in range(machine.nr_cpus)]
    children = {*machine.children, *(child.slot for child in machine._unreaped)}
    for slot in sorted(children):
        lines += process_lines(slot)
    lines += [task_line(task) for task in task_cy.all_tasks()]
    lines += [request_line(request) for request in switchboard.requests.values()]
    return "\n".join(lines)


relay.register_query("sysrq", show_state)
