"""Files of devices, from outside and in tasks: the drivers of the book on several CPUs."""

import errno
import hashlib
import io
import os
import threading

import pytest

import smpmm
from smpmm import Machine
from smpmm.drivers.ioctl import SCULL_IOCGQUANTUM, SCULL_IOCQQUANTUM, SCULL_IOCTQUANTUM


@pytest.fixture
def scull(machine):
    machine.insmod("scull")
    return machine


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def some_bytes(length: int, seed: int = 1) -> bytes:
    return hashlib.shake_128(seed.to_bytes(4, "little")).digest(length)


def test_what_is_written_outside_is_read_outside(scull) -> None:
    data = some_bytes(100_000)
    with scull.open("/dev/scull0", "wb") as device:
        assert isinstance(device, io.BufferedWriter)
        assert device.write(data) == len(data)
    with scull.open("/dev/scull0", "rb") as device:
        assert isinstance(device, io.BufferedReader)
        assert device.read() == data


def test_small_writes_are_buffered_and_flushed_on_close(scull) -> None:
    with scull.open("/dev/scull0", "wb") as device:
        for i in range(100):
            device.write(b"%03d\n" % i)
    with scull.open("/dev/scull0") as device:
        assert [int(line) for line in device] == list(range(100))


def test_open_for_writing_trims_and_append_and_update_do_not(scull) -> None:
    with scull.open("/dev/scull1", "wb") as device:
        device.write(b"0123456789")
    with scull.open("/dev/scull1", "r+b") as device:
        device.seek(4)
        device.write(b"xy")
    with scull.open("/dev/scull1", "rb") as device:
        assert device.read() == b"0123xy6789"
        assert device.seek(-2, 2) == 8
        assert device.read(10) == b"89"
    with scull.open("/dev/scull1", "wb"):
        pass
    with scull.open("/dev/scull1", "rb") as device:
        assert device.read() == b""


def test_a_raw_write_stops_at_the_end_of_a_quantum(scull) -> None:
    with scull.open("/dev/scull0", "wb", buffering=0) as device:
        assert device.write(bytes(10_000)) == 4000
        assert device.tell() == 4000


def test_a_large_read_crosses_quanta(scull) -> None:
    data = some_bytes(50_000)
    with scull.open("/dev/scull0", "wb") as device:
        device.write(data)
    with scull.open("/dev/scull0", "rb") as device:
        assert device.read(100) == data[:100]
        assert device.read(30_000) == data[100:30_100]
        buffer = bytearray(10_000)
        assert device.readinto(buffer) == 10_000
        assert buffer == data[30_100:40_100]
        assert device.tell() == 40_100


def write_and_read(path: str, data: bytes) -> str:
    with smpmm.open(path, "wb") as device:
        device.write(data)
    with smpmm.open(path, "rb") as device:
        return digest(device.read())


def test_tasks_of_every_cpu_copy_through_devices(scull) -> None:
    data = some_bytes(300_000)
    tasks = [
        scull.spawn(write_and_read, f"/dev/scull{number}", data, cpu=number % 2)
        for number in range(4)
    ]
    assert [task.result(timeout=60) for task in tasks] == [digest(data)] * 4


def test_many_threads_have_devices_open_at_once(scull) -> None:
    results = {}

    def work(number: int) -> None:
        data = some_bytes(20_000, number)
        with scull.open(f"/dev/scull{number}", "wb") as device:
            device.write(data)
        with scull.open(f"/dev/scull{number}", "rb") as device:
            results[number] = device.read() == data

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == dict.fromkeys(range(4), True)


def test_a_forked_process_uses_the_machine_s_devices(scull) -> None:
    with scull.open("/dev/scull0", "wb") as device:
        device.write(b"from the parent")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with scull.open("/dev/scull0", "rb") as device:
                os.write(writer, device.read())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    assert os.read(reader, 100) == b"from the parent"
    os.close(reader)


def test_ioctl_by_value_by_result_and_through_a_pointer(scull) -> None:
    with scull.open("/dev/scull0", "rb") as device:
        assert device.ioctl(SCULL_IOCQQUANTUM) == 4000
        assert device.ioctl(SCULL_IOCTQUANTUM, 1000) == 0
        word = bytearray(4)
        assert device.ioctl(SCULL_IOCGQUANTUM, word) == 0
        assert int.from_bytes(word, "little") == 1000
        with pytest.raises(OSError) as caught:
            device.ioctl(0x1234)
        assert caught.value.errno == errno.ENOTTY


def test_errors_have_their_errno(scull) -> None:
    with pytest.raises(FileNotFoundError):
        scull.open("/dev/nothing", "rb")
    with pytest.raises(OSError) as caught:
        scull.open("/dev/scull9", "rb")
    assert caught.value.errno == errno.ENODEV
    with scull.open("/dev/scull0", "rb") as device:
        with pytest.raises(io.UnsupportedOperation):
            device.write(b"x")
        with pytest.raises(OSError) as caught:
            device.mmap(4096)
        assert caught.value.errno == errno.ENODEV
    with pytest.raises(ValueError):
        device.read()
    scull.mknod("/dev/odd", 200, 0)
    with pytest.raises(OSError) as caught:
        scull.open("/dev/odd", "rb")
    assert caught.value.errno == errno.ENODEV


def leave_open() -> int:
    device = smpmm.open("/dev/scull0", "wb", buffering=0)
    return device.write(b"x")


def test_an_open_file_keeps_the_module_and_a_task_s_end_closes_it(scull) -> None:
    with scull.open("/dev/scull0", "rb"):
        assert scull.proc("modules").split()[2] == "1"
        with pytest.raises(OSError) as caught:
            scull.rmmod("scull")
        assert caught.value.errno == errno.EBUSY
    assert scull.run(leave_open) == 1
    assert scull.proc("modules").split()[2] == "0"
    assert not scull.rmmod("scull")


def test_parameters_come_from_insmod_and_from_the_command_line() -> None:
    with Machine(cpus=1, cmdline="scullc.scullc_quantum=512") as machine:
        machine.insmod("scull", scull_quantum=100)
        machine.insmod("scullc")
        with machine.open("/dev/scull0", "wb", buffering=0) as device:
            assert device.write(bytes(4096)) == 100
        with machine.open("/dev/scullc0", "wb", buffering=0) as device:
            assert device.write(bytes(4096)) == 512


def test_proc_files_of_drivers(scull) -> None:
    with scull.open("/dev/scull2", "wb") as device:
        device.write(b"hello")
    lines = scull.proc("scullmem").splitlines()
    assert "Device 2: qset 1000, q 4000, sz 5" in lines
    with scull.open("/proc/devices") as file:
        assert "254 scull\n" in file.readlines()
    with pytest.raises(FileNotFoundError):
        scull.proc("nothing")
    with pytest.raises(PermissionError):
        scull.proc_write("modules", "x")


def test_the_driver_of_the_documentation_runs_whole(machine) -> None:
    machine.insmod("tally")
    for text in (b"first", b"second"):
        with machine.open("/dev/tally", "wb") as device:
            device.write(text)
    with machine.open("/dev/tally", "rb") as device:
        assert device.read() == b"second"
    assert not machine.rmmod("tally")


@pytest.mark.parametrize("driver", ["scullc", "scullp", "scullv"])
def test_its_siblings_keep_data_and_leak_nothing(machine, driver) -> None:
    machine.insmod(driver)
    data = some_bytes(60_000)
    with machine.open(f"/dev/{driver}0", "wb") as device:
        device.write(data)
    with machine.open(f"/dev/{driver}0", "rb") as device:
        assert device.read() == data
    assert not machine.rmmod(driver)
