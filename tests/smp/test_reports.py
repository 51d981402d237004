"""Reports of a machine, from a CPU or, when none answers, from outside."""

import os
import signal

import pytest

from cpus.errors import CpuDied
from smpmm.machine import Machine


def test_reports_come_from_a_cpu(machine):
    assert "Linux version 2.4.5" in machine.dmesg()
    assert "MemTotal" in machine.proc("meminfo")
    assert any(c.acquisitions for c in machine.lock_stat().classes)
    machine.check()


def test_reports_of_a_machine_without_cpus_are_read_from_outside():
    with Machine(cpus=1) as machine:
        os.kill(machine.cpus[0].pid, signal.SIGKILL)
        with pytest.raises(CpuDied):
            machine.run(lambda: machine_dies())
        assert "cpu0" in machine.dmesg()
        assert machine.dmesg().startswith("[no CPU answers: read from outside]")
        assert machine.proc("meminfo").startswith("[no CPU answers: read from outside]")
        assert machine.lock_stat().note == "no CPU answers: read from outside"


def machine_dies():
    while True:
        pass
