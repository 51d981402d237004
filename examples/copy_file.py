"""Copy bytes through /dev/scull0: a workload without a bug.

    smpmm run examples/copy_file.py

A task on one CPU writes this file into the device, 4000 bytes per call of the driver, since a
write stops at the end of a quantum and the file object goes on after it. A task on another CPU
reads it back: the device's memory is the machine's, not the process's.

The report: nothing found, exit code 0.
"""

import smpmm
from smpmm.kernel import *

EXPECT = None
DEVICE = "/dev/scull0"


def store(data):
    with smpmm.open(DEVICE, "wb") as device:
        return device.write(data)


def load():
    with smpmm.open(DEVICE, "rb") as device:
        return device.read()


def host_main(machine):
    with open(__file__, "rb") as file:
        data = file.read() * 10
    machine.insmod("scull")
    machine.spawn(store, data, cpu=0).result(timeout=30)
    copy = machine.spawn(load, cpu=1).result(timeout=30)
    machine.rmmod("scull")
    if copy != data:
        raise AssertionError(f"{len(copy)} bytes came back, other than the {len(data)} sent")
