"""The records of open files."""

from cpus.atomic cimport u64
from smpmm.registry_cy cimport file_record
