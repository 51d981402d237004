"""Rows of `context_table`: interrupts, tasks, deferred work, devices."""

from collections.abc import Callable
from typing import Any

from smpmm.kernel import *
from tests.smp.context_row import (
    BUG_TEXT,
    Row,
    everywhere,
    idle,
    idle_fops,
    idle_handler,
    idle_read_proc,
    sleeps,
    unchecked,
)


def with_flags(change: Callable[[], Any]) -> Callable[[Any], None]:
    """Return a call that changes the interrupt flag and puts it back, as a driver does."""

    def call(env: Any) -> None:
        flags = local_irq_save()
        change()
        local_irq_restore(flags)

    return call


def with_global_flags(change: Callable[[], Any]) -> Callable[[Any], None]:
    """Return such a call for cli and sti, whose lock is global up to 2.4."""

    def call(env: Any) -> None:
        flags = save_flags()
        change()
        restore_flags(flags)

    return call


def both(first: Callable[[], Any], second: Callable[[], Any]) -> Callable[[Any], None]:
    """Return a call of two functions without arguments, one after the other."""

    def call(env: Any) -> None:
        first()
        second()

    return call


GLOBAL_CLI_GONE = (2, 5, 28)

SWITCHES = (
    everywhere("cli", with_global_flags(lambda: cli()), until=GLOBAL_CLI_GONE),
    everywhere("sti", with_global_flags(lambda: sti()), until=GLOBAL_CLI_GONE),
    everywhere("save_flags", with_global_flags(lambda: None), until=GLOBAL_CLI_GONE),
    everywhere("restore_flags", with_global_flags(lambda: None), until=GLOBAL_CLI_GONE),
    everywhere("local_irq_disable", with_flags(lambda: local_irq_disable())),
    everywhere("local_irq_enable", with_flags(lambda: local_irq_enable())),
    everywhere("local_irq_save", with_flags(lambda: None)),
    everywhere("local_irq_restore", with_flags(lambda: None)),
    everywhere(
        "local_bh_disable", both(lambda: local_bh_disable(), lambda: local_bh_enable())
    ),
    everywhere("local_bh_enable", both(lambda: local_bh_disable(), lambda: local_bh_enable())),
    everywhere("preempt_disable", both(lambda: preempt_disable(), lambda: preempt_enable())),
    everywhere("preempt_enable", both(lambda: preempt_disable(), lambda: preempt_enable())),
    everywhere("in_interrupt", lambda env: in_interrupt()),
    everywhere("in_irq", lambda env: in_irq()),
    everywhere("in_softirq", lambda env: in_softirq()),
    everywhere("in_atomic", lambda env: in_atomic()),
    everywhere("irqs_disabled", lambda env: irqs_disabled()),
    sleeps("might_sleep", lambda env: might_sleep()),
)

TASKS = (
    everywhere("current", lambda env: current()),
    everywhere("smp_processor_id", lambda env: smp_processor_id()),
    # Where in_interrupt() is true, 2.4's text is "Scheduling in interrupt".
    sleeps("schedule", lambda env: schedule()),
    sleeps("schedule_timeout", lambda env: schedule_timeout(1)),
    sleeps("kernel_thread", lambda env: kernel_thread(idle)),
    everywhere("set_current_state", lambda env: set_current_state(TASK_RUNNING)),
    everywhere("signal_pending", lambda env: signal_pending(current())),
    everywhere("jiffies", lambda env: jiffies()),
    everywhere("udelay", lambda env: udelay(1)),
    everywhere("mdelay", lambda env: mdelay(1)),
    everywhere("printk", lambda env: printk("context\n")),
    everywhere("high_memory", lambda env: high_memory()),
    Row("BUG", ("bug",) * 6, lambda env: BUG(), error="KernelBug", text=BUG_TEXT),
    Row("panic", ("panic",) * 6, lambda env: panic("context"), text="Kernel panic: context"),
)


def new_irq(env: Any) -> int:
    return request_irq(env.spare_irq, idle_handler, 0, "context", env)


def release_irq(env: Any) -> None:
    free_irq(env.irq, env)
    env.irq = -1


def disabled(disable: Callable[[int], Any]) -> Callable[[Any], None]:
    """Return a call that disables the line and enables it again."""

    def call(env: Any) -> None:
        disable(env.irq)
        enable_irq(env.irq)

    return call


# The line of Env is quiet: a call that waits for its handler finds it finished.
INTERRUPTS = (
    sleeps("request_irq", new_irq, lambda env, result: free_irq(env.spare_irq, env)),
    everywhere("free_irq", release_irq),
    everywhere("disable_irq", disabled(lambda irq: disable_irq(irq))),
    everywhere("disable_irq_nosync", disabled(lambda irq: disable_irq_nosync(irq))),
    everywhere("enable_irq", disabled(lambda irq: disable_irq_nosync(irq))),
    everywhere(
        "synchronize_irq", lambda env: synchronize_irq(), leaves="irqs on", until=(2, 5, 28)
    ),
    everywhere("synchronize_irq", lambda env: synchronize_irq(env.irq), since=(2, 5, 28)),
    everywhere("raise_irq", lambda env: raise_irq(env.irq)),
)


def tasklet_off_and_on(env: Any) -> None:
    tasklet_disable(env.tasklet)
    tasklet_enable(env.tasklet)


def tasklet_off_and_on_nosync(env: Any) -> None:
    tasklet_disable_nosync(env.tasklet)
    tasklet_enable(env.tasklet)


DEFERRED = (
    everywhere("tasklet_init", lambda env: tasklet_init(env.tasklet, idle, 0)),
    everywhere("tasklet_schedule", lambda env: tasklet_schedule(env.tasklet)),
    everywhere("tasklet_hi_schedule", lambda env: tasklet_hi_schedule(env.tasklet)),
    everywhere("tasklet_disable", tasklet_off_and_on),
    everywhere("tasklet_disable_nosync", tasklet_off_and_on_nosync),
    everywhere("tasklet_enable", tasklet_off_and_on),
    # In interrupt 2.4 logs "Attempt to kill tasklet from interrupt", then may schedule().
    sleeps("tasklet_kill", lambda env: tasklet_kill(env.tasklet)),
    everywhere("init_timer", lambda env: init_timer(env.timer)),
    everywhere("add_timer", lambda env: add_timer(env.timer)),
    everywhere("mod_timer", lambda env: mod_timer(env.timer, jiffies() + 100 * HZ)),
    everywhere("del_timer", lambda env: del_timer(env.timer)),
    everywhere("del_timer_sync", lambda env: del_timer_sync(env.timer)),
    everywhere("timer_pending", lambda env: timer_pending(env.timer)),
    everywhere("queue_task", lambda env: queue_task(env.task, tq_timer)),
    everywhere("mark_bh", lambda env: mark_bh(IMMEDIATE_BH)),
    everywhere("schedule_task", lambda env: schedule_task(env.task)),
    sleeps("flush_scheduled_tasks", lambda env: flush_scheduled_tasks()),
)


def forget_chrdev(env: Any, major: int) -> None:
    unregister_chrdev(major, "context")


DEVICES = (
    # chrdevs_lock is taken without masking anything, by open() too; a task's business.
    unchecked(
        "register_chrdev", lambda env: register_chrdev(0, "context", idle_fops), forget_chrdev
    ),
    unchecked("unregister_chrdev", lambda env: unregister_chrdev(250, "context_none")),
    sleeps(
        "create_proc_read_entry",
        lambda env: create_proc_read_entry("context", 0, None, idle_read_proc, None),
        lambda env, entry: remove_proc_entry("context", None),
    ),
    unchecked("remove_proc_entry", lambda env: remove_proc_entry("context_none", None)),
    everywhere("capable", lambda env: capable(CAP_SYS_ADMIN)),
    everywhere("MKDEV", lambda env: MKDEV(10, 1)),
    everywhere("MAJOR", lambda env: MAJOR(MKDEV(10, 1))),
    everywhere("KERNEL_VERSION", lambda env: KERNEL_VERSION(2, 4, 5)),
    everywhere("MINOR", lambda env: MINOR(MKDEV(10, 1))),
    everywhere("_IOC", lambda env: _IOC(_IOC_READ, "k", 1, 4)),
    everywhere("_IO", lambda env: _IO("k", 1)),
    everywhere("_IOR", lambda env: _IOR("k", 1, 4)),
    everywhere("_IOW", lambda env: _IOW("k", 1, 4)),
    everywhere("_IOWR", lambda env: _IOWR("k", 1, 4)),
    everywhere("_IOC_DIR", lambda env: _IOC_DIR(_IOW("k", 1, 4))),
    everywhere("_IOC_TYPE", lambda env: _IOC_TYPE(_IOW("k", 1, 4))),
    everywhere("_IOC_NR", lambda env: _IOC_NR(_IOW("k", 1, 4))),
    everywhere("_IOC_SIZE", lambda env: _IOC_SIZE(_IOW("k", 1, 4))),
)
