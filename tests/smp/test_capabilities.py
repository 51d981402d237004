"""capable(): a task with a user id other than 0 has no capability, as on Linux."""

import errno

import pytest

import smpmm
from smpmm.drivers import ioctl
from smpmm.kernel import CAP_SYS_ADMIN, capable, current

USER = 1000
# Commands of the scull family, by the last letters of their names.
CHANGING = {
    "scull": ("SQUANTUM", "TQUANTUM", "XQUANTUM", "HQUANTUM", "SQSET", "TQSET", "XQSET"),
    "scullc": ("SQUANTUM", "TQUANTUM", "XQUANTUM", "HQUANTUM", "SQSET", "TQSET", "XQSET"),
    "scullv": ("SORDER", "TORDER", "XORDER", "HORDER", "SQSET", "TQSET", "XQSET"),
    "scullp": ("SORDER", "TORDER", "XORDER", "HORDER", "SQSET", "TQSET", "XQSET"),
}
POINTER = "SX"  # these take their integer through a pointer


def command(driver: str, name: str) -> int:
    return getattr(ioctl, f"{driver.upper()}_IOC{name}")


def argument(name: str, value: int) -> object:
    return bytearray(value.to_bytes(4, "little")) if name[0] in POINTER else value


def test_a_task_has_all_capabilities_unless_it_runs_as_a_user(machine) -> None:
    def workload() -> tuple[bool, int, int]:
        return capable(CAP_SYS_ADMIN), current().uid, current().euid

    assert machine.run(workload) == (True, 0, 0)
    assert machine.run(workload, uid=USER) == (False, USER, USER)
    assert machine.spawn(workload, uid=USER).result(30) == (False, USER, USER)
    assert machine.run(workload) == (True, 0, 0)


@pytest.mark.parametrize("name", CHANGING["scull"])
def test_scull_lets_only_the_superuser_change_its_sizes(machine, name: str) -> None:
    machine.insmod("scull")
    query = command("scull", "QQSET" if "QSET" in name else "QQUANTUM")
    with machine.open("/dev/scull0", "rb") as root:
        before = root.ioctl(query)
        with machine.open("/dev/scull0", "rb", uid=USER) as device:
            with pytest.raises(PermissionError) as caught:
                device.ioctl(command("scull", name), argument(name, before + 1))
            assert caught.value.errno == errno.EPERM
            assert device.ioctl(query) == before, "reading them needs no capability"
        root.ioctl(command("scull", name), argument(name, before + 1))
        assert root.ioctl(query) == before + 1


def test_scull_refuses_before_it_looks_at_the_argument(machine) -> None:
    machine.insmod("scull")
    with machine.open("/dev/scull0", "rb", uid=USER) as device:
        with pytest.raises(PermissionError):
            device.ioctl(ioctl.SCULL_IOCSQUANTUM, 0)  # an address that is not mapped


@pytest.mark.parametrize("driver", ("scullc", "scullp", "scullv"))
def test_scullc_scullp_and_scullv_ask_for_no_capability(machine, driver: str) -> None:
    machine.insmod(driver)
    with machine.open(f"/dev/{driver}0", "rb", uid=USER) as device:
        for name in CHANGING[driver]:
            device.ioctl(command(driver, name), argument(name, 2))


def test_a_task_opens_files_as_the_user_it_runs_as(machine) -> None:
    machine.insmod("scull")

    def workload() -> str:
        with smpmm.open("/dev/scull0", "rb") as device:
            try:
                device.ioctl(ioctl.SCULL_IOCTQUANTUM, 100)
            except PermissionError:
                return "refused"
        return "done"

    assert machine.run(workload, uid=USER) == "refused"
    assert machine.run(workload) == "done"


def test_a_user_does_not_write_proc_files(machine) -> None:
    with pytest.raises(PermissionError):
        with machine.open("/proc/lock_stat", "w", uid=USER) as file:
            file.write("0")
    with machine.open("/proc/lock_stat", "w") as file:
        file.write("0")


def test_a_kernel_thread_and_an_interrupt_of_a_users_task(machine) -> None:
    """A thread that a user's task starts is the kernel's own; a handler is its task's."""
    from smpmm.kernel import (
        KStruct,
        complete,
        completion,
        free_irq,
        kernel_thread,
        raise_irq,
        request_irq,
        s32,
        wait_for_completion,
    )

    def workload() -> tuple[int, int]:
        class Seen(KStruct):
            thread: s32
            handler: s32

        seen = Seen.static()
        done = completion()

        def thread() -> None:
            seen.thread = 1 + capable(CAP_SYS_ADMIN)
            complete(done)

        def handler(irq: int, dev_id: int, regs: object) -> None:
            seen.handler = 1 + capable(CAP_SYS_ADMIN)

        kernel_thread(thread)
        wait_for_completion(done)
        assert request_irq(5, handler, 0, "seen", 1) == 0
        raise_irq(5, cpu=0)
        while not seen.handler:
            pass
        free_irq(5, 1)
        return seen.thread, seen.handler

    assert machine.run(workload, cpu=0, uid=USER) == (2, 1)


@pytest.mark.parametrize("uid", (-1, 1 << 32, "root", 1.5))
def test_a_bad_uid_is_named(machine, uid: object) -> None:
    with pytest.raises(ValueError, match="uid="):
        machine.run(int, uid=uid)
    with pytest.raises(ValueError, match="uid="):
        machine.open("/dev/null", uid=uid)
