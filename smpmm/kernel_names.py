"""The table behind `smpmm.kernel`: every name, and the module that implements it.

A call is the implementing module's own function, with nothing around it. A type, a declaration
or a piece of arithmetic is the same outside of a machine; everything else is a symbol there. A
name with leading underscores has a second name without, since Python mangles the first in a
class body, wherever that is not another kernel function.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from smpmm import constants
from smpmm.constants import VERSIONS, unmangled
from smpmm.profiles import names as functions
from smpmm.profiles.version import Version, parse

DEFAULT_VERSION: Final = "2.4.5"


@dataclass(slots=True)
class Place:
    """Where a name is found: an attribute of a module, or of the version's constants."""

    module: str  # "" = a constant of the version
    attribute: str
    everywhere: bool = False  # the same object outside of a machine
    is_value: bool = False  # the attribute is a function that returns the constant


# Module → names; "name=attribute" where the two differ.
CALLS: Final = MappingProxyType(
    {
        "smpmm.mm.slab_cy": """
            kmalloc kfree kmem_cache_alloc kmem_cache_free kmem_cache_size
            """,
        "smpmm.mm.cache_cy": "kmem_cache_create",
        "smpmm.mm.shrink_cy": "kmem_cache_shrink kmem_cache_reap kmem_cache_destroy",
        "smpmm.mm.page_calls_cy": """
            __get_free_page __get_free_pages get_zeroed_page get_free_page=get_zeroed_page
            __get_dma_pages free_page free_pages alloc_page alloc_pages
            __free_page __free_pages page_address virt_to_page virt_to_phys phys_to_virt
            high_memory nr_free_pages get_page put_page page_count
            """,
        "smpmm.mm.highmem_cy": "kmap kunmap kmap_atomic kunmap_atomic",
        "smpmm.mm.vmalloc_cy": "vmalloc vfree",
        "smpmm.mm.ioremap_cy": """
            ioremap iounmap vremap readb readw readl writeb writew writel
            memcpy_fromio memcpy_toio memset_io virt_to_bus bus_to_virt
            """,
        "smpmm.mm.bootmem_calls": """
            alloc_bootmem alloc_bootmem_low alloc_bootmem_pages alloc_bootmem_low_pages
            __alloc_bootmem free_bootmem reserve_bootmem
            """,
        "smpmm.mm.bigphysarea": """
            bigphysarea_alloc_pages bigphysarea_free_pages bigphysarea_alloc bigphysarea_free
            """,
        "smpmm.mm.access_cy": """
            memset memcpy memmove memcmp peek poke
            """,
        "smpmm.mm.user_cy": """
            copy_to_user copy_from_user get_user put_user clear_user access_ok
            strncpy_from_user
            """,
        "cpus.lock_cy": """
            spin_lock_init spin_lock spin_lock_irq spin_lock_irqsave spin_lock_bh spin_unlock
            spin_unlock_irq spin_unlock_irqrestore spin_unlock_bh spin_trylock
            spin_is_locked
            """,
        "cpus.rwlock_calls_cy": """
            rwlock_init=rwlock_init_ read_lock read_lock_irq read_lock_irqsave read_lock_bh
            read_unlock read_unlock_irq read_unlock_irqrestore read_unlock_bh write_lock
            write_lock_irq write_lock_irqsave write_lock_bh write_unlock write_unlock_irq
            write_unlock_irqrestore write_unlock_bh write_trylock
            """,
        "cpus.semaphore_cy": """
            sema_init init_MUTEX init_MUTEX_LOCKED down down_interruptible down_trylock up
            """,
        "cpus.rwsem_cy": "init_rwsem down_read down_write up_read up_write",
        "cpus.wait_cy": """
            init_waitqueue_head wait_event wait_event_interruptible sleep_on
            interruptible_sleep_on sleep_on_timeout interruptible_sleep_on_timeout
            wake_up wake_up_all wake_up_interruptible waitqueue_active init_completion complete
            wait_for_completion
            """,
        "cpus.atomic_cy": """
            atomic_read atomic_set atomic_inc atomic_dec atomic_add atomic_sub
            atomic_dec_and_test atomic_inc_and_test atomic_sub_and_test atomic_add_negative
            atomic_inc_return atomic_dec_return atomic_add_return atomic_sub_return
            mb rmb wmb smp_mb=mb smp_rmb=rmb smp_wmb=wmb barrier
            """,
        "cpus.bitops_cy": """
            set_bit clear_bit change_bit test_bit test_and_set_bit test_and_clear_bit
            test_and_change_bit
            """,
        "cpus.list_cy": """
            INIT_LIST_HEAD list_add list_add_tail list_del list_del_init list_empty
            list_splice list_entry list_for_each list_for_each_safe list_for_each_entry
            list_for_each_entry_safe
            """,
        "cpus.context_cy": """
            local_irq_disable local_irq_enable local_irq_save local_irq_restore
            local_bh_disable local_bh_enable preempt_disable preempt_enable
            in_interrupt in_irq in_softirq in_atomic irqs_disabled might_sleep smp_processor_id
            """,
        "cpus.task_calls_cy": """
            current schedule schedule_timeout set_current_state signal_pending
            """,
        "cpus.sched": "kernel_thread",
        "cpus.capability_cy": "capable",
        "cpus.bug": "panic",
        "smpmm.time_cy": "jiffies udelay mdelay",
        "smpmm.printk": "printk BUG",
        "interrupts.irq": """
            request_irq free_irq enable_irq disable_irq disable_irq_nosync synchronize_irq
            raise_irq
            """,
        "interrupts.globalirq_cy": "cli sti save_flags restore_flags",
        "interrupts.tasklet_cy": """
            tasklet_init tasklet_schedule tasklet_hi_schedule tasklet_kill tasklet_disable
            tasklet_disable_nosync tasklet_enable
            """,
        "interrupts.timer_cy": """
            init_timer add_timer mod_timer del_timer del_timer_sync timer_pending
            """,
        "interrupts.tqueue": """
            queue_task schedule_task flush_scheduled_tasks mark_bh
            """,
        "smpmm.chrdev": "register_chrdev unregister_chrdev",
        "smpmm.proc.entries": "create_proc_read_entry remove_proc_entry",
        "smpmm.module": "MOD_INC_USE_COUNT MOD_DEC_USE_COUNT",
        "smpmm.macros": "PAGE_ALIGN spin_unlock_wait",
    }
)

# The same objects outside of a machine: types, declarations, arithmetic.
EVERYWHERE: Final = MappingProxyType(
    {
        "smpmm.kstruct": """
            KStruct u8 u16 u32 u64 s8 s16 s32 s64 ptr sizeof offsetof
            """,
        "smpmm.sync": """
            spinlock_t rwlock_t semaphore rw_semaphore wait_queue_head_t completion atomic_t
            list_head tasklet_struct timer_list tq_struct
            """,
        "smpmm.module": "THIS_MODULE module_init module_exit MODULE_PARM",
        "smpmm.fops": "file_operations vm_operations_struct",
        "smpmm.kdev": "MAJOR MINOR MKDEV",
        "smpmm.profiles.version": "KERNEL_VERSION",
        "smpmm.drivers.ioctl": """
            _IO _IOR _IOW _IOWR _IOC _IOC_DIR _IOC_TYPE _IOC_NR _IOC_SIZE _IOC_NONE
            _IOC_READ _IOC_WRITE
            """,
    }
)

# Names whose value is a module's own.
OWN: Final = frozenset({"THIS_MODULE"})

# Constants that a machine works out at boot: functions that return them.
VALUES: Final = MappingProxyType(
    {
        "smpmm.mm.vmalloc_cy": "VMALLOC_START=vmalloc_start VMALLOC_END=vmalloc_end",
        "interrupts.tqueue": "tq_timer tq_immediate IMMEDIATE_BH",
    }
)

# Calls that other versions have and smpmm does not: they can be named.
ELSEWHERE: Final = "kcalloc krealloc ksize kzalloc complete_all"
NOWHERE: Final = "nowhere"

# Modules that smpmm does not have yet: their names can be imported, not used.
NOT_YET: Final = frozenset({NOWHERE})

# What a function of the boot phase may call: nothing that allocates otherwise, or sleeps.
BOOT_MODULES: Final = frozenset(
    {
        "cpus.atomic_cy",
        "cpus.bitops_cy",
        "cpus.bug",
        "cpus.context_cy",
        "cpus.list_cy",
        "smpmm.macros",
        "smpmm.mm.access_cy",
        "smpmm.mm.bootmem_calls",
        "smpmm.printk",
        "smpmm.time_cy",
    }
)
BOOT_CALLS: Final = frozenset({"virt_to_phys", "phys_to_virt", "high_memory"})


def _places() -> dict[str, Place]:
    places = {name: Place("", name) for names in VERSIONS.values() for name in names}
    for table, everywhere, is_value in (
        (CALLS, False, False),
        (EVERYWHERE, True, False),
        (VALUES, False, True),
    ):
        for module, words in table.items():
            for word in words.split():
                name, _, attribute = word.partition("=")
                places[name] = Place(module, attribute or name, everywhere, is_value)
    for name in ELSEWHERE.split():
        places.setdefault(name, Place(NOWHERE, name))
    for name in list(places):
        second = unmangled(name)
        if second and second not in places:
            places[second] = places[name]
    return places


_PLACES: Final = MappingProxyType(_places())


def place_of(name: str) -> Place | None:
    """Return where `name` is found, None when it is no name of the kernel's."""
    return _PLACES.get(name)


def at_boot(name: str, place: Place) -> bool:
    """Return whether a name can be used before the page allocator has the memory."""
    return not place.module or place.module in BOOT_MODULES or name in BOOT_CALLS


def names(version: str = DEFAULT_VERSION, arch: str = "i386") -> list[str]:
    """Return every name that a kernel version has and smpmm knows, sorted."""
    return sorted(name for name in _PLACES if missing(name, version, arch) is None)


def all_names() -> list[str]:
    """Return every name of any version, sorted."""
    return sorted(_PLACES)


def missing(name: str, version: str = DEFAULT_VERSION, arch: str = "i386") -> str | None:
    """Say why a kernel version does not have `name`, None when it has it."""
    place = _PLACES[name]
    if place.everywhere:
        return None
    if not place.module:
        if place.attribute in constants.constants_of(version, arch):
            return None
        ranges = constants.ranges_of(place.attribute)
        called = name
    else:
        ranges = functions.ranges_of(place.attribute if place.is_value else name)
        if functions.has(ranges, parse(version)):
            return None
        called = name if place.is_value else f"{name}()"
    if not ranges or functions.has(ranges, parse(version)):
        return f"{called} does not exist in Linux {version} on {arch}"
    return f"{called} {functions.when(ranges, parse(version))}; this machine runs {version}"


def _later() -> dict[str, str]:
    """List the calls that the default version does not have yet, with the first Linux."""
    default: Version = parse(DEFAULT_VERSION)
    return {
        name: functions.when(ranges, default).rpartition(" ")[2]
        for name in functions.RANGES
        if name in _PLACES and (ranges := functions.ranges_of(name))[0].first > default
    }


# Calls that the default version does not have, and the first Linux that has them.
LATER: Final = MappingProxyType(_later())
