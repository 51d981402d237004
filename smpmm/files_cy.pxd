"""An open file as a driver sees it: struct file, struct inode over a record in the segment."""

from cpus.atomic cimport u64
from smpmm.registry_cy cimport file_record

cdef class LoffT:
    cdef public long long value

cdef class Inode:
    cdef readonly u64 i_rdev

cdef class File:
    cdef file_record *record
    cdef readonly int number      # of the record
    cdef readonly u64 generation
    cdef readonly Inode f_inode
    cdef int check(self) except -1
