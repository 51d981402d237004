"""Tasks as kernel code sees them."""

from cpus.atomic cimport u64
