"""Device numbers as 2.4 has them (linux/kdev_t.h): 8 bits of major, 8 bits of minor."""

from typing import Final

MINOR_BITS: Final = 8
MAX_CHRDEV: Final = 255


def MAJOR(device: int) -> int:
    """Return the major of a device number."""
    return device >> MINOR_BITS


def MINOR(device: int) -> int:
    """Return the minor of a device number."""
    return device & (1 << MINOR_BITS) - 1


def MKDEV(major: int, minor: int) -> int:
    """Return the device number of a major and a minor."""
    return major << MINOR_BITS | minor
