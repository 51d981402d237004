"""Numbers of the kernel headers that drivers use by name, per kernel version.

Follows linux/mm.h, linux/slab.h, asm/signal.h, asm/ioctl.h, linux/kdev_t.h. Only data: what a
name means in a machine is what `constants_of(version)` says. Outside a machine the same names
are symbols (`smpmm.symbols`).
"""

import errno
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from smpmm.profile import Profile, profile_for
from smpmm.profiles import gfp, slabflags
from smpmm.profiles.version import KERNEL_VERSION, Range

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

# Where the addresses of user processes end.
TASK_SIZE: Final = MappingProxyType(
    {"i386": 0xC0000000, "x86_64": 0x0000800000000000, "ia64": 0xA000000000000000}
)

# What Python's mangling in a class body would hide, by its unmangled name; not where that name
# is another kernel function.
NEVER_UNMANGLED: Final = frozenset({"__free_page", "__free_pages", "__get_free_page"})


def unmangled(name: str) -> str | None:
    """Return the second name of a name with leading underscores, None when it has none."""
    if not name.startswith("__") or name in NEVER_UNMANGLED:
        return None
    return name.lstrip("_")


@lru_cache(maxsize=64)
def constants_of(version: str, arch: str = "i386") -> Mapping[str, Any]:
    """Return the constants of a kernel version on an architecture, by name."""
    profile = profile_for(version, arch)
    values = {
        **ERRNO,
        **profile.memory.gfp,
        **slabflags.flags_of(profile.number, profile.memory.gfp),
        **IRQ_I386,
        **FILE_I386,
        **TASK,
        **(KMAP_I386 if profile.memory.pkmap_base else {}),
        **VM_2_4,
        **LOG_LEVELS,
        **page_constants(profile),
    }
    for name in list(values):
        second = unmangled(name)
        if second:
            values.setdefault(second, values[name])
    return MappingProxyType(values)


def page_constants(profile: Profile) -> dict[str, int]:
    """Return sizes and addresses of an architecture, and the version as drivers test it."""
    memory = profile.memory
    mask = (1 << profile.arch_profile.bits) - 1
    return {
        "HZ": profile.hz,
        "PAGE_SHIFT": memory.page_shift,
        "PAGE_SIZE": 1 << memory.page_shift,
        "PAGE_MASK": mask & ~((1 << memory.page_shift) - 1),
        "PAGE_OFFSET": memory.page_offset,
        "MAX_DMA_ADDRESS": memory.page_offset + memory.max_dma_bytes,
        "L1_CACHE_BYTES": profile.arch_profile.l1_cache_bytes,
        "BITS_PER_LONG": profile.arch_profile.bits,
        "TASK_SIZE": TASK_SIZE[profile.arch],
        "LINUX_VERSION_CODE": KERNEL_VERSION(*(*profile.number, 0)[:3]),
    }


# One point of each range of flags: together they have every name of any version.
EXAMPLES: Final = (
    "2.0.40", "2.2.18", "2.4.5", "2.4.6", "2.4.18", "2.6.11", "2.6.32", "3.10", "4.19", "6.18",
)  # fmt: skip
# Full numbers, by which the tables are kept here; others are read when asked for.
VERSIONS: Final = MappingProxyType({version: constants_of(version) for version in EXAMPLES})


def ranges_of(name: str) -> tuple[Range, ...]:
    """Return the versions that have a constant; empty when all of them do."""
    if name.startswith("SLAB_") and slabflags.ranges_of(name):
        return slabflags.ranges_of(name)
    if name.startswith("SLAB_"):
        first, last = slabflags.SLAB_FIRST, slabflags.GFP_NAMES_RANGE.last
        found = ranges_of(f"GFP_{name.removeprefix('SLAB_')}")
        return tuple(
            Range(max(r.first, first), min(r.last, last) if r.last else last) for r in found
        )
    return gfp.ranges_of(name) or gfp.ranges_of(f"__{name}")
