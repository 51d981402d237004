"""The end of a task."""

from cpus.atomic cimport u64
