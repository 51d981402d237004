"""Copies of what the table of areas says."""

from cpus.atomic cimport u32, u64
from smpmm.mm.vm_area_cy cimport vm_info

cdef object info_of(vm_info *a, u64 number)
