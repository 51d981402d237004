"""When every task sleeps and nothing can wake one, the machine says so."""

import pytest

from cpus import ship
from cpus.errors import Deadlock

ship.register_by_value("tests")


@pytest.fixture
def place(machine) -> int:
    """The kernel address of a page for locks."""
    from smpmm.mm.page_calls_cy import get_zeroed_page

    return machine.run(lambda: get_zeroed_page(7))


def take(address):
    from cpus.semaphore_cy import down

    down(address)
    return "taken"


def test_a_wait_that_nobody_can_end_is_a_deadlock_and_names_lock_and_place(machine, place):
    from cpus.semaphore_cy import sema_init, up

    machine.run(lambda: sema_init(place, 0))
    task = machine.spawn(take, place, cpu=1)
    with pytest.raises(Deadlock) as caught:
        task.result(30)
    assert f"workload/{task.pid} on CPU 1 sleeps at" in caught.value.report
    assert "test_asleep.py" in caught.value.report
    assert "which nobody holds" in caught.value.report
    assert "every task sleeps" in machine.dmesg()
    # Nothing was ended by it: a wake-up that comes later is welcome.
    machine.run(lambda: up(place))
    assert task.result(30) == "taken"


def test_a_task_that_ended_with_a_semaphore_is_told(machine, place):
    from cpus.semaphore_cy import sema_init

    machine.run(lambda: sema_init(place, 1))
    machine.run(take, place)
    with pytest.raises(Deadlock) as caught:
        machine.run(take, place)
    assert "by a task that has ended" in caught.value.report


def test_a_sleeper_with_a_time_out_is_waited_for(machine, place):
    from cpus.task_calls_cy import schedule_timeout, set_current_state

    def sleep_long():
        set_current_state(2)
        return schedule_timeout(150)

    assert machine.run(sleep_long) == 0


def test_a_device_that_may_wake_a_task_is_waited_for(machine, place):
    from cpus.semaphore_cy import sema_init

    machine.run(lambda: sema_init(place, 0))
    machine.start_synthetic(5, 2)
    task = machine.spawn(take, place)
    with pytest.raises(TimeoutError):
        task.result(1.5)
    machine.stop_synthetic(5)
    with pytest.raises(Deadlock):
        task.result(30)
