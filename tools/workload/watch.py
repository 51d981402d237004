"""Watching: what the interrupt handler of `short` has made, and the events of a CPU."""

import json
from collections import Counter
from typing import Any, Final

import smpmm
from cpus import callsite_cy, event_cy
from smpmm import fault_cy
from smpmm.kernel import *
from smpmm_tools.workload.control import Control, wait_a_tick

MOST_RECORDS: Final = 20_000  # of one kind, of one CPU, in the file of a run
SHORT_TEXT_BYTES: Final = 16  # of a record, before the bytes that repeat its number


def read_records(address: int, number: int, path: str) -> dict[str, Any]:
    """Read the records of the interrupt handler and look for damage, until told to stop."""
    control = Control.at(address)
    done = u64.at(control.progress)
    nr_records, errors = 0, []
    try:
        with smpmm.open(path, "rb", 0) as device:
            while not control.stop:
                record = device.read(4096)
                nr_records += 1
                done[number] = nr_records
                low_byte = int(record[:8]) & 0xFF
                if record[SHORT_TEXT_BYTES:].strip(bytes((low_byte,))):
                    errors.append(f"record {record[:8]!r} of the handler is damaged")
    except InterruptedError:
        pass
    return {
        "kind": "records", "cpu": smp_processor_id(), "pid": current().pid,
        "records": nr_records, "errors": errors[:20],
    }  # fmt: skip


KEPT_EVENTS: Final = frozenset(("bug", "contention", "reclaim", "writeback", "process_died"))


def room(counts: Counter[str], kind: str) -> bool:
    """Count one more record of a kind; false when a file has enough of them."""
    counts[kind] += 1
    return counts[kind] <= MOST_RECORDS


def cut_off(counts: Counter[str]) -> dict[str, int]:
    """Return how many records of each kind a file had no room for."""
    kept = " kept"
    over = {name: number - MOST_RECORDS for name, number in counts.items()}
    return {
        name.removesuffix(kept): number
        for name, number in over.items()
        if name.endswith(kept) and number > 0
    }


def follow(address: int, cpu: int, path: str) -> dict[str, Any]:
    """Write the events of a CPU to a host file; of the frequent kinds only the number.

    Faults are written with their call stacks, which the event has no room for.
    """
    control = Control.at(address)
    counts: Counter[str] = Counter()
    since = lost = next_fault = missed = 0
    with open(path, "w") as file:
        while True:
            ending = control.stop
            for fault in fault_cy.injected(next_fault):
                missed += fault["number"] - next_fault
                next_fault = fault["number"] + 1
                if fault["cpu"] == cpu and room(counts, "fault kept"):
                    file.write(json.dumps({**fault, "type": "fault"}) + "\n")
            for event in event_cy.read_events(cpu, since):
                lost += event["number"] - since
                since = event["number"] + 1
                counts[event["type"]] += 1
                if event["type"] in KEPT_EVENTS and room(counts, f"{event['type']} kept"):
                    event["where"] = callsite_cy.site_text(event["site"])
                    file.write(json.dumps(event) + "\n")
            if ending:
                break
            wait_a_tick()
    return {
        "kind": "events", "cpu": cpu, "counts": dict(counts), "lost": lost,
        "cut": cut_off(counts), "faults_missed": missed, "most": MOST_RECORDS,
    }  # fmt: skip
