"""Pages by call site: nothing here is called from compiled code."""

from cpus.atomic cimport u64
