"""cli, sti, save_flags, restore_flags: interrupts of all CPUs (2.4)."""

from cpus.atomic cimport u32, u64
