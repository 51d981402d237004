"""Tasks sleep, wake each other across CPUs, and are found out when nothing can wake them."""

import os
import signal
import time

import pytest

from cpus import ship
from cpus.errors import CpuDied, Deadlock, NullDereference, SleepingInAtomic
from smpmm.machine import Machine

EINTR = 4
ERESTARTSYS = 512

ship.register_by_value("tests")


@pytest.fixture
def place(machine: Machine) -> int:
    """The kernel address of a page for locks and counters."""
    from smpmm.mm.page_calls_cy import get_zeroed_page

    return machine.run(lambda: get_zeroed_page(7))


def add(address: int, value: int) -> int:
    """Add to an atomic_t and return what it holds then."""
    from cpus.atomic_cy import atomic_add_return, atomic_read

    return atomic_add_return(value, address) if value else atomic_read(address)


def wait_until(condition, deadline_s: float = 20) -> bool:
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


def test_a_loop_without_kernel_calls_gives_way_to_another_task(machine):
    import sys

    def spin():
        sys.smpmm_turn = 0
        while sys.smpmm_turn < 6:  # what the other task of this process adds to
            if sys.smpmm_turn % 2 == 0:
                sys.smpmm_turn += 1

    def answer():
        while getattr(sys, "smpmm_turn", 0) < 6:
            if getattr(sys, "smpmm_turn", 0) % 2:
                sys.smpmm_turn += 1

    tasks = [machine.spawn(spin, cpu=1), machine.spawn(answer, cpu=1)]
    for task in tasks:
        task.result(30)


def test_tasks_that_only_call_the_kernel_take_turns(machine, place):
    def count(mine, other):
        while add(mine, 1) < 200 or not add(other, 0):
            pass
        return add(other, 0)

    tasks = [
        machine.spawn(count, place + 256, place + 260, cpu=1),
        machine.spawn(count, place + 260, place + 256, cpu=1),
    ]
    assert all(task.result(30) > 0 for task in tasks)


def test_a_semaphore_keeps_a_section_to_one_task(machine, place):
    from cpus.semaphore_cy import down, sema_init, up
    from cpus.task_calls_cy import yield_

    counter = place + 512

    def section(n):
        for _ in range(n):
            down(place)
            value = add(counter, 1)
            yield_()
            assert add(counter, 0) == value
            up(place)

    machine.run(lambda: sema_init(place, 1))
    tasks = [machine.spawn(section, 100, cpu=n % 2) for n in range(6)]
    for task in tasks:
        task.result(30)
    assert machine.run(lambda: add(counter, 0)) == 600


def test_wake_up_crosses_cpus(machine, place):
    from cpus.wait_cy import init_waitqueue_head, wait_event, wake_up

    machine.run(lambda: init_waitqueue_head(place))
    flag = place + 512

    def sleeper():
        wait_event(place, lambda: add(flag, 0) == 1)
        return "woken"

    def waker():
        add(flag, 1)
        wake_up(place)

    task = machine.spawn(sleeper, cpu=0)
    machine.run(waker, cpu=1)
    assert task.result(20) == "woken"


def test_other_tasks_of_a_cpu_go_on_while_one_sleeps(machine, place):
    from cpus.wait_cy import complete, init_completion, wait_for_completion

    machine.run(lambda: init_completion(place))
    task = machine.spawn(lambda: wait_for_completion(place), cpu=1)
    assert machine.run(lambda: 5, cpu=1) == 5
    assert not task.done()
    machine.run(lambda: complete(place), cpu=1)
    task.result(20)


def test_workloads_of_one_cpu_take_turns(machine, place):
    from cpus.context_cy import in_interrupt

    flag = place

    def spin():
        while add(flag, 0) == 0:
            in_interrupt()
        return "seen"

    task = machine.spawn(spin, cpu=0)
    machine.run(lambda: add(flag, 1), cpu=0)
    assert task.result(20) == "seen"


def test_schedule_timeout_ends_after_its_ticks(machine):
    from cpus.task_calls_cy import schedule_timeout, set_current_state

    def sleep(ticks):
        set_current_state(1)
        begin = time.monotonic()
        left = schedule_timeout(ticks)
        return left, time.monotonic() - begin

    left, seconds = machine.run(sleep, 3)
    assert left == 0
    assert seconds >= 0.03


def test_a_signal_ends_an_interruptible_sleep(machine, place):
    from cpus.semaphore_cy import down, down_interruptible, sema_init
    from cpus.task_cy import all_tasks
    from cpus.wait_cy import init_waitqueue_head, wait_event_interruptible

    machine.run(lambda: (sema_init(place, 1), init_waitqueue_head(place + 512)))
    machine.run(lambda: down(place))

    def asleep(pid):
        return machine.run(lambda: [t["state"] for t in all_tasks() if t["pid"] == pid]) == [1]

    task = machine.spawn(lambda: down_interruptible(place), cpu=0)
    assert wait_until(lambda: asleep(task.pid))
    task.interrupt()
    assert task.result(20) == -EINTR
    task = machine.spawn(lambda: wait_event_interruptible(place + 512, lambda: False), cpu=1)
    assert wait_until(lambda: asleep(task.pid))
    task.interrupt()
    assert task.result(20) == -ERESTARTSYS


def test_kill_ends_a_task_that_calls_no_kernel(machine):
    def spin():
        while True:
            pass

    task = machine.spawn(spin, cpu=1)
    assert machine.run(lambda: 1, cpu=0) == 1
    task.kill()
    with pytest.raises(BaseException, match="killed"):
        task.result(20)
    assert machine.run(lambda: 2, cpu=1) == 2


def test_kill_ends_a_task_that_has_not_begun(machine, place):
    from cpus.context_cy import preempt_disable, preempt_enable

    def hold():
        preempt_disable()
        add(place, 1)
        while add(place, 0) == 1:
            pass
        preempt_enable()

    def spin():
        while True:
            pass

    holder = machine.spawn(hold, cpu=1)
    assert wait_until(lambda: machine.run(add, place, 0, cpu=0) == 1)
    task = machine.spawn(spin, cpu=1)
    task.kill()
    machine.run(add, place, 1, cpu=0)
    holder.result(20)
    with pytest.raises(BaseException, match="killed"):
        task.result(20)


def test_readers_share_and_writers_do_not(machine, place):
    from cpus.atomic_cy import atomic_dec, atomic_inc, atomic_read
    from cpus.rwsem_cy import down_read, down_write, init_rwsem, up_read, up_write
    from cpus.task_calls_cy import yield_

    readers, writers = place + 512, place + 520

    def read(n):
        most = 0
        for _ in range(n):
            down_read(place)
            atomic_inc(readers)
            yield_()
            most = max(most, atomic_read(readers))
            assert atomic_read(writers) == 0
            atomic_dec(readers)
            up_read(place)
        return most

    def write(n):
        for _ in range(n):
            down_write(place)
            atomic_inc(writers)
            yield_()
            assert atomic_read(writers) == 1
            assert atomic_read(readers) == 0
            atomic_dec(writers)
            up_write(place)

    machine.run(lambda: init_rwsem(place))
    tasks = [machine.spawn(read, 60, cpu=n % 2) for n in range(4)]
    tasks += [machine.spawn(write, 60, cpu=n) for n in range(2)]
    results = [task.result(30) for task in tasks]
    assert max(r for r in results if r) >= 2


def test_two_semaphores_in_the_wrong_order_are_a_deadlock(machine, place):
    from cpus.semaphore_cy import down, sema_init, up

    first, second, turn = place, place + 128, place + 512

    def take(a, b, mine):
        down(a)
        add(turn + 8 * mine, 1)
        while not (add(turn, 0) and add(turn + 8, 0)):
            pass
        try:
            down(b)
            up(b)
        finally:
            up(a)
        return "done"

    machine.run(lambda: (sema_init(first, 1), sema_init(second, 1)))
    tasks = [
        machine.spawn(take, first, second, 0, cpu=0),
        machine.spawn(take, second, first, 1, cpu=1),
    ]
    caught = []
    results = []
    for task in tasks:
        try:
            results.append(task.result(20))
        except Deadlock as error:
            caught.append(error)
    assert results == ["done"]
    assert len(caught) == 1
    assert caught[0].report.count("held by task") == 2


def test_down_in_atomic_context_is_a_breach(machine, place):
    from cpus.context_cy import local_bh_disable, local_bh_enable
    from cpus.semaphore_cy import down, sema_init

    def breach():
        sema_init(place, 1)
        local_bh_disable()
        try:
            down(place)
        finally:
            local_bh_enable()

    with pytest.raises(SleepingInAtomic) as caught:
        machine.run(breach)
    assert "invalid context" in caught.value.report


def test_down_on_address_0_is_an_oops(machine):
    from cpus.semaphore_cy import down

    with pytest.raises(NullDereference):
        machine.run(lambda: down(0))


def test_what_a_task_of_a_killed_cpu_had_downed_is_given_up_and_named(machine, place):
    from cpus.semaphore_cy import down, sema_init, up
    from cpus.task_cy import all_tasks

    machine.run(lambda: sema_init(place, 1), cpu=0)

    def hold_and_die(pid):
        down(place)
        while not [t for t in all_tasks() if t["pid"] == pid and t["state"] == 2]:
            pass
        os.kill(os.getpid(), signal.SIGKILL)

    def waiter():
        down(place)
        up(place)
        return "got it"

    waiting = machine.spawn(lambda: wait_for_go(place, waiter), cpu=0)
    holder = machine.spawn(hold_and_die, waiting.pid, cpu=1)
    with pytest.raises(CpuDied):
        holder.result(20)
    assert waiting.result(20) == "got it"


def wait_for_go(place, waiter):
    from cpus.semaphore_cy import down_trylock, up
    from cpus.task_calls_cy import yield_

    while down_trylock(place) == 0:
        up(place)
        yield_()
    return waiter()


def test_kernel_threads_run_and_move_to_another_cpu_when_theirs_dies(machine, place):
    from cpus.sched import kernel_thread
    from cpus.task_calls_cy import schedule_timeout, set_current_state

    where = place + 512

    def thread():
        add(where, 1)
        add(where + 8 * (1 + cpu_number()), 1)
        while True:
            set_current_state(1)
            schedule_timeout(100)

    pid = machine.run(lambda: kernel_thread(thread, cpu=1))
    assert pid > 1
    assert wait_until(lambda: machine.run(lambda: add(where, 0), cpu=0) == 1)
    assert machine.run(lambda: add(where + 16, 0), cpu=0) == 1
    os.kill(machine.cpus[1].pid, signal.SIGKILL)
    assert wait_until(lambda: machine.run(lambda: add(where, 0), cpu=0) == 2)
    assert machine.run(lambda: add(where + 8, 0), cpu=0) == 1


def cpu_number():
    from cpus.context_cy import smp_processor_id

    return smp_processor_id()


def test_a_task_is_a_handle_with_an_address(machine):
    from cpus.task_calls_cy import current, wake_up_task

    def look():
        task = current()
        return task.pid, task.address, task == current(), wake_up_task(task.address)

    pid, address, same, woken = machine.run(look)
    assert pid == 1001
    assert 0xFF000000 <= address < 1 << 32
    assert same
    assert not woken


def test_a_kernel_thread_that_is_busy_lets_others_run_where_it_says_so(machine, place):
    def busy():
        from cpus import task_calls_cy

        while not add(place, 0):
            task_calls_cy.cond_resched()
        add(place + 8, 1)

    def start():
        from cpus.sched import kernel_thread

        kernel_thread(busy, cpu=1)

    machine.run(start)
    machine.run(lambda: add(place, 1), cpu=1)  # would wait for ever
    assert wait_until(lambda: machine.run(lambda: add(place + 8, 0)))
