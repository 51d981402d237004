"""What `from smpmm.kernel import *` gives.

Made by `python -m smpmm.kernel_stub`. Kernel 2.4.5 on i386. A call is given here as a
machine's processes have it.
"""

from typing import Any, Final

from cpus.bug import (
    panic
)
from cpus.sched import (
    kernel_thread
)
from interrupts.irq import (
    disable_irq, disable_irq_nosync, enable_irq, free_irq, request_irq, synchronize_irq
)
from interrupts.tqueue import (
    flush_scheduled_tasks, queue_task, schedule_task
)
from smpmm.chrdev import (
    register_chrdev, unregister_chrdev
)
from smpmm.drivers.ioctl import (
    _IO, _IOC, _IOC_DIR, _IOC_NONE, _IOC_NR, _IOC_READ, _IOC_SIZE, _IOC_TYPE, _IOC_WRITE,
    _IOR, _IOW, _IOWR
)
from smpmm.fops import (
    file_operations, vm_operations_struct
)
from smpmm.kdev import (
    MAJOR, MINOR, MKDEV
)
from smpmm.kernel_types import (
    Address, Scalar, ptr, s16, s32, s64, s8, u16, u32, u64, u8
)
from smpmm.kstruct import (
    KStruct, offsetof
)
from smpmm.macros import (
    PAGE_ALIGN, spin_unlock_wait
)
from smpmm.mm.bigphysarea import (
    bigphysarea_alloc, bigphysarea_alloc_pages, bigphysarea_free, bigphysarea_free_pages
)
from smpmm.mm.bootmem_calls import (
    __alloc_bootmem, alloc_bootmem, alloc_bootmem_low, alloc_bootmem_low_pages,
    alloc_bootmem_pages, free_bootmem, reserve_bootmem
)
from smpmm.module import (
    MODULE_PARM, MOD_DEC_USE_COUNT, MOD_INC_USE_COUNT, module_exit, module_init
)
from smpmm.printk import (
    BUG, printk
)
from smpmm.proc.entries import (
    create_proc_read_entry, remove_proc_entry
)
from smpmm.profiles.version import (
    KERNEL_VERSION
)
from smpmm.sync import (
    atomic_t, completion, list_head, rw_semaphore, rwlock_t, semaphore, spinlock_t,
    tasklet_struct, timer_list, tq_struct, wait_queue_head_t
)

__all__ = [
    "BITS_PER_LONG", "BUG", "CAP_SYS_ADMIN", "E2BIG", "EACCES", "EADDRINUSE", "EADDRNOTAVAIL",
    "EADV", "EAFNOSUPPORT", "EAGAIN", "EALREADY", "EBADE", "EBADF", "EBADFD", "EBADMSG",
    "EBADR", "EBADRQC", "EBADSLT", "EBFONT", "EBUSY", "ECANCELED", "ECHILD", "ECHRNG",
    "ECOMM", "ECONNABORTED", "ECONNREFUSED", "ECONNRESET", "EDEADLOCK", "EDESTADDRREQ",
    "EDOM", "EDOTDOT", "EDQUOT", "EEXIST", "EFAULT", "EFBIG", "EHOSTDOWN", "EHOSTUNREACH",
    "EIDRM", "EILSEQ", "EINPROGRESS", "EINTR", "EINVAL", "EIO", "EISCONN", "EISDIR", "EISNAM",
    "EKEYEXPIRED", "EKEYREJECTED", "EKEYREVOKED", "EL2HLT", "EL2NSYNC", "EL3HLT", "EL3RST",
    "ELIBACC", "ELIBBAD", "ELIBEXEC", "ELIBMAX", "ELIBSCN", "ELNRNG", "ELOOP", "EMEDIUMTYPE",
    "EMFILE", "EMLINK", "EMSGSIZE", "EMULTIHOP", "ENAMETOOLONG", "ENAVAIL", "ENETDOWN",
    "ENETRESET", "ENETUNREACH", "ENFILE", "ENOANO", "ENOBUFS", "ENOCSI", "ENODATA", "ENODEV",
    "ENOENT", "ENOEXEC", "ENOIOCTLCMD", "ENOKEY", "ENOLCK", "ENOLINK", "ENOMEDIUM", "ENOMEM",
    "ENOMSG", "ENONET", "ENOPKG", "ENOPROTOOPT", "ENOSPC", "ENOSR", "ENOSTR", "ENOSYS",
    "ENOTBLK", "ENOTCONN", "ENOTDIR", "ENOTEMPTY", "ENOTNAM", "ENOTRECOVERABLE", "ENOTSOCK",
    "ENOTSUP", "ENOTTY", "ENOTUNIQ", "ENXIO", "EOVERFLOW", "EOWNERDEAD", "EPERM",
    "EPFNOSUPPORT", "EPIPE", "EPROTO", "EPROTONOSUPPORT", "EPROTOTYPE", "ERANGE", "EREMCHG",
    "EREMOTE", "EREMOTEIO", "ERESTART", "ERESTARTNOHAND", "ERESTARTNOINTR", "ERESTARTSYS",
    "ERFKILL", "EROFS", "ESHUTDOWN", "ESOCKTNOSUPPORT", "ESPIPE", "ESRCH", "ESRMNT", "ESTALE",
    "ESTRPIPE", "ETIME", "ETIMEDOUT", "ETOOMANYREFS", "ETXTBSY", "EUCLEAN", "EUNATCH",
    "EUSERS", "EWOULDBLOCK", "EXDEV", "EXFULL", "FMODE_READ", "FMODE_WRITE", "GFP_ATOMIC",
    "GFP_BUFFER", "GFP_DMA", "GFP_HIGH", "GFP_HIGHMEM", "GFP_HIGHUSER", "GFP_IO",
    "GFP_KERNEL", "GFP_KSWAPD", "GFP_NFS", "GFP_USER", "GFP_WAIT", "HZ", "IMMEDIATE_BH",
    "INIT_LIST_HEAD", "KERNEL_VERSION", "KERN_ALERT", "KERN_CRIT", "KERN_DEBUG", "KERN_EMERG",
    "KERN_ERR", "KERN_INFO", "KERN_NOTICE", "KERN_WARNING", "KM_BOUNCE_READ",
    "KM_BOUNCE_WRITE", "KM_SKB_DATA", "KM_SKB_DATA_SOFTIRQ", "KM_TYPE_NR", "KStruct",
    "L1_CACHE_BYTES", "LINUX_VERSION_CODE", "MAJOR", "MAX_DMA_ADDRESS", "MINOR", "MKDEV",
    "MODULE_PARM", "MOD_DEC_USE_COUNT", "MOD_INC_USE_COUNT", "NOPAGE_OOM", "NOPAGE_SIGBUS",
    "O_ACCMODE", "O_APPEND", "O_CREAT", "O_EXCL", "O_NONBLOCK", "O_RDONLY", "O_RDWR",
    "O_TRUNC", "O_WRONLY", "PAGE_ALIGN", "PAGE_MASK", "PAGE_OFFSET", "PAGE_SHIFT",
    "PAGE_SIZE", "SA_INTERRUPT", "SA_SAMPLE_RANDOM", "SA_SHIRQ", "SEEK_CUR", "SEEK_END",
    "SEEK_SET", "SLAB_ATOMIC", "SLAB_BUFFER", "SLAB_CACHE_DMA", "SLAB_CTOR_ATOMIC",
    "SLAB_CTOR_CONSTRUCTOR", "SLAB_CTOR_VERIFY", "SLAB_DEBUG_FREE", "SLAB_DEBUG_INITIAL",
    "SLAB_DMA", "SLAB_HWCACHE_ALIGN", "SLAB_KERNEL", "SLAB_NFS", "SLAB_NO_GROW",
    "SLAB_NO_REAP", "SLAB_POISON", "SLAB_RED_ZONE", "SLAB_USER", "TASK_INTERRUPTIBLE",
    "TASK_RUNNING", "TASK_SIZE", "TASK_UNINTERRUPTIBLE", "THIS_MODULE", "VERIFY_READ",
    "VERIFY_WRITE", "VMALLOC_END", "VMALLOC_START", "VM_EXEC", "VM_IO", "VM_READ",
    "VM_RESERVED", "VM_SHARED", "VM_WRITE", "_IO", "_IOC", "_IOC_DIR", "_IOC_NONE", "_IOC_NR",
    "_IOC_READ", "_IOC_SIZE", "_IOC_TYPE", "_IOC_WRITE", "_IOR", "_IOW", "_IOWR", "__GFP_DMA",
    "__GFP_HIGH", "__GFP_HIGHMEM", "__GFP_IO", "__GFP_WAIT", "__alloc_bootmem", "__free_page",
    "__free_pages", "__get_dma_pages", "__get_free_page", "__get_free_pages", "access_ok",
    "add_timer", "alloc_bootmem", "alloc_bootmem_low", "alloc_bootmem_low_pages",
    "alloc_bootmem_pages", "alloc_page", "alloc_pages", "atomic_add", "atomic_add_negative",
    "atomic_add_return", "atomic_dec", "atomic_dec_and_test", "atomic_dec_return",
    "atomic_inc", "atomic_inc_and_test", "atomic_inc_return", "atomic_read", "atomic_set",
    "atomic_sub", "atomic_sub_and_test", "atomic_sub_return", "atomic_t", "barrier",
    "bigphysarea_alloc", "bigphysarea_alloc_pages", "bigphysarea_free",
    "bigphysarea_free_pages", "bus_to_virt", "capable", "change_bit", "clear_bit",
    "clear_user", "cli", "complete", "completion", "copy_from_user", "copy_to_user",
    "create_proc_read_entry", "current", "del_timer", "del_timer_sync", "disable_irq",
    "disable_irq_nosync", "down", "down_interruptible", "down_read", "down_trylock",
    "down_write", "enable_irq", "file_operations", "flush_scheduled_tasks", "free_bootmem",
    "free_irq", "free_page", "free_pages", "get_dma_pages", "get_free_page", "get_free_pages",
    "get_page", "get_user", "get_zeroed_page", "high_memory", "in_atomic", "in_interrupt",
    "in_irq", "in_softirq", "init_MUTEX", "init_MUTEX_LOCKED", "init_completion",
    "init_rwsem", "init_timer", "init_waitqueue_head", "interruptible_sleep_on",
    "interruptible_sleep_on_timeout", "ioremap", "iounmap", "irqs_disabled", "jiffies",
    "kernel_thread", "kfree", "kmalloc", "kmap", "kmap_atomic", "kmem_cache_alloc",
    "kmem_cache_create", "kmem_cache_destroy", "kmem_cache_free", "kmem_cache_reap",
    "kmem_cache_shrink", "kmem_cache_size", "kunmap", "kunmap_atomic", "list_add",
    "list_add_tail", "list_del", "list_del_init", "list_empty", "list_entry", "list_for_each",
    "list_for_each_entry", "list_for_each_entry_safe", "list_for_each_safe", "list_head",
    "list_splice", "local_bh_disable", "local_bh_enable", "local_irq_disable",
    "local_irq_enable", "local_irq_restore", "local_irq_save", "mark_bh", "mb", "mdelay",
    "memcmp", "memcpy", "memcpy_fromio", "memcpy_toio", "memmove", "memset", "memset_io",
    "might_sleep", "mod_timer", "module_exit", "module_init", "nr_free_pages", "offsetof",
    "page_address", "page_count", "panic", "peek", "phys_to_virt", "poke", "preempt_disable",
    "preempt_enable", "printk", "ptr", "put_page", "put_user", "queue_task", "raise_irq",
    "read_lock", "read_lock_bh", "read_lock_irq", "read_lock_irqsave", "read_unlock",
    "read_unlock_bh", "read_unlock_irq", "read_unlock_irqrestore", "readb", "readl", "readw",
    "register_chrdev", "remove_proc_entry", "request_irq", "reserve_bootmem", "restore_flags",
    "rmb", "rw_semaphore", "rwlock_init", "rwlock_t", "s16", "s32", "s64", "s8", "save_flags",
    "schedule", "schedule_task", "schedule_timeout", "sema_init", "semaphore", "set_bit",
    "set_current_state", "signal_pending", "sizeof", "sleep_on", "sleep_on_timeout", "smp_mb",
    "smp_processor_id", "smp_rmb", "smp_wmb", "spin_is_locked", "spin_lock", "spin_lock_bh",
    "spin_lock_init", "spin_lock_irq", "spin_lock_irqsave", "spin_trylock", "spin_unlock",
    "spin_unlock_bh", "spin_unlock_irq", "spin_unlock_irqrestore", "spin_unlock_wait",
    "spinlock_t", "sti", "strncpy_from_user", "synchronize_irq", "tasklet_disable",
    "tasklet_disable_nosync", "tasklet_enable", "tasklet_hi_schedule", "tasklet_init",
    "tasklet_kill", "tasklet_schedule", "tasklet_struct", "test_and_change_bit",
    "test_and_clear_bit", "test_and_set_bit", "test_bit", "timer_list", "timer_pending",
    "tq_immediate", "tq_struct", "tq_timer", "u16", "u32", "u64", "u8", "udelay",
    "unregister_chrdev", "up", "up_read", "up_write", "vfree", "virt_to_bus", "virt_to_page",
    "virt_to_phys", "vm_operations_struct", "vmalloc", "wait_event",
    "wait_event_interruptible", "wait_for_completion", "wait_queue_head_t",
    "waitqueue_active", "wake_up", "wake_up_all", "wake_up_interruptible", "wmb",
    "write_lock", "write_lock_bh", "write_lock_irq", "write_lock_irqsave", "write_trylock",
    "write_unlock", "write_unlock_bh", "write_unlock_irq", "write_unlock_irqrestore",
    "writeb", "writel", "writew"
]

BITS_PER_LONG: Final = 32
CAP_SYS_ADMIN: Final = 21
E2BIG: Final = 7
EACCES: Final = 13
EADDRINUSE: Final = 98
EADDRNOTAVAIL: Final = 99
EADV: Final = 68
EAFNOSUPPORT: Final = 97
EAGAIN: Final = 11
EALREADY: Final = 114
EBADE: Final = 52
EBADF: Final = 9
EBADFD: Final = 77
EBADMSG: Final = 74
EBADR: Final = 53
EBADRQC: Final = 56
EBADSLT: Final = 57
EBFONT: Final = 59
EBUSY: Final = 16
ECANCELED: Final = 125
ECHILD: Final = 10
ECHRNG: Final = 44
ECOMM: Final = 70
ECONNABORTED: Final = 103
ECONNREFUSED: Final = 111
ECONNRESET: Final = 104
EDEADLOCK: Final = 35
EDESTADDRREQ: Final = 89
EDOM: Final = 33
EDOTDOT: Final = 73
EDQUOT: Final = 122
EEXIST: Final = 17
EFAULT: Final = 14
EFBIG: Final = 27
EHOSTDOWN: Final = 112
EHOSTUNREACH: Final = 113
EIDRM: Final = 43
EILSEQ: Final = 84
EINPROGRESS: Final = 115
EINTR: Final = 4
EINVAL: Final = 22
EIO: Final = 5
EISCONN: Final = 106
EISDIR: Final = 21
EISNAM: Final = 120
EKEYEXPIRED: Final = 127
EKEYREJECTED: Final = 129
EKEYREVOKED: Final = 128
EL2HLT: Final = 51
EL2NSYNC: Final = 45
EL3HLT: Final = 46
EL3RST: Final = 47
ELIBACC: Final = 79
ELIBBAD: Final = 80
ELIBEXEC: Final = 83
ELIBMAX: Final = 82
ELIBSCN: Final = 81
ELNRNG: Final = 48
ELOOP: Final = 40
EMEDIUMTYPE: Final = 124
EMFILE: Final = 24
EMLINK: Final = 31
EMSGSIZE: Final = 90
EMULTIHOP: Final = 72
ENAMETOOLONG: Final = 36
ENAVAIL: Final = 119
ENETDOWN: Final = 100
ENETRESET: Final = 102
ENETUNREACH: Final = 101
ENFILE: Final = 23
ENOANO: Final = 55
ENOBUFS: Final = 105
ENOCSI: Final = 50
ENODATA: Final = 61
ENODEV: Final = 19
ENOENT: Final = 2
ENOEXEC: Final = 8
ENOIOCTLCMD: Final = 515
ENOKEY: Final = 126
ENOLCK: Final = 37
ENOLINK: Final = 67
ENOMEDIUM: Final = 123
ENOMEM: Final = 12
ENOMSG: Final = 42
ENONET: Final = 64
ENOPKG: Final = 65
ENOPROTOOPT: Final = 92
ENOSPC: Final = 28
ENOSR: Final = 63
ENOSTR: Final = 60
ENOSYS: Final = 38
ENOTBLK: Final = 15
ENOTCONN: Final = 107
ENOTDIR: Final = 20
ENOTEMPTY: Final = 39
ENOTNAM: Final = 118
ENOTRECOVERABLE: Final = 131
ENOTSOCK: Final = 88
ENOTSUP: Final = 95
ENOTTY: Final = 25
ENOTUNIQ: Final = 76
ENXIO: Final = 6
EOVERFLOW: Final = 75
EOWNERDEAD: Final = 130
EPERM: Final = 1
EPFNOSUPPORT: Final = 96
EPIPE: Final = 32
EPROTO: Final = 71
EPROTONOSUPPORT: Final = 93
EPROTOTYPE: Final = 91
ERANGE: Final = 34
EREMCHG: Final = 78
EREMOTE: Final = 66
EREMOTEIO: Final = 121
ERESTART: Final = 85
ERESTARTNOHAND: Final = 514
ERESTARTNOINTR: Final = 513
ERESTARTSYS: Final = 512
ERFKILL: Final = 132
EROFS: Final = 30
ESHUTDOWN: Final = 108
ESOCKTNOSUPPORT: Final = 94
ESPIPE: Final = 29
ESRCH: Final = 3
ESRMNT: Final = 69
ESTALE: Final = 116
ESTRPIPE: Final = 86
ETIME: Final = 62
ETIMEDOUT: Final = 110
ETOOMANYREFS: Final = 109
ETXTBSY: Final = 26
EUCLEAN: Final = 117
EUNATCH: Final = 49
EUSERS: Final = 87
EWOULDBLOCK: Final = 11
EXDEV: Final = 18
EXFULL: Final = 54
FMODE_READ: Final = 1
FMODE_WRITE: Final = 2
GFP_ATOMIC: Final = 2
GFP_BUFFER: Final = 3
GFP_DMA: Final = 8
GFP_HIGH: Final = 2
GFP_HIGHMEM: Final = 16
GFP_HIGHUSER: Final = 21
GFP_IO: Final = 4
GFP_KERNEL: Final = 7
GFP_KSWAPD: Final = 4
GFP_NFS: Final = 7
GFP_USER: Final = 5
GFP_WAIT: Final = 1
HZ: int
IMMEDIATE_BH: int
KERN_ALERT: Final = "<1>"
KERN_CRIT: Final = "<2>"
KERN_DEBUG: Final = "<7>"
KERN_EMERG: Final = "<0>"
KERN_ERR: Final = "<3>"
KERN_INFO: Final = "<6>"
KERN_NOTICE: Final = "<5>"
KERN_WARNING: Final = "<4>"
KM_BOUNCE_READ: Final = 0
KM_BOUNCE_WRITE: Final = 1
KM_SKB_DATA: Final = 2
KM_SKB_DATA_SOFTIRQ: Final = 3
KM_TYPE_NR: Final = 4
L1_CACHE_BYTES: Final = 32
LINUX_VERSION_CODE: Final = 132101
MAX_DMA_ADDRESS: Final = 3238002688
NOPAGE_OOM: Final = 4294967295
NOPAGE_SIGBUS: Final = 0
O_ACCMODE: Final = 3
O_APPEND: Final = 1024
O_CREAT: Final = 64
O_EXCL: Final = 128
O_NONBLOCK: Final = 2048
O_RDONLY: Final = 0
O_RDWR: Final = 2
O_TRUNC: Final = 512
O_WRONLY: Final = 1
PAGE_MASK: Final = 4294963200
PAGE_OFFSET: Final = 3221225472
PAGE_SHIFT: Final = 12
PAGE_SIZE: Final = 4096
SA_INTERRUPT: Final = 536870912
SA_SAMPLE_RANDOM: Final = 268435456
SA_SHIRQ: Final = 67108864
SEEK_CUR: Final = 1
SEEK_END: Final = 2
SEEK_SET: Final = 0
SLAB_ATOMIC: Final = 2
SLAB_BUFFER: Final = 3
SLAB_CACHE_DMA: Final = 16384
SLAB_CTOR_ATOMIC: Final = 2
SLAB_CTOR_CONSTRUCTOR: Final = 1
SLAB_CTOR_VERIFY: Final = 4
SLAB_DEBUG_FREE: Final = 256
SLAB_DEBUG_INITIAL: Final = 512
SLAB_DMA: Final = 8
SLAB_HWCACHE_ALIGN: Final = 8192
SLAB_KERNEL: Final = 7
SLAB_NFS: Final = 7
SLAB_NO_GROW: Final = 4096
SLAB_NO_REAP: Final = 4096
SLAB_POISON: Final = 2048
SLAB_RED_ZONE: Final = 1024
SLAB_USER: Final = 5
TASK_INTERRUPTIBLE: Final = 1
TASK_RUNNING: Final = 0
TASK_SIZE: Final = 3221225472
TASK_UNINTERRUPTIBLE: Final = 2
THIS_MODULE: Any
VERIFY_READ: Final = 0
VERIFY_WRITE: Final = 1
VMALLOC_END: int
VMALLOC_START: int
VM_EXEC: Final = 4
VM_IO: Final = 16384
VM_READ: Final = 1
VM_RESERVED: Final = 524288
VM_SHARED: Final = 8
VM_WRITE: Final = 2
__GFP_DMA: Final = 8
__GFP_HIGH: Final = 2
__GFP_HIGHMEM: Final = 16
__GFP_IO: Final = 4
__GFP_WAIT: Final = 1
tq_immediate: int
tq_timer: int

def INIT_LIST_HEAD(head: Address) -> None:
    """Make an empty list. Any context."""
def __free_page(page_: Address) -> None:
    """Drop a reference to a page; the last one frees it. Any context."""
def __free_pages(page_: Address, order: int) -> None:
    """Drop a reference to a block of 2**order pages; the last one frees it. Any context."""
def __get_dma_pages(gfp_mask: int, order: int) -> int:
    """Allocate 2**order contiguous pages below 16 MiB; their kernel address, 0 on failure."""
def __get_free_page(gfp_mask: int) -> int:
    """Allocate one page; its kernel address, 0 on failure."""
def __get_free_pages(gfp_mask: int, order: int) -> int:
    """Allocate 2**order contiguous pages; their kernel address, 0 on failure."""
def access_ok(type: Any, address: Address, n: int) -> int:
    """Return 1 when [address, address + n) is no kernel memory; it may still not be there."""
def add_timer(timer: Address) -> None:
    """Have a timer's function called at `expires`; one that is pending stays. Any context."""
def alloc_page(gfp_mask: int) -> Any:
    """Allocate one page of the zones of the mask; a handle or None."""
def alloc_pages(gfp_mask: int, order: int) -> Any:
    """Allocate 2**order contiguous pages of the zones of the mask; a handle or None."""
def atomic_add(i: Address, v: Address) -> None:
    """Add `i`. Any context."""
def atomic_add_negative(i: Address, v: Address) -> bool:
    """Add `i`; whether the new value is negative. Any context."""
def atomic_add_return(i: Address, v: Address) -> int:
    """Add `i` and return the new value. Any context."""
def atomic_dec(v: Address) -> None:
    """Subtract 1. Any context."""
def atomic_dec_and_test(v: Address) -> bool:
    """Subtract 1; whether the new value is 0. Any context."""
def atomic_dec_return(v: Address) -> int:
    """Subtract 1 and return the new value. Any context."""
def atomic_inc(v: Address) -> None:
    """Add 1. Any context."""
def atomic_inc_and_test(v: Address) -> bool:
    """Add 1; whether the new value is 0. Any context."""
def atomic_inc_return(v: Address) -> int:
    """Add 1 and return the new value. Any context."""
def atomic_read(v: Address) -> int:
    """Return the value. Any context."""
def atomic_set(v: Address, i: Address) -> None:
    """Set the value. Any context."""
def atomic_sub(i: Address, v: Address) -> None:
    """Subtract `i`. Any context."""
def atomic_sub_and_test(i: Address, v: Address) -> bool:
    """Subtract `i`; whether the new value is 0. Any context."""
def atomic_sub_return(i: Address, v: Address) -> int:
    """Subtract `i` and return the new value. Any context."""
def barrier() -> None:
    """Keep the compiler from moving accesses: a call of its own does that anyway."""
def bus_to_virt(address: Address) -> int:
    """Return the kernel address of a device's address of memory; arithmetic, as in C."""
def capable(capability: int) -> bool:
    """Return whether the running task has a capability (CAP_*). Any context."""
def change_bit(nr: int, address: Address) -> None:
    """Turn bit `nr` of the bitmap at `address` over. Any context."""
def clear_bit(nr: int, address: Address) -> None:
    """Clear bit `nr` of the bitmap at `address`. Any context."""
def clear_user(to: Address, n: int) -> int:
    """Zero `n` bytes of user memory; returns the bytes not zeroed. May sleep."""
def cli() -> None:
    """Turn interrupts off: from task context, with them on, on every CPU (__global_cli)."""
def complete(done: Address) -> None:
    """Let one waiter, now or later, go on. Any context."""
def copy_from_user(to: Address, from_: Address, n: int) -> int:
    """Copy `n` bytes of user memory to kernel memory; returns the bytes not copied."""
def copy_to_user(to: Address, from_: Address, n: int) -> int:
    """Copy `n` bytes of kernel memory to user memory; returns the bytes not copied."""
def current() -> Any:
    """Return the running task; None in an interrupt's process or when the CPU is idle."""
def del_timer(timer: Address) -> int:
    """Take a timer off; returns 1 when it was pending, else 0. Its function may still run."""
def del_timer_sync(timer: Address) -> int:
    """The same, and wait until its function does not run; not from that function."""
def down(sem: Address) -> None:
    """Take a semaphore; sleeps until it can. May sleep."""
def down_interruptible(sem: Address) -> int:
    """Take a semaphore: 0, or -EINTR when a signal ended the sleep. May sleep."""
def down_read(sem: Address) -> None:
    """Take the read side; sleeps while somebody writes or waits to. May sleep."""
def down_trylock(sem: Address) -> int:
    """Take a semaphore if that needs no sleep: 0 taken, 1 not. Any context."""
def down_write(sem: Address) -> None:
    """Take the write side; sleeps until nobody else has either. May sleep."""
def free_page(addr: Address) -> None:
    """Free one page by its kernel address; 0 is ignored. Any context."""
def free_pages(addr: Address, order: int) -> None:
    """Free 2**order pages by their kernel address; 0 is ignored. Any context."""
def get_dma_pages(gfp_mask: int, order: int) -> int:
    """Allocate 2**order contiguous pages below 16 MiB; their kernel address, 0 on failure."""
def get_free_page(gfp_mask: int) -> int:
    """Allocate one page filled with zeroes; its kernel address, 0 on failure."""
def get_free_pages(gfp_mask: int, order: int) -> int:
    """Allocate 2**order contiguous pages; their kernel address, 0 on failure."""
def get_page(page_: Address) -> int:
    """Take one more reference to an allocated page. Any context."""
def get_user(address: Address, type: type[Scalar] = ...) -> tuple:
    """Read a scalar of user memory: (0, value) or (-EFAULT, 0). May sleep."""
def get_zeroed_page(gfp_mask: int) -> int:
    """Allocate one page filled with zeroes; its kernel address, 0 on failure."""
def high_memory() -> int:
    """Return the kernel address of the end of direct-mapped memory. Any context."""
def in_atomic() -> bool:
    """Return whether this context must not sleep by its count (irqs_disabled is separate)."""
def in_interrupt() -> bool:
    """Return whether this is a hardirq or softirq, or bottom halves are off."""
def in_irq() -> bool:
    """Return whether this is a hardirq. Any context."""
def in_softirq() -> bool:
    """Return whether this is a softirq, or bottom halves are off."""
def init_MUTEX(sem: Address) -> None:
    """Make a semaphore that one task may hold. Any context."""
def init_MUTEX_LOCKED(sem: Address) -> None:
    """Make a semaphore that is taken already. Any context."""
def init_completion(done: Address) -> None:
    """Make a completion that is not done. Any context."""
def init_rwsem(sem: Address) -> None:
    """Make an rw semaphore that nobody holds. Any context."""
def init_timer(timer: Address) -> None:
    """Prepare a timer; `expires`, `function` and `data` are its user's. Any context."""
def init_waitqueue_head(queue: Address) -> None:
    """Make an empty wait queue. Any context."""
def interruptible_sleep_on(queue: Address) -> None:
    """Sleep until the queue is woken or a signal comes. May sleep."""
def interruptible_sleep_on_timeout(queue: Address, ticks: int) -> int:
    """Sleep until a wake-up or a signal, at most `ticks`; returns the ticks left."""
def ioremap(phys_addr: Address, size: int) -> int:
    """Map physical addresses of a device; the address to access it by, 0 on failure."""
def iounmap(addr: Address) -> None:
    """Release what ioremap returned; a direct address is ignored. May sleep, as vfree."""
def irqs_disabled() -> bool:
    """Return whether interrupts are off on this CPU. Any context."""
def jiffies() -> int:
    """Return the ticks since boot, a 32-bit number; any context."""
def kfree(address: Address) -> None:
    """Free what kmalloc or kmem_cache_alloc returned; 0 is ignored. Any context."""
def kmalloc(size: int, flags: int) -> int:
    """Allocate `size` bytes, not cleared; returns the address, 0 on failure."""
def kmap(page_: Address) -> int:
    """Give a page a kernel address and return it; as many kunmap calls take it back."""
def kmap_atomic(page_: Address, type: int) -> int:
    """Give a page the address of a slot (KM_*) of this CPU. Any context."""
def kmem_cache_alloc(cachep: Address, flags: int) -> int:
    """Allocate an object of a cache; returns its address, 0 on failure."""
def kmem_cache_create(
    name: Any, size: int, offset: int, flags: int, ctor: Any, dtor: Any
) -> Any:
    """Create a cache; returns its handle, None without memory. May sleep."""
def kmem_cache_destroy(cachep: Address) -> int:
    """Destroy a cache: 0, or 1 while objects of it live, and then it stays as it was. May
    sleep.
    """
def kmem_cache_free(cachep: Address, address: Address) -> None:
    """Free an object of this cache. Any context."""
def kmem_cache_reap(gfp_mask: int) -> None:
    """Free most of the free slabs of the cache that has the most, of the next ten in the
    chain.
    """
def kmem_cache_shrink(cachep: Address) -> int:
    """Give the pages of free slabs back: 0 when no slab is left, else 1. May sleep."""
def kmem_cache_size(cachep: Address) -> int:
    """Return the bytes of a cache's objects. Any context."""
def kunmap(page_: Address) -> None:
    """Take back one kmap of a page; the last one unmaps it. Any context but interrupts."""
def kunmap_atomic(kvaddr: Address, type: int) -> None:
    """Free the slot that kmap_atomic used; a direct address is ignored. Any context."""
def list_add(new: Address, head: Address) -> None:
    """Put a link behind `head`: a stack. Any context."""
def list_add_tail(new: Address, head: Address) -> None:
    """Put a link before `head`: a queue. Any context."""
def list_del(link: Address) -> None:
    """Take a link out of its list; it keeps its pointers. Any context."""
def list_del_init(link: Address) -> None:
    """Take a link out of its list and make it an empty list. Any context."""
def list_empty(head: Address) -> bool:
    """Return whether there is nothing in a list. Any context."""
def list_entry(link: Address, type: Any, member: str) -> Any:
    """Return the struct of class `type` whose field `member` is at `link`. Any context."""
def list_for_each(head: Address) -> Any:
    """Yield the address of each link; the one handed out must stay in the list."""
def list_for_each_entry(head: Address, type: Any, member: str) -> Any:
    """Yield each struct of class `type` that is linked by its field `member`. Any context."""
def list_for_each_entry_safe(head: Address, type: Any, member: str) -> Any:
    """Yield each struct, which may then be deleted and freed. Any context."""
def list_for_each_safe(head: Address) -> Any:
    """Yield the address of each link, which may then be deleted. Any context."""
def list_splice(list: Address, head: Address) -> None:
    """Put all links of `list` behind `head`; `list` itself must then be initialised again."""
def local_bh_disable() -> None:
    """Keep softirqs off this CPU; nests, any context."""
def local_bh_enable() -> None:
    """Undo one `local_bh_disable`; pending softirqs run now when this was the last."""
def local_irq_disable() -> None:
    """Turn interrupts off on this CPU; any context, idempotent."""
def local_irq_enable() -> None:
    """Turn interrupts on; what is pending is taken before anything else. Any context."""
def local_irq_restore(flags: int) -> None:
    """Put the interrupt flag back to what `local_irq_save` returned. Any context."""
def local_irq_save() -> int:
    """Turn interrupts off and return the old flag for `local_irq_restore`. Any context."""
def mark_bh(nr: int) -> None:
    """Have bottom half `nr` run on this CPU, soon; any context."""
def mb() -> None:
    """Order all memory accesses before against all behind. Any context."""
def mdelay(msecs: int) -> None:
    """Keep this CPU busy for `msecs` milliseconds; any context."""
def memcmp(a: Address, b: Address, n: int) -> int:
    """Compare `n` bytes as unsigned: below, equal to or above 0. Any context."""
def memcpy(to: Address, from_: Address, n: int) -> Any:
    """Copy `n` bytes; the ranges do not overlap. Returns `to`. Any context."""
def memcpy_fromio(to: Address, from_: Address, n: int) -> None:
    """Copy `n` bytes of I/O memory to memory. Any context."""
def memcpy_toio(to: Address, from_: Address, n: int) -> None:
    """Copy `n` bytes of memory to I/O memory. Any context."""
def memmove(to: Address, from_: Address, n: int) -> Any:
    """Copy `n` bytes; the ranges may overlap. Returns `to`. Any context."""
def memset(address: Address, byte: int, n: int) -> Any:
    """Fill `n` bytes at `address` with the low 8 bits of `byte`; returns `address`."""
def memset_io(addr: Address, byte: int, n: int) -> None:
    """Fill `n` bytes of I/O memory with the low 8 bits of `byte`. Any context."""
def might_sleep() -> None:
    """Report when this context must not sleep: the head of everything that may."""
def mod_timer(timer: Address, expires: Address) -> int:
    """Set a timer's `expires` and add it; returns 1 when it was pending. Any context."""
def nr_free_pages() -> int:
    """Return how many pages are free. Any context."""
def page_address(page_: Address) -> int:
    """Return the kernel address of a page's bytes, 0 for a high page that is not kmapped."""
def page_count(page_: Address) -> int:
    """Return the references to a page; 0 when it is free. Any context."""
def peek(address: Address, n: int) -> bytes:
    """Return the `n` bytes at `address`. Any context."""
def phys_to_virt(phys: Address) -> int:
    """Return the kernel address of a physical one; unchecked arithmetic, as in C."""
def poke(address: Address, data: Any) -> None:
    """Store a bytes-like object at `address`. Any context."""
def preempt_disable() -> None:
    """Keep the running task on this CPU; nests. Any context."""
def preempt_enable() -> None:
    """Undo one `preempt_disable`. Any context."""
def put_page(page_: Address) -> int:
    """Drop a reference to a page; the last one frees it. Any context."""
def put_user(value: Any, address: Address, type: type[Scalar] = ...) -> int:
    """Store a scalar to user memory: 0 or -EFAULT. May sleep."""
def raise_irq(line: int, cpu: Any = ...) -> None:
    """Send an edge on `line`; `cpu` says who takes it, None = any CPU of its mask."""
def read_lock(lock: Address) -> None:
    """Take the read side; recursive, readers go before writers."""
def read_lock_bh(lock: Address) -> None:
    """Keep softirqs off and take the read side."""
def read_lock_irq(lock: Address) -> None:
    """Turn interrupts off and take the read side. Any context."""
def read_lock_irqsave(lock: Address) -> int:
    """Turn interrupts off, take the read side, return the old flag. Any context."""
def read_unlock(lock: Address) -> None:
    """Give the read side back. By the context that took it."""
def read_unlock_bh(lock: Address) -> None:
    """Give the read side back and let softirqs in."""
def read_unlock_irq(lock: Address) -> None:
    """Give the read side back and turn interrupts on. By the context that took it."""
def read_unlock_irqrestore(lock: Address, flags: int) -> None:
    """Give the read side back and put the interrupt flag back. By the context that took it."""
def readb(addr: Address) -> int:
    """Return the byte of I/O memory at an address. Any context."""
def readl(addr: Address) -> int:
    """Return the 32 bits of I/O memory at an address. Any context."""
def readw(addr: Address) -> int:
    """Return the 16 bits of I/O memory at an address. Any context."""
def restore_flags(flags: int) -> None:
    """Put the interrupt state back to what `save_flags` returned. Any context."""
def rmb() -> None:
    """Order the readings before against those behind. Any context."""
def rwlock_init(lock: Address) -> None:
    """Make an rwlock free; its class is its struct field or the place of this call."""
def save_flags() -> int:
    """Return what `restore_flags` puts back: 0 global cli, 1 global sti, 2 off, 3 on here."""
def schedule() -> None:
    """Give the CPU to another task; sleep if the state says so. May sleep."""
def schedule_timeout(ticks: int) -> int:
    """Sleep as the state says, at most `ticks`; returns the ticks that are left. May sleep."""
def sema_init(sem: Address, count: int) -> None:
    """Make a semaphore with `count` free; its class is its field or the place of this call."""
def set_bit(nr: int, address: Address) -> None:
    """Set bit `nr` of the bitmap at `address`. Any context."""
def set_current_state(state: int) -> None:
    """Write the running task's state, before it looks at its condition and schedules."""
def signal_pending(task: Address = ...) -> bool:
    """Return whether a signal waits for the running task, or for `task`. Any context."""
def sizeof(thing: Any) -> int:
    """Return the bytes that a type, or what a handle stands for, has in RAM."""
def sleep_on(queue: Address) -> None:
    """Sleep until the queue is woken. What happens before the sleep begins is missed."""
def sleep_on_timeout(queue: Address, ticks: int) -> int:
    """Sleep until the queue is woken, at most `ticks`; returns the ticks left. May sleep."""
def smp_mb() -> None:
    """Order all memory accesses before against all behind. Any context."""
def smp_processor_id() -> int:
    """Return the number of the CPU that runs this context. Any context."""
def smp_rmb() -> None:
    """Order the readings before against those behind. Any context."""
def smp_wmb() -> None:
    """Order the writings before against those behind. Any context."""
def spin_is_locked(lock: Address) -> bool:
    """Return whether somebody holds a spinlock. Any context."""
def spin_lock(lock: Address) -> None:
    """Take a spinlock; any context that cannot interrupt a holder of it on this CPU."""
def spin_lock_bh(lock: Address) -> None:
    """Keep softirqs off this CPU and take a spinlock; task context or softirq."""
def spin_lock_init(lock: Address) -> None:
    """Make a spinlock free; its class is its struct field or the place of this call."""
def spin_lock_irq(lock: Address) -> None:
    """Turn interrupts off and take a spinlock; only where interrupts are known to be on."""
def spin_lock_irqsave(lock: Address) -> int:
    """Turn interrupts off and take a spinlock; returns the old flag for the unlock."""
def spin_trylock(lock: Address) -> bool:
    """Take a spinlock if it is free; any context."""
def spin_unlock(lock: Address) -> None:
    """Give a spinlock back; by the context that took it."""
def spin_unlock_bh(lock: Address) -> None:
    """Give a spinlock back and let softirqs in; what is pending runs now."""
def spin_unlock_irq(lock: Address) -> None:
    """Give a spinlock back and turn interrupts on. By the context that took it."""
def spin_unlock_irqrestore(lock: Address, flags: int) -> None:
    """Give a spinlock back and put the interrupt flag back. By the context that took it."""
def sti() -> None:
    """Turn interrupts on; from task context also those that `cli` kept off (__global_sti)."""
def strncpy_from_user(to: Address, from_: Address, n: int) -> int:
    """Copy a string of user memory with its NUL, at most `n` bytes."""
def tasklet_disable(t: Address) -> None:
    """Keep a tasklet from running and wait until it does not; nests. Not from its function."""
def tasklet_disable_nosync(t: Address) -> None:
    """Keep a tasklet from running, without waiting for it; nests. Any context."""
def tasklet_enable(t: Address) -> None:
    """Undo one `tasklet_disable`. Any context."""
def tasklet_hi_schedule(t: Address) -> None:
    """The same, before all ordinary tasklets. Any context."""
def tasklet_init(t: Address, function: Any, data: Any) -> None:
    """Prepare a tasklet that calls function(data); any context."""
def tasklet_kill(t: Address) -> None:
    """Wait until a tasklet is neither due nor running; may sleep. Nobody may schedule it."""
def tasklet_schedule(t: Address) -> None:
    """Have a tasklet run once on this CPU, soon, unless that is due already. Any context."""
def test_and_change_bit(nr: int, address: Address) -> bool:
    """Turn a bit over; returns whether it was set. Any context."""
def test_and_clear_bit(nr: int, address: Address) -> bool:
    """Clear a bit; returns whether it was set. Any context."""
def test_and_set_bit(nr: int, address: Address) -> bool:
    """Set a bit; returns whether it was set. Any context."""
def test_bit(nr: int, address: Address) -> bool:
    """Return whether bit `nr` of the bitmap at `address` is set. Any context."""
def timer_pending(timer: Address) -> int:
    """Return 1 when a timer is pending, else 0; any context."""
def udelay(usecs: int) -> None:
    """Keep this CPU busy for `usecs` microseconds; any context."""
def up(sem: Address) -> None:
    """Give a semaphore back and wake a waiter. Any context."""
def up_read(sem: Address) -> None:
    """Give the read side back. Any context."""
def up_write(sem: Address) -> None:
    """Give the write side back. Any context."""
def vfree(addr: Address) -> None:
    """Free an area by its first address; 0 is ignored. Task context: not in an interrupt."""
def virt_to_bus(address: Address) -> int:
    """Return the address by which a device reaches memory; arithmetic, as in C."""
def virt_to_page(addr: Address) -> Any:
    """Return the page of a direct-mapped address as a handle; None when it has none."""
def virt_to_phys(addr: Address) -> int:
    """Return the physical address of a direct-mapped one; unchecked arithmetic, as in C."""
def vmalloc(size: int) -> int:
    """Allocate `size` bytes, whole pages, of contiguous addresses; 0 on failure. May sleep."""
def wait_event(queue: Address, condition: Any) -> None:
    """Sleep until `condition()` is true; it is looked at after each wake-up of the queue."""
def wait_event_interruptible(queue: Address, condition: Any) -> int:
    """Sleep until `condition()` is true: 0, or -ERESTARTSYS when a signal ended the sleep."""
def wait_for_completion(done: Address) -> None:
    """Sleep until `complete` was called once for this waiter. May sleep."""
def waitqueue_active(queue: Address) -> bool:
    """Return whether somebody sleeps on a queue, looked at without its lock. Any context."""
def wake_up(queue: Address) -> None:
    """Wake every sleeper that is not exclusive, and one that is. Any context."""
def wake_up_all(queue: Address) -> None:
    """Wake every sleeper. Any context."""
def wake_up_interruptible(queue: Address) -> None:
    """Wake as wake_up does, interruptible sleepers only. Any context."""
def wmb() -> None:
    """Order the writings before against those behind. Any context."""
def write_lock(lock: Address) -> None:
    """Take the write side. Any context that cannot interrupt a holder on this CPU."""
def write_lock_bh(lock: Address) -> None:
    """Keep softirqs off and take the write side."""
def write_lock_irq(lock: Address) -> None:
    """Turn interrupts off and take the write side. Any context."""
def write_lock_irqsave(lock: Address) -> int:
    """Turn interrupts off, take the write side, return the old flag. Any context."""
def write_trylock(lock: Address) -> bool:
    """Take the write side if nobody has either side. Any context."""
def write_unlock(lock: Address) -> None:
    """Give the write side back. By the context that took it."""
def write_unlock_bh(lock: Address) -> None:
    """Give the write side back and let softirqs in."""
def write_unlock_irq(lock: Address) -> None:
    """Give the write side back and turn interrupts on. By the context that took it."""
def write_unlock_irqrestore(lock: Address, flags: int) -> None:
    """Give the write side back and put the interrupt flag back."""
def writeb(b: Address, addr: Address) -> None:
    """Store the low byte of a number in I/O memory. Any context."""
def writel(b: Address, addr: Address) -> None:
    """Store the low 32 bits of a number in I/O memory. Any context."""
def writew(b: Address, addr: Address) -> None:
    """Store the low 16 bits of a number in I/O memory. Any context."""
