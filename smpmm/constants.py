"""Numbers of the kernel headers that drivers use by name, per kernel version.

Follows linux/mm.h, linux/slab.h, asm/signal.h, asm/ioctl.h, linux/kdev_t.h. Only data: what a
name means in a machine is what `constants_of(version)` says. Outside a machine the same names
are symbols (`smpmm.symbols`).
"""

import errno
from types import MappingProxyType
from typing import Final

from smpmm.profile import GFP_2_4_0

ERRNO: Final = MappingProxyType(
    {name: number for number, name in errno.errorcode.items()}
    | {
        "EWOULDBLOCK": errno.EAGAIN,
        # Never seen by a user process: linux/errno.h, the part under __KERNEL__.
        "ERESTARTSYS": 512,
        "ERESTARTNOINTR": 513,
        "ERESTARTNOHAND": 514,
        "ENOIOCTLCMD": 515,
    }
)

SLAB_2_4_5: Final = MappingProxyType(
    {
        "SLAB_DEBUG_FREE": 0x100,
        "SLAB_DEBUG_INITIAL": 0x200,
        "SLAB_RED_ZONE": 0x400,
        "SLAB_POISON": 0x800,
        "SLAB_NO_REAP": 0x1000,
        "SLAB_NO_GROW": 0x1000,
        "SLAB_HWCACHE_ALIGN": 0x2000,
        "SLAB_CACHE_DMA": 0x4000,
        "SLAB_BUFFER": 0x03,
        "SLAB_ATOMIC": 0x02,
        "SLAB_USER": 0x05,
        "SLAB_KERNEL": 0x07,
        "SLAB_NFS": 0x07,
        "SLAB_DMA": 0x08,
        "SLAB_CTOR_CONSTRUCTOR": 1,
        "SLAB_CTOR_ATOMIC": 2,
        "SLAB_CTOR_VERIFY": 4,
    }
)

IRQ_I386: Final = MappingProxyType(
    {
        "SA_SHIRQ": 0x04000000,
        "SA_SAMPLE_RANDOM": 0x10000000,
        "SA_INTERRUPT": 0x20000000,
    }
)

FILE_I386: Final = MappingProxyType(
    {
        "O_ACCMODE": 3,
        "O_RDONLY": 0,
        "O_WRONLY": 1,
        "O_RDWR": 2,
        "O_CREAT": 0o100,
        "O_EXCL": 0o200,
        "O_TRUNC": 0o1000,
        "O_APPEND": 0o2000,
        "O_NONBLOCK": 0o4000,
        "SEEK_SET": 0,
        "SEEK_CUR": 1,
        "SEEK_END": 2,
        "FMODE_READ": 1,
        "FMODE_WRITE": 2,
        "VERIFY_READ": 0,
        "VERIFY_WRITE": 1,
    }
)

TASK: Final = MappingProxyType(
    {
        "TASK_RUNNING": 0,
        "TASK_INTERRUPTIBLE": 1,
        "TASK_UNINTERRUPTIBLE": 2,
        "CAP_SYS_ADMIN": 21,
    }
)

# enum km_type of asm-i386/kmap_types.h.
KMAP_I386: Final = MappingProxyType(
    {
        "KM_BOUNCE_READ": 0,
        "KM_BOUNCE_WRITE": 1,
        "KM_SKB_DATA": 2,
        "KM_SKB_DATA_SOFTIRQ": 3,
        "KM_TYPE_NR": 4,
    }
)

# linux/mm.h: flags of a mapping, and what a nopage operation returns where there is no page.
VM_2_4: Final = MappingProxyType(
    {
        "VM_READ": 0x1,
        "VM_WRITE": 0x2,
        "VM_EXEC": 0x4,
        "VM_SHARED": 0x8,
        "VM_IO": 0x4000,
        "VM_RESERVED": 0x80000,
        "NOPAGE_SIGBUS": 0,
        "NOPAGE_OOM": 0xFFFFFFFF,
    }
)

LOG_LEVELS: Final = MappingProxyType(
    {
        "KERN_EMERG": "<0>",
        "KERN_ALERT": "<1>",
        "KERN_CRIT": "<2>",
        "KERN_ERR": "<3>",
        "KERN_WARNING": "<4>",
        "KERN_NOTICE": "<5>",
        "KERN_INFO": "<6>",
        "KERN_DEBUG": "<7>",
    }
)

PAGE_I386: Final = MappingProxyType(
    {
        "HZ": 100,
        "PAGE_SHIFT": 12,
        "PAGE_SIZE": 1 << 12,
        "PAGE_MASK": 0xFFFFF000,
        "PAGE_OFFSET": 0xC0000000,
        "MAX_DMA_ADDRESS": 0xC1000000,
        "L1_CACHE_BYTES": 32,
        "BITS_PER_LONG": 32,
        "TASK_SIZE": 0xC0000000,
    }
)

# What Python's mangling in a class body would hide, by its unmangled name; not where that name
# is another kernel function.
NEVER_UNMANGLED: Final = frozenset({"__free_page", "__free_pages", "__get_free_page"})


def unmangled(name: str) -> str | None:
    """Return the second name of a name with leading underscores, None when it has none."""
    if not name.startswith("__") or name in NEVER_UNMANGLED:
        return None
    return name.lstrip("_")


VERSIONS: Final = MappingProxyType(
    {
        "2.4.5": MappingProxyType(
            {
                **ERRNO,
                **GFP_2_4_0,
                **SLAB_2_4_5,
                **IRQ_I386,
                **FILE_I386,
                **TASK,
                **KMAP_I386,
                **VM_2_4,
                **LOG_LEVELS,
                **PAGE_I386,
            }
        )
    }
)
