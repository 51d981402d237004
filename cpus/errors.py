"""The exceptions: what the machine says of kernel code, of itself and of its user."""


class KernelBug(Exception):
    """Kernel code broke a rule: BUG, oops, panic. `report` is the kernel's own text."""

    def __init__(self, summary: str, report: str = "") -> None:
        super().__init__(summary)
        self.report = report or summary

    def __reduce__(self):
        return type(self), (self.args[0], self.report)


class SleepingInAtomic(KernelBug):
    """Something that may sleep was called where nothing may."""


class BadFree(KernelBug):
    """A free of what is not allocated, or not by that call."""


class Deadlock(KernelBug):
    """A wait that can never end."""


class BadLock(KernelBug):
    """A wrong unlock, a lock that was never initialised, a lock kept too long."""


class SlabCorruption(KernelBug):
    """A slab object or its surroundings were overwritten."""


class Oops(KernelBug):
    """An access to an address at which there is no memory."""


class NullDereference(Oops):
    """An access near address 0."""


class KernelPanic(KernelBug):
    """The machine ended by panic(); `report` is the end of its log."""


class TaskKilled(BaseException):
    """Ends a task from inside, as SIGKILL does: Task.kill(), or Ctrl-C in Machine.run()."""


class OomKilled(TaskKilled):
    """The task was chosen by the OOM killer."""


class SmpmmError(Exception):
    """The machine itself, or how it is used."""


class ConfigError(SmpmmError, ValueError):
    """A bad option: the message names it and says what would be right."""


class CorruptionError(SmpmmError):
    """A broken invariant found by check(): a fault of smpmm, never of a driver."""


class MachineError(SmpmmError):
    """A process died, boot failed, or the host has no room for the RAM."""


class CpuDied(MachineError):
    """The CPU that ran the task was killed."""
