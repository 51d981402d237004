"""An open file as a driver sees it, and the loop of a read or write system call.

What belongs to an open file (position, flags, private_data, device) lies in its record in the
segment: any CPU can serve its next system call. A `File` is this process's view of a record.
`transfer` is the body of sys_read and sys_write: one compiled loop around the driver's
function, so that 64 KiB in quanta of 4000 bytes cost the driver's time and little more.
"""

import cython
from cython.cimports.cpus.atomic import atomic64_load_acquire
from cython.cimports.cpus.handle_cy import address_of
from cython.cimports.cpus.kill_cy import KILL_OPEN_FILE, kill_point
from cython.cimports.cpus.percpu_cy import enter, leave
from cython.cimports.cpus.runqueue_cy import change_depth
from cython.cimports.smpmm.registry_cy import NR_FILES, RECORD_LIVE, open_files

EBADF = 9


class LoffT:
    """A `loff_t *`: the position of one call, read and written as `.value`."""

    def __init__(self, value: cython.longlong = 0):
        self.value = value


class Inode:
    """The device special file behind an open file."""

    def __init__(self, i_rdev: cython.ulonglong):
        self.i_rdev = i_rdev


class File:
    """struct file. Fields are words of the record; reading one is a kernel call."""

    def __init__(self, number: cython.int):
        if number < 0 or number >= NR_FILES:
            raise OSError(EBADF, f"no open file {number}")
        self.number = number
        self.record = cython.address(open_files[number])
        self.generation = self.record.generation
        self.check()
        self.f_inode = Inode(self.record.i_rdev)

    def check(self):
        if (
            atomic64_load_acquire(cython.address(self.record.state)) != RECORD_LIVE
            or self.record.generation != self.generation
        ):
            raise OSError(EBADF, f"file {self.number} is closed")
        return 0

    @property
    def f_pos(self):
        enter()
        value: cython.longlong = cython.cast(cython.longlong, self.record.f_pos)
        leave()
        return value

    @f_pos.setter
    def f_pos(self, value):
        position: cython.longlong = value
        enter()
        self.record.f_pos = cython.cast(u64, position)
        leave()

    @property
    def f_flags(self):
        enter()
        value: u64 = self.record.f_flags
        leave()
        return value

    @f_flags.setter
    def f_flags(self, value):
        flags: u64 = value
        enter()
        self.record.f_flags = flags
        leave()

    @property
    def f_mode(self):
        """FMODE_READ and FMODE_WRITE: the access mode plus one."""
        return (self.f_flags + 1) & 3

    @property
    def private_data(self):
        enter()
        value: u64 = self.record.private_data
        leave()
        return value

    @private_data.setter
    def private_data(self, value):
        address: u64 = address_of(value)
        enter()
        self.record.private_data = address
        leave()

    @property
    def f_op(self):
        enter()
        value: u64 = self.record.fops
        leave()
        return value

    @f_op.setter
    def f_op(self, value):
        address: u64 = address_of(value)
        enter()
        self.record.fops = address
        leave()

    @property
    def serial(self):
        """The serial number of the module whose use count this file holds."""
        return self.record.serial

    def __repr__(self):
        rdev = self.f_inode.i_rdev
        return f"<file {self.number} of device {rdev >> 8}:{rdev & 0xFF}>"


def begin_kernel() -> None:
    """Begin kernel code called by the kernel: it gives way only where its version does."""
    change_depth(1)
    enter()
    kill_point(KILL_OPEN_FILE)
    leave()


def end_kernel() -> None:
    """End what `begin_kernel` began; the task gives way if it was asked to meanwhile."""
    change_depth(-1)


def transfer(
    file: File,
    function: object,
    address: cython.ulonglong,
    count: cython.ulonglong,
    whole: cython.bint,
) -> int:
    """Read or write `count` bytes at a user address by the driver's `function`.

    One call of the driver, or, with `whole`, calls until all is taken, the end is met or one
    fails. Returns the bytes done, or the negative errno of the first call. Task context.
    """
    done: cython.ulonglong = 0
    result: cython.longlong = 0
    position: LoffT = LoffT(0)
    file.check()
    begin_kernel()
    try:
        while True:
            position.value = cython.cast(cython.longlong, file.record.f_pos)
            answer = function(file, address + done, count - done, position)
            if not isinstance(answer, int):
                raise TypeError(
                    f"{function!r} returned {answer!r}, neither a count nor a negative errno"
                )
            result = answer
            if result < 0:
                break
            file.record.f_pos = cython.cast(u64, position.value)
            done += cython.cast(cython.ulonglong, result)
            if result == 0 or done >= count or not whole:
                break
    finally:
        end_kernel()
    if result < 0 and done == 0:
        return result
    return done
