"""Reports are found in the kernel log, whoever made them."""

from smpmm_tools import findings

LOG = """\
[    0.000100] Linux version 2.4.5 (smpmm), 2 CPUs, /dev/shm
[    1.000000] BUG: sleeping function called from invalid context at main (x.py:9): kmalloc
[    1.000001] in_atomic(): 1, irqs_disabled(): 0, pid: 1001, name: main
[    1.000002] Call Trace:
[    1.000003]  main (x.py:9)
[    1.000004] [SleepingInAtomic; Linux 2.4 here: no check until it really sleeps]
[    1.500000] Module scull inserted
[    2.000000] Unable to handle kernel NULL pointer dereference at virtual address 00000000
[    2.000001] poke
[    2.000002] [NullDereference; Linux 2.4 here: oops: the task is killed]
[    3.000000] Kernel panic: no more
"""


def test_every_report_of_the_log_is_a_finding_of_its_class() -> None:
    found = findings.from_log(LOG)
    assert [one.kind for one in found] == [
        "SleepingInAtomic",
        "NullDereference",
        "KernelPanic",
    ]
    assert found[0].text.splitlines()[0].startswith("BUG: sleeping function")
    assert found[0].text.splitlines()[-1].startswith("[SleepingInAtomic;")
    assert "Module scull" not in found[1].text


def test_what_rmmod_names_is_a_finding() -> None:
    log = """\
[    1.000000] rmmod leak: not freed:
[    1.000001] leak: 1 object of size-64 from leak_init (leak.py:40), 64 bytes
[    1.000002] leak: 2 pages from leak_init (leak.py:41), 8192 bytes
[    1.000003] Module scull inserted
"""
    found = findings.from_log(log)
    assert [one.kind for one in found] == ["leak", "leak"]
    assert "leak_init" in found[0].summary


def test_a_log_without_reports_has_no_findings() -> None:
    assert findings.from_log("[    0.000100] Linux version 2.4.5\n") == []


def test_a_report_is_found_without_a_known_title() -> None:
    found = findings.from_log("[    1.0] [BadFree; Linux 2.4 here: nothing]\n")
    assert [one.kind for one in found] == ["BadFree"]


def test_repetitions_are_one_finding() -> None:
    one = findings.Finding("leak", "scull: 1 object", "a")
    assert len(findings.unique([one, one, findings.Finding("leak", "scull: 2 objects")])) == 2
