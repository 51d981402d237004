"""ioctl numbers: Linux's encoding (<asm/ioctl.h>) and the commands of the scull family.

Plain integers that need no machine, so that a driver and the program that calls it read the
same header, as they share scull.h in the book. The encoding is that of i386, which x86-64,
ia64 and ARM have too: bits 0-7 the command's number, 8-15 the driver's magic letter, 16-29 the
size of the argument in bytes, 30-31 the direction as the program sees it (1 it writes, 2 it
reads, 3 both). Alpha, MIPS, PowerPC and SPARC encode otherwise and are left out.

The letters in the names: S set through a pointer, T tell by value, G get through a pointer,
Q query by the return value, X exchange through a pointer, H shift: new value by value, old one
by the return value.
"""

_IOC_NRSHIFT = 0
_IOC_TYPESHIFT = 8
_IOC_SIZESHIFT = 16
_IOC_DIRSHIFT = 30

_IOC_NONE = 0
_IOC_WRITE = 1
_IOC_READ = 2

INT_BYTES = 4  # sizeof(int) in every profile


def _IOC(direction, magic, number, size_bytes):
    """Encode a command; `magic` is a letter or its code."""
    letter = ord(magic) if isinstance(magic, str) else magic
    return (
        direction << _IOC_DIRSHIFT
        | size_bytes << _IOC_SIZESHIFT
        | letter << _IOC_TYPESHIFT
        | number << _IOC_NRSHIFT
    )


def _IO(magic, number):
    """Encode a command without an argument in memory."""
    return _IOC(_IOC_NONE, magic, number, 0)


def _IOR(magic, number, size_bytes):
    """Encode a command whose argument the program reads back."""
    return _IOC(_IOC_READ, magic, number, size_bytes)


def _IOW(magic, number, size_bytes):
    """Encode a command whose argument the program passes in memory."""
    return _IOC(_IOC_WRITE, magic, number, size_bytes)


def _IOWR(magic, number, size_bytes):
    """Encode a command whose argument goes both ways."""
    return _IOC(_IOC_READ | _IOC_WRITE, magic, number, size_bytes)


def _IOC_DIR(command):
    """Return the direction bits of a command."""
    return command >> _IOC_DIRSHIFT & 0x3


def _IOC_TYPE(command):
    """Return the code of a command's magic letter."""
    return command >> _IOC_TYPESHIFT & 0xFF


def _IOC_NR(command):
    """Return the number of a command within its driver."""
    return command >> _IOC_NRSHIFT & 0xFF


def _IOC_SIZE(command):
    """Return the size of a command's argument in bytes."""
    return command >> _IOC_SIZESHIFT & 0x3FFF


# scull: numbers 13 and 14 belong to its pipe devices.
SCULL_IOC_MAGIC = ord("k")
SCULL_IOC_MAXNR = 15
SCULL_IOCRESET = _IO("k", 0)
SCULL_IOCSQUANTUM = _IOW("k", 1, INT_BYTES)
SCULL_IOCSQSET = _IOW("k", 2, INT_BYTES)
SCULL_IOCTQUANTUM = _IO("k", 3)
SCULL_IOCTQSET = _IO("k", 4)
SCULL_IOCGQUANTUM = _IOR("k", 5, INT_BYTES)
SCULL_IOCGQSET = _IOR("k", 6, INT_BYTES)
SCULL_IOCQQUANTUM = _IO("k", 7)
SCULL_IOCQQSET = _IO("k", 8)
SCULL_IOCXQUANTUM = _IOWR("k", 9, INT_BYTES)
SCULL_IOCXQSET = _IOWR("k", 10, INT_BYTES)
SCULL_IOCHQUANTUM = _IO("k", 11)
SCULL_IOCHQSET = _IO("k", 12)
SCULL_P_IOCTSIZE = _IO("k", 13)
SCULL_P_IOCQSIZE = _IO("k", 14)
SCULL_IOCHARDRESET = _IO("k", 15)

# scullc
SCULLC_IOC_MAGIC = ord("K")
SCULLC_IOC_MAXNR = 13
SCULLC_IOCRESET = _IO("K", 0)
SCULLC_IOCSQUANTUM = _IOW("K", 1, INT_BYTES)
SCULLC_IOCTQUANTUM = _IO("K", 2)
SCULLC_IOCGQUANTUM = _IOR("K", 3, INT_BYTES)
SCULLC_IOCQQUANTUM = _IO("K", 4)
SCULLC_IOCXQUANTUM = _IOWR("K", 5, INT_BYTES)
SCULLC_IOCHQUANTUM = _IO("K", 6)
SCULLC_IOCSQSET = _IOW("K", 7, INT_BYTES)
SCULLC_IOCTQSET = _IO("K", 8)
SCULLC_IOCGQSET = _IOR("K", 9, INT_BYTES)
SCULLC_IOCQQSET = _IO("K", 10)
SCULLC_IOCXQSET = _IOWR("K", 11, INT_BYTES)
SCULLC_IOCHQSET = _IO("K", 12)
SCULLC_IOCHARDRESET = _IO("K", 13)

# scullp
SCULLP_IOC_MAGIC = ord("K")
SCULLP_IOC_MAXNR = 13
SCULLP_IOCRESET = _IO("K", 0)
SCULLP_IOCSORDER = _IOW("K", 1, INT_BYTES)
SCULLP_IOCTORDER = _IO("K", 2)
SCULLP_IOCGORDER = _IOR("K", 3, INT_BYTES)
SCULLP_IOCQORDER = _IO("K", 4)
SCULLP_IOCXORDER = _IOWR("K", 5, INT_BYTES)
SCULLP_IOCHORDER = _IO("K", 6)
SCULLP_IOCSQSET = _IOW("K", 7, INT_BYTES)
SCULLP_IOCTQSET = _IO("K", 8)
SCULLP_IOCGQSET = _IOR("K", 9, INT_BYTES)
SCULLP_IOCQQSET = _IO("K", 10)
SCULLP_IOCXQSET = _IOWR("K", 11, INT_BYTES)
SCULLP_IOCHQSET = _IO("K", 12)
SCULLP_IOCHARDRESET = _IO("K", 13)

SCULLV_IOC_MAGIC = ord("K")
SCULLV_IOC_MAXNR = 13
SCULLV_IOCRESET = _IO("K", 0)
SCULLV_IOCSORDER = _IOW("K", 1, INT_BYTES)
SCULLV_IOCTORDER = _IO("K", 2)
SCULLV_IOCGORDER = _IOR("K", 3, INT_BYTES)
SCULLV_IOCQORDER = _IO("K", 4)
SCULLV_IOCXORDER = _IOWR("K", 5, INT_BYTES)
SCULLV_IOCHORDER = _IO("K", 6)
SCULLV_IOCSQSET = _IOW("K", 7, INT_BYTES)
SCULLV_IOCTQSET = _IO("K", 8)
SCULLV_IOCGQSET = _IOR("K", 9, INT_BYTES)
SCULLV_IOCQQSET = _IO("K", 10)
SCULLV_IOCXQSET = _IOWR("K", 11, INT_BYTES)
SCULLV_IOCHQSET = _IO("K", 12)
SCULLV_IOCHARDRESET = _IO("K", 13)

__all__ = [
    "_IOC_NRSHIFT", "_IOC_TYPESHIFT", "_IOC_SIZESHIFT", "_IOC_DIRSHIFT", "_IOC_NONE",
    "_IOC_WRITE", "_IOC_READ", "INT_BYTES", "_IOC", "_IO", "_IOR", "_IOW", "_IOWR",
    "_IOC_DIR", "_IOC_TYPE", "_IOC_NR", "_IOC_SIZE", "SCULL_IOC_MAGIC", "SCULL_IOC_MAXNR",
    "SCULL_IOCRESET", "SCULL_IOCSQUANTUM", "SCULL_IOCSQSET", "SCULL_IOCTQUANTUM",
    "SCULL_IOCTQSET", "SCULL_IOCGQUANTUM", "SCULL_IOCGQSET", "SCULL_IOCQQUANTUM",
    "SCULL_IOCQQSET", "SCULL_IOCXQUANTUM", "SCULL_IOCXQSET", "SCULL_IOCHQUANTUM",
    "SCULL_IOCHQSET", "SCULL_P_IOCTSIZE", "SCULL_P_IOCQSIZE", "SCULL_IOCHARDRESET",
    "SCULLC_IOC_MAGIC", "SCULLC_IOC_MAXNR", "SCULLC_IOCRESET", "SCULLC_IOCSQUANTUM",
    "SCULLC_IOCTQUANTUM", "SCULLC_IOCGQUANTUM", "SCULLC_IOCQQUANTUM", "SCULLC_IOCXQUANTUM",
    "SCULLC_IOCHQUANTUM", "SCULLC_IOCSQSET", "SCULLC_IOCTQSET", "SCULLC_IOCGQSET",
    "SCULLC_IOCQQSET", "SCULLC_IOCXQSET", "SCULLC_IOCHQSET", "SCULLC_IOCHARDRESET",
    "SCULLP_IOC_MAGIC", "SCULLP_IOC_MAXNR", "SCULLP_IOCRESET", "SCULLP_IOCSORDER",
    "SCULLP_IOCTORDER", "SCULLP_IOCGORDER", "SCULLP_IOCQORDER", "SCULLP_IOCXORDER",
    "SCULLP_IOCHORDER", "SCULLP_IOCSQSET", "SCULLP_IOCTQSET", "SCULLP_IOCGQSET",
    "SCULLP_IOCQQSET", "SCULLP_IOCXQSET", "SCULLP_IOCHQSET", "SCULLP_IOCHARDRESET",
    "SCULLV_IOC_MAGIC", "SCULLV_IOC_MAXNR", "SCULLV_IOCRESET", "SCULLV_IOCSORDER",
    "SCULLV_IOCTORDER", "SCULLV_IOCGORDER", "SCULLV_IOCQORDER", "SCULLV_IOCXORDER",
    "SCULLV_IOCHORDER", "SCULLV_IOCSQSET", "SCULLV_IOCTQSET", "SCULLV_IOCGQSET",
    "SCULLV_IOCQQSET", "SCULLV_IOCXQSET", "SCULLV_IOCHQSET", "SCULLV_IOCHARDRESET",
]  # fmt: skip
